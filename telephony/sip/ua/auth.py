"""Digest authentication as a server and as a client (RFC 3261 section 22, RFC 7616, RFC 8760).

The module supports MD5 and SHA-256, with qop=auth or without qop, but not `auth-int`, `-sess` and
userhash. The server stores no passwords: a function supplies a user's HA1. For an unknown user, the
server does the same calculation, so that the time until the response does not show which users
exist. A nonce is a time, a number and an HMAC, and valid only for the host to which we sent it. The
server stores nonce counts only of users who sent the right password, at most `MAX_NONCES` for each.
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
"""Returns a user's HA1 in hexadecimal for a realm and algorithm; None if the user is unknown."""

MAX_NONCES: Final = 64
"""The server stores at most this many used nonces of one user.

Beyond this number, it forgets the oldest nonce. This nonce and all that were made earlier are then
stale for the user.
"""

_HASHES: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_NONCE: Final = struct.Struct(">QQ")
_MAC_LENGTH: Final = 16
_COUNT: Final = re.compile(r"[0-9A-Fa-f]{8}")
_BLANKS: Final = re.compile(r"[ \t]+")
_EXTENDED: Final = re.compile(
    r"utf-8'[a-z0-9\-]*'((?:[a-z0-9!#$&+\-.^_`|~]|%[0-9a-f]{2})+)", re.IGNORECASE | re.ASCII
)


