"""Digest authentication as a server and as a client (RFC 3261 section 22, RFC 7616, RFC 8760).

The module supports MD5 and SHA-256 with qop=auth, but not `auth-int`, `-sess` and userhash. The
server stores no passwords. It gets the HA1 of a user from a function, and does the same work for an
unknown user. A nonce consists of a time and an HMAC, and is valid only for the host that received
it. The server stores a nonce only after its first use.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote as percent_unquote

from telephony.errors import ProtocolError, SipParseError
from telephony.sip.message.grammar import TOKEN, quote, split_list, unquote
from telephony.sip.message.headers import encode
from telephony.sip.message.messages import Request, Response, respond
from telephony.sip.message.uri import Uri

FindHa1 = Callable[[str, str, str], str | None]
"""A function that takes the user name, the realm and the algorithm (`MD5` or `SHA-256`). It returns
the user's HA1 in hexadecimal, or None if the user is unknown."""

MAX_NONCES: Final = 20_000
"""The maximum number of used nonces that are stored. If the store is full, a new nonce is treated
as stale."""

_HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_NONCE: Final = struct.Struct(">QQ")
_MAC_LENGTH: Final = 16
_COUNT: Final = re.compile(r"[0-9A-Fa-f]{8}")
_BLANKS: Final = re.compile(r"[ \t]+")
_EXTENDED: Final = re.compile(
    r"utf-8'[a-z0-9\-]*'((?:[a-z0-9!#$&+\-.^_`|~]|%[0-9a-f]{2})+)", re.IGNORECASE | re.ASCII
)