def ha1(user: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """Return the HA1 in hexadecimal, to store instead of the password. Raises `ProtocolError`."""
    return _digest(algorithm, f"{user}:{realm}:{password}")


def parse_digest(text: str) -> dict[str, str]:
    """Parse a Digest challenge or credentials; keys in lower case. Raises `SipParseError`."""
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
    """The request has no readable credentials for our realm and algorithms."""
    STALE = "stale"
    """The password is right, but the nonce is expired, not for this host, or may be repeated."""
    REFUSED = "refused"
    """The user is unknown, the password is wrong, or the `uri` is not that of the request."""
    UNCHECKED = "unchecked"
    """The password was not checked, because the application did not allow it."""


@dataclass(frozen=True, slots=True)
class DigestVerification:
    """The result of `DigestServer.verify`.

    Attributes:
        user: The user name if the credentials are accepted, otherwise "".
        named: The user name in the credentials, even if they are wrong; "" if they are missing.
        returned: True if the password was checked, and the nonce is unexpired and was made for the
            request's host. The sender has then received our challenge at its address.
    """

    outcome: AuthOutcome
    user: str = ""
    named: str = ""
    returned: bool = False


class _UsedNonces:
    """The used nonces of one user as stamps, with their highest counts. Stamps grow with time."""

    __slots__ = ("_counts", "_forgotten")

    def __init__(self) -> None:
        self._counts: dict[bytes, int] = {}
        self._forgotten = b""
        """The greatest stamp that was forgotten although it had not expired."""

    def count(self, stamp: bytes, count: int, expired: bytes) -> bool:
        """Store a use of an unexpired nonce with `count`.

        Return False, and store nothing, if this nonce and count may have been used before.
        `expired` is greater than all stamps that have expired.
        """
        counts = self._counts
        if count <= counts.get(stamp, 0) or (stamp not in counts and stamp <= self._forgotten):
            return False
        counts[stamp] = count
        for other in [each for each in counts if each < expired]:
            del counts[other]
        if len(counts) > MAX_NONCES:
            self._forgotten = min(counts)
            del counts[self._forgotten]
        return True


class DigestServer:
    """The server side: it challenges requests, and verifies the credentials in requests."""

    def __init__(
        self,
        realm: str,
        secret: bytes,
        find_ha1: FindHa1,
        *,
        lifetime: float = 300.0,
        algorithms: Sequence[str] = ("SHA-256", "MD5"),
    ) -> None:
        """Make a server for one realm, a text by which phones name this server to their users.

        `secret` (at least 16 random bytes) makes nonces. If it changes, earlier nonces are stale.
        `find_ha1` returns a user's HA1. A nonce may be used for `lifetime` seconds. `algorithms`
        are offered in this order. Raises `ProtocolError` if the secret is too short, there is no
        algorithm or an unknown one, or the realm cannot be written in a header field.
        """
        if len(secret) < 16 or not algorithms or any(name not in _HASHES for name in algorithms):
            raise ProtocolError("the secret needs 16 bytes, and algorithms must be MD5 or SHA-256")
        # `encode` raises ProtocolError if the realm cannot be written in a header field.
        encode(quote(realm))
        self.realm = realm
        self._secret = secret
        self._find_ha1 = find_ha1
        self._lifetime = lifetime
        self._algorithms = tuple(algorithms)
        self._made = 0
        self._used: dict[str, _UsedNonces] = {}
        """The used nonces by user name, only of users who have sent the right password."""

    def challenge(
        self,
        request: Request,
        now: float,
        outcome: AuthOutcome = AuthOutcome.MISSING,
        *,
        host: str = "",
    ) -> Response:
        """Make the 401 to a request from the IP address `host`, after the `outcome` of `verify`.

        It has one challenge for each algorithm (RFC 8760 section 2), with `stale=true` if
        `outcome` is STALE.
        """
        return respond(request, 401, headers=self.challenges(now, outcome, host=host))

    def challenges(
        self, now: float, outcome: AuthOutcome = AuthOutcome.MISSING, *, host: str = ""
    ) -> list[tuple[str, str]]:
        """Return the WWW-Authenticate header fields of a 401, as `challenge` makes it."""
        nonce = self._nonce(now, host)
        stale = ", stale=true" if outcome is AuthOutcome.STALE else ""
        head = f"Digest realm={quote(self.realm)}, nonce={quote(nonce)}"
        return [
            ("WWW-Authenticate", f'{head}, algorithm={algorithm}, qop="auth"{stale}')
            for algorithm in self._algorithms
        ]

    def verify(
        self,
        request: Request,
        now: float,
        *,
        host: str = "",
        may_check: Callable[[str], bool] = lambda _: True,
    ) -> DigestVerification:
        """Check the credentials of a request from the IP address `host`. Raises no error.

        The password is checked only if `may_check(user)` is true.
        """
        given = self._credentials(request)
        if given is None:
            return DigestVerification(AuthOutcome.MISSING)
        user = given["username"]
        if not may_check(user):
            return DigestVerification(AuthOutcome.UNCHECKED, named=user)
        stamp = self._fresh_stamp(given["nonce"], now, host)
        returned = stamp is not None
        if not self._is_right(request, given):
            return DigestVerification(AuthOutcome.REFUSED, named=user, returned=returned)
        # Credentials without qop (RFC 2069) contain no nonce count. Their count is always taken as
        # 1, so that each nonce is accepted only once.
        count = int(given.get("nc", "1"), 16)
        if stamp is None or not self._count(user, stamp, count, now):
            return DigestVerification(AuthOutcome.STALE, named=user, returned=returned)
        return DigestVerification(AuthOutcome.ACCEPTED, user, named=user, returned=True)

    def _credentials(self, request: Request) -> dict[str, str] | None:
        """Return the values of the first Authorization that we can check; None without one."""
        needed = {"username", "nonce", "uri", "response"}
        for value in request.headers.get_all("Authorization"):
            try:
                given = _with_user(parse_digest(value))
            except SipParseError:
                # The scheme is not Digest, or the value is malformed, so the header field is
                # ignored.
                continue
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
        # For an unknown user, the server uses a secret value instead of the HA1. So the calculation
        # takes the same time as for a known user, but no credentials can be right.
        stand_in = _digest(algorithm, f"{self._secret.hex()}:{user}")
        secret = stand_in if known is None else known.lower()
        expected = _response(secret, request.method, given, algorithm)
        answer = given["response"].lower()
        right = answer.isascii() and hmac.compare_digest(expected, answer)
        return right and known is not None and _uri_matches(given["uri"], request.uri)

    def _nonce(self, now: float, host: str) -> str:
        self._made += 1
        stamp = _stamp(now, self._made)
        return base64.urlsafe_b64encode(stamp + self._mac(stamp, host)).decode()

    def _mac(self, stamp: bytes, host: str) -> bytes:
        bound = stamp + f"{host}\0{self.realm}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, bound, "sha256")[:_MAC_LENGTH]

    def _fresh_stamp(self, nonce: str, now: float, host: str) -> bytes | None:
        """Return the stamp of a nonce; None if it has expired, or we did not make it for `host`."""
        try:
            raw = base64.b64decode(nonce.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return None
        stamp, mac = raw[: _NONCE.size], raw[_NONCE.size :]
        if len(stamp) != _NONCE.size or not hmac.compare_digest(mac, self._mac(stamp, host)):
            return None
        made_ms = int.from_bytes(stamp[:8], "big")
        return stamp if -1.0 <= now - made_ms / 1000 <= self._lifetime else None

    def _count(self, user: str, stamp: bytes, count: int, now: float) -> bool:
        """Store a use of a nonce by `user`. Return False if this use may be a repetition."""
        used = self._used.get(user)
        if used is None:
            used = self._used[user] = _UsedNonces()
        return used.count(stamp, count, _stamp(now - self._lifetime - 1.0, 0))


class DigestClient:
    """The client side: it responds to challenges with the name and password of one user."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._counts: dict[str, int] = {}

    def answer(self, request: Request, response: Response, cnonce: str) -> tuple[str, str] | None:
        """Return the header field (name, value) with credentials for a 401 or 407.

        `cnonce` is a new random token. Return None if no challenge is supported, or the password is
        wrong: the request had credentials, and the server does not report a stale nonce.
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
            # Only the count of this nonce is stored. An earlier nonce is not used again, and the
            # count of a new nonce starts at 1.
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
    """Decode `username*` as `username` (RFC 7616 section 3.4), or raise SipParseError."""
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


def _stamp(now: float, number: int) -> bytes:
    return _NONCE.pack(max(0, int(now * 1000)), number)


def _parse_supported(value: str) -> dict[str, str] | None:
    try:
        challenge = parse_digest(value)
    except SipParseError:
        # The scheme is not Digest, or the challenge is malformed, so we cannot respond to it.
        return None
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
    """Return whether qop is `auth` with nonce count and cnonce, or all are missing (RFC 2069)."""
    if not given.keys() & {"qop", "nc", "cnonce"}:
        return True
    counted = _COUNT.fullmatch(given.get("nc", "")) is not None and "cnonce" in given
    return counted and given.get("qop", "").lower() == "auth"


def _uri_matches(text: str, target: Uri) -> bool:
    # In the `uri` of their credentials, some phones omit or add a port or parameters, and pyVoIP
    # omits the user. So only two parts are compared with the Request-URI: the host, and the user if
    # `uri` has a user. docs/security.md says what an attacker gains by this.
    try:
        named = Uri.parse(text)
    except SipParseError:
        return False
    return named.host.lower() == target.host.lower() and named.user in {None, target.user}