def ha1(user: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """Return the digest of user name, realm and password in hexadecimal ("HA1").

    A server stores the HA1 instead of the password.
    """
    return _digest(algorithm, f"{user}:{realm}:{password}")


def parse_digest(text: str) -> dict[str, str]:
    """Parse the value of a challenge or credentials header: `Digest name=value, …`.

    Return the values by name; the names are in lower case.

    Raises:
        SipParseError: The scheme is not Digest, a name occurs twice, or the list is malformed.
    """
    scheme, *tail = _BLANKS.split(text.strip(" \t"), maxsplit=1)
    if scheme.lower() != "digest" or not tail:
        raise SipParseError("not a Digest")
    values: dict[str, str] = {}
    for element in split_list(tail[0]):
        name, equals, value = element.partition("=")
        name = name.strip(" \t").lower()
        if not equals or TOKEN.fullmatch(name) is None or name in values:
            raise SipParseError("a Digest that cannot be read")
        values[name] = unquote(value.strip(" \t"))
    return values


class AuthOutcome(enum.Enum):
    """The server's decision about the credentials of a request."""

    ACCEPTED = "accepted"
    MISSING = "missing"
    """The request has no credentials for this realm, or they cannot be read."""
    STALE = "stale"
    """The password is right, but the nonce is expired or not ours, or its count was used before."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DigestVerification:
    """The result of `DigestServer.verify`.

    Attributes:
        outcome: The decision about the credentials.
        user: The user name if the credentials are accepted, else "".
    """

    outcome: AuthOutcome
    user: str = ""


class DigestServer:
    """The server's side: it challenges requests, and verifies the credentials in requests."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        find_ha1: FindHa1,
        *,
        lifetime: float = 300.0,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
    ) -> None:
        """Make a server.

        Args:
            realm: The realm, which phones show to their users.
            secret: At least 16 random bytes. A nonce that was made with another secret is stale.
            find_ha1: The function that returns a user's HA1.
            lifetime: The time in seconds for which a nonce may be used.
            algorithms: The algorithms to offer, the preferred one first.
        """
        if len(secret) < 16 or not algorithms or any(name not in _HASHES for name in algorithms):
            raise ProtocolError("a digest server's secret is too short or an algorithm is unknown")
        encode(quote(realm))  # raises ProtocolError if the realm cannot be written in a header
        self.realm = realm
        self._secret = secret
        self._find_ha1 = find_ha1
        self._lifetime = lifetime
        self._algorithms = tuple(algorithms)
        self._made = 0
        self._used: dict[str, tuple[float, int]] = {}

    def challenge(
        self,
        request: Request,
        now: float,
        outcome: AuthOutcome = AuthOutcome.MISSING,
        *,
        host: str = "",
    ) -> Response:
        """Make the 401 response to a request from `host`.

        It has one challenge for each algorithm (RFC 8760 section 2.4). `outcome` is the result of
        `verify`.
        """
        return respond(request, 401, headers=self.challenges(now, outcome, host=host))

    def challenges(
        self, now: float, outcome: AuthOutcome = AuthOutcome.MISSING, *, host: str = ""
    ) -> list[tuple[str, str]]:
        """Return the WWW-Authenticate headers of a 401 to `host`, as pairs (name, value)."""
        nonce = self._nonce(now, host)
        stale = ", stale=true" if outcome is AuthOutcome.STALE else ""
        head = f"Digest realm={quote(self.realm)}, nonce={quote(nonce)}"
        return [
            ("WWW-Authenticate", f'{head}, algorithm={algorithm}, qop="auth"{stale}')
            for algorithm in self._algorithms
        ]

    def verify(self, request: Request, now: float, *, host: str = "") -> DigestVerification:
        """Check the credentials of a request from `host`.

        No error is raised, whatever the Authorization header contains.
        """
        given = self._credentials(request)
        if given is None:
            return DigestVerification(AuthOutcome.MISSING)
        if not self._is_right(request, given):
            return DigestVerification(AuthOutcome.REFUSED)
        # Without qop (RFC 2069) the credentials do not count the uses of a nonce, so each nonce is
        # valid once.
        nonce, count = given["nonce"], int(given.get("nc", "1"), 16)
        if not self._is_fresh(nonce, now, host) or not self._count(nonce, count, now):
            return DigestVerification(AuthOutcome.STALE)
        return DigestVerification(AuthOutcome.ACCEPTED, given["username"])

    def _credentials(self, request: Request) -> dict[str, str] | None:
        """Return the values of the first complete Authorization for our realm, or None."""
        needed = {"username", "nonce", "uri", "response"}
        for value in request.headers.get_all("Authorization"):
            try:
                given = _with_user(parse_digest(value))
            except SipParseError:
                continue  # another scheme, or unreadable: like no credentials
            if (
                given.get("realm") == self.realm
                and needed <= given.keys()
                and given.get("algorithm", "MD5").upper() in self._algorithms
                and _has_valid_qop(given)
            ):
                return given
        return None

    def _is_right(self, request: Request, given: dict[str, str]) -> bool:
        algorithm = given.get("algorithm", "MD5").upper()
        user = given["username"]
        known = self._find_ha1(user, self.realm, algorithm)
        # For an unknown user, the server computes with a secret value instead of the HA1. This
        # takes the same time, and no response can be right.
        stand_in = _digest(algorithm, f"{self._secret.hex()}:{user}")
        secret = stand_in if known is None else known.lower()
        expected = _response(secret, request.method, given, algorithm)
        answer = given["response"].lower()
        right = answer.isascii() and hmac.compare_digest(expected, answer)
        return right and known is not None and _uri_matches(given["uri"], request.uri)

    def _nonce(self, now: float, host: str) -> str:
        self._made += 1
        stamp = _NONCE.pack(max(0, int(now * 1000)), self._made)
        return base64.urlsafe_b64encode(stamp + self._mac(stamp, host)).decode()

    def _mac(self, stamp: bytes, host: str) -> bytes:
        bound = stamp + f"{host}\0{self.realm}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, bound, "sha256")[:_MAC_LENGTH]

    def _is_fresh(self, nonce: str, now: float, host: str) -> bool:
        try:
            raw = base64.b64decode(nonce.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return False
        stamp, mac = raw[: _NONCE.size], raw[_NONCE.size :]
        if len(stamp) != _NONCE.size or not hmac.compare_digest(mac, self._mac(stamp, host)):
            return False
        made_ms = int.from_bytes(stamp[:8], "big")
        return -1.0 <= now - made_ms / 1000 <= self._lifetime

    def _count(self, nonce: str, count: int, now: float) -> bool:
        """Record the use of a nonce with this count; return whether the use is allowed.

        It is not allowed if this count or a higher one was used before, or if the nonce is new and
        the store is full.
        """
        _, last = self._used.get(nonce, (now, 0))
        if count <= last:
            return False
        if len(self._used) >= MAX_NONCES:
            self._forget(now)
        if nonce not in self._used and len(self._used) >= MAX_NONCES:
            return False
        first_used = self._used.get(nonce, (now, 0))[0]
        self._used[nonce] = (first_used, count)
        return True

    def _forget(self, now: float) -> None:
        # A nonce is made before its first use. So a nonce whose first use was before `limit` has
        # expired.
        limit = now - self._lifetime - 1.0
        self._used = {nonce: use for nonce, use in self._used.items() if use[0] >= limit}


class DigestClient:
    """The client's side: it answers challenges with the name and password of one user."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._counts: dict[str, int] = {}

    def answer(self, request: Request, response: Response, cnonce: str) -> tuple[str, str] | None:
        """Return the header (name, value) with the credentials for sending the request again.

        Args:
            request: The request to which the challenge came.
            response: The 401 or 407 with the challenge.
            cnonce: A new random token.

        Returns:
            None if no challenge can be answered. Also None if the request already had credentials
            and the server does not call the nonce stale, because then the password is wrong.
        """
        asked, answered = (
            ("Proxy-Authenticate", "Proxy-Authorization")
            if response.status == 407
            else ("WWW-Authenticate", "Authorization")
        )
        for value in response.headers.get_all(asked):
            challenge = _parse_supported(value)
            if challenge is None:
                continue
            if request.headers.get(answered) is not None and not _is_stale(challenge):
                return None
            return answered, self._credentials(request, challenge, cnonce)
        return None

    def _credentials(self, request: Request, challenge: dict[str, str], cnonce: str) -> str:
        algorithm = challenge.get("algorithm", "MD5").upper()
        realm, nonce = challenge["realm"], challenge["nonce"]
        values = {"username": self._user, "realm": realm, "nonce": nonce, "uri": str(request.uri)}
        if "qop" in challenge:
            # Only the count of the last nonce is stored, because a new nonce starts at 1.
            self._counts = {nonce: self._counts.get(nonce, 0) + 1}
            values |= {"nc": f"{self._counts[nonce]:08x}", "cnonce": cnonce, "qop": "auth"}
        secret = ha1(self._user, realm, self._password, algorithm)
        values["response"] = _response(secret, request.method, values, algorithm)
        if "opaque" in challenge:
            values["opaque"] = challenge["opaque"]
        if "algorithm" in challenge:
            values["algorithm"] = algorithm
        bare = {"nc", "qop", "algorithm"}
        return "Digest " + ", ".join(
            f"{name}={value if name in bare else quote(value)}" for name, value in values.items()
        )


def _with_user(given: dict[str, str]) -> dict[str, str]:
    """Return the credentials; if they have `username*`, add its decoded text as `username`.

    See RFC 7616 section 3.4.
    """
    extended = given.get("username*")
    if extended is None:
        return given
    found = _EXTENDED.fullmatch(extended)
    if found is None or "username" in given or given.get("userhash", "false").lower() != "false":
        raise SipParseError("a user name that cannot be read")
    try:
        return given | {"username": percent_unquote(found[1], errors="strict")}
    except UnicodeDecodeError:
        raise SipParseError("a user name that cannot be read") from None


def _parse_supported(value: str) -> dict[str, str] | None:
    try:
        challenge = parse_digest(value)
    except SipParseError:
        return None  # another scheme, which we do not support
    qop = challenge.get("qop")
    offered = qop is None or "auth" in (word.strip().lower() for word in qop.split(","))
    known = challenge.get("algorithm", "MD5").upper() in _HASHES
    return challenge if offered and known and {"realm", "nonce"} <= challenge.keys() else None


def _is_stale(challenge: dict[str, str]) -> bool:
    return challenge.get("stale", "").lower() == "true"


def _response(secret: str, method: str, values: dict[str, str], algorithm: str) -> str:
    a2 = _digest(algorithm, f"{method}:{values['uri']}")
    if "qop" not in values:
        return _digest(algorithm, f"{secret}:{values['nonce']}:{a2}")
    count, cnonce = values["nc"], values["cnonce"]
    return _digest(algorithm, f"{secret}:{values['nonce']}:{count}:{cnonce}:auth:{a2}")


def _digest(algorithm: str, text: str) -> str:
    make = _HASHES.get(algorithm.upper())
    if make is None:
        raise ProtocolError("an unknown digest algorithm")
    return make(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _has_valid_qop(given: dict[str, str]) -> bool:
    """Return whether qop is `auth` with a count and a cnonce.

    Return True also if all three are missing, as on old phones (RFC 2069).
    """
    if not given.keys() & {"qop", "nc", "cnonce"}:
        return True
    counted = _COUNT.fullmatch(given.get("nc", "")) is not None and "cnonce" in given
    return counted and given.get("qop", "").lower() == "auth"


def _uri_matches(text: str, target: Uri) -> bool:
    # Phones omit or add a port, parameters or (pyVoIP) the user. So only the host must match, and
    # the user if there is one.
    try:
        named = Uri.parse(text)
    except SipParseError:
        return False
    return named.host.lower() == target.host.lower() and named.user in {None, target.user}
