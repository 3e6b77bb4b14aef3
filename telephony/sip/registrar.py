"""The registrar's binding store (RFC 3261 10.3): where the phones of an address-of-record are.

A phone that registered through proxies which named themselves is reached through these (RFC 3327).

It neither authenticates nor decides who may register: the caller has done so. Times are the
caller's `now`, in seconds; what is saved are remaining times, so any clock will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.events import Address
from telephony.sip.grammar import drop_parameter
from telephony.sip.message import Request, Response, respond
from telephony.sip.name_addr import NameAddr
from telephony.sip.uri import SIP_SCHEMES, Uri

FALLBACK_EXPIRES: Final = 3600
"""What an expiry that cannot be read counts as (RFC 3261 20.19), in seconds."""

MAX_CONTACTS: Final = 32
"""More contacts than this in one REGISTER are refused."""

MAX_PATH: Final = 10
"""More proxies than this between a phone and us are refused."""

_SIP_PORT: Final = 5060


@dataclass(frozen=True, slots=True)
class Binding:
    """One contact of an address-of-record.

    Attributes:
        contact: as registered, without its `expires`.
        call_id: of the REGISTER that made or refreshed it.
        cseq: of that REGISTER.
        source: the address from which it came: a phone behind NAT is reached there alone.
        expires_at: by the caller's clock, in seconds.
        path: the proxies between us and the phone, the nearest first (RFC 3327).
    """

    contact: NameAddr
    call_id: str
    cseq: int
    source: Address
    expires_at: float
    path: tuple[NameAddr, ...] = ()

    @property
    def uri(self) -> Uri:
        """What a request to the phone has as its Request-URI."""
        return self.contact.uri.without_headers()

    @property
    def address(self) -> Address:
        """Where a request to the phone is sent.

        It is the address that its Contact names, or the nearest proxy of its path, unless the
        REGISTER came from another host: then that stands behind address translation, and is
        reached where it sends from. So is one that registered over a connection: by that
        connection (RFC 5626).
        """
        uri = self.path[0].uri if self.path else self.contact.uri
        if self.source.reliable or uri.host != self.source.host:
            return self.source
        return Address(uri.host, uri.port or _SIP_PORT)

    def is_same_contact(self, other: NameAddr) -> bool:
        """Say whether `other` is this contact: equivalent URIs, or the same phone's instance."""
        instance = self.contact.parameter("+sip.instance")
        if instance and instance == other.parameter("+sip.instance"):
            return self.contact.parameter("reg-id") == other.parameter("reg-id")
        return self.contact.uri.equivalent(other.uri)


class Registrar:
    """The bindings of all addresses-of-record."""

    def __init__(
        self,
        *,
        min_expires: int = 60,
        max_expires: int = 3600,
        default_expires: int = 3600,
        max_bindings: int = 10,
    ) -> None:
        """Make an empty store.

        Args:
            min_expires: seconds; a shorter wish is refused by 423.
            max_expires: seconds; a longer wish is cut.
            default_expires: seconds, if the phone has no wish.
            max_bindings: for one address-of-record; beyond it, what would expire first goes.
        """
        self._min_expires = min_expires
        self._max_expires = max_expires
        self._default_expires = default_expires
        self._max_bindings = max_bindings
        self._bindings: dict[str, list[Binding]] = {}

    def register(self, aor: str, request: Request, source: Address, now: float) -> Response:
        """Apply a REGISTER to the bindings of `aor`, wholly or not at all, and answer it."""
        held = self.bindings(aor, now)
        try:
            wanted, path = _wanted(request), _path(request)
            if "*" in wanted:
                held = _remove_all(held, request, wanted)
            else:
                for contact in [NameAddr.parse(element) for element in wanted]:
                    asked = self._bind(contact, path, request, source, now)
                    held = self._apply(held, asked, request, now)
        except SipParseError as error:
            shortest = [("Min-Expires", str(self._min_expires))] if error.status == 423 else []
            return respond(request, error.status, headers=shortest)
        held = sorted(held, key=lambda binding: binding.expires_at)[-self._max_bindings :]
        self._keep(aor, held)
        way = (("Path", str(proxy)) for proxy in path)
        return respond(request, 200, headers=[*_contact_headers(held, now), *way])

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """Return the bindings of `aor` that have not expired."""
        return [b for b in self._bindings.get(aor, ()) if b.expires_at > now]

    def contacts(self, aor: str, now: float) -> list[tuple[Uri, Address]]:
        """Return Request-URI and address of each phone, in the order of `reachable`."""
        return [(binding.uri, binding.address) for binding in self.reachable(aor, now)]

    def reachable(self, aor: str, now: float) -> list[Binding]:
        """Return the bindings of `aor`, by falling q and then the newest first."""
        held = sorted(self.bindings(aor, now), key=lambda b: (_preference(b.contact), b.expires_at))
        return held[::-1]

    def count(self, now: float) -> int:
        """Return how many bindings there are, of all addresses-of-record."""
        return sum(len(self.bindings(aor, now)) for aor in self._bindings)

    def hosts(self, now: float) -> set[str]:
        """Return the hosts from which the bindings were made."""
        return {b.source.host for aor in self._bindings for b in self.bindings(aor, now)}

    def expire(self, now: float) -> list[str]:
        """Drop what has expired; return the addresses-of-record that have lost a binding."""
        lost = [
            aor for aor, held in self._bindings.items() if len(self.bindings(aor, now)) < len(held)
        ]
        for aor in lost:
            self._keep(aor, self.bindings(aor, now))
        return lost

    def remove(self, aor: str) -> None:
        """Drop all bindings of `aor`."""
        self._bindings.pop(aor, None)

    def to_dict(self, now: float) -> dict[str, object]:
        """Return what `from_dict` needs, in types that JSON has."""
        return {
            aor: [_save(binding, now) for binding in held]
            for aor in self._bindings
            if (held := self.bindings(aor, now))
        }

    @classmethod
    def from_dict(
        cls,
        saved: Mapping[str, object],
        now: float,
        *,
        min_expires: int = 60,
        max_expires: int = 3600,
        default_expires: int = 3600,
        max_bindings: int = 10,
    ) -> Registrar:
        """Restore a store; a row that cannot be read is left out, its phone registers again."""
        registrar = cls(
            min_expires=min_expires,
            max_expires=max_expires,
            default_expires=default_expires,
            max_bindings=max_bindings,
        )
        for aor, rows in saved.items():
            restored = (_restore(row, now) for row in rows) if isinstance(rows, list) else ()
            held = [b for b in restored if b is not None and b.expires_at - now <= max_expires]
            registrar._keep(aor, held)
        return registrar

    def _keep(self, aor: str, held: list[Binding]) -> None:
        if held:
            self._bindings[aor] = held
        else:
            self._bindings.pop(aor, None)

    def _bind(
        self,
        contact: NameAddr,
        path: tuple[NameAddr, ...],
        request: Request,
        source: Address,
        now: float,
    ) -> Binding:
        """The binding that a contact of a REGISTER asks for; over at once, if it asks for none."""
        if contact.uri.scheme not in SIP_SCHEMES:
            raise SipParseError("a contact that is no SIP address")
        seconds = self._seconds(contact, request)
        if 0 < seconds < self._min_expires:
            raise SipParseError("too short an expiry", status=423)
        bare = NameAddr("", contact.uri, drop_parameter(contact.parameters, "expires"))
        expires_at = now + min(seconds, self._max_expires)
        return Binding(bare, request.call_id, request.cseq.number, source, expires_at, path)

    @staticmethod
    def _apply(held: list[Binding], asked: Binding, request: Request, now: float) -> list[Binding]:
        others: list[Binding] = []
        for binding in held:
            if binding.is_same_contact(asked.contact):
                _require_newer(binding, request)
            else:
                others.append(binding)
        return [*others, asked] if asked.expires_at > now else others

    def _seconds(self, contact: NameAddr, request: Request) -> int:
        wish = contact.parameter("expires")
        if wish is None:
            wish = request.headers.get("Expires")
        return self._default_expires if wish is None else _parse_seconds(wish)


def _wanted(request: Request) -> list[str]:
    wanted = request.headers.get_list("Contact")
    if len(wanted) > MAX_CONTACTS:
        raise SipParseError("too many contacts in one REGISTER")
    return wanted


def _path(request: Request) -> tuple[NameAddr, ...]:
    path = tuple(NameAddr.parse(proxy) for proxy in request.headers.get_list("Path"))
    if len(path) > MAX_PATH or any(proxy.uri.scheme not in SIP_SCHEMES for proxy in path):
        raise SipParseError("a path that is too long, or leads by something else than SIP")
    return path


def _parse_seconds(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 10:
        return int(text)
    return FALLBACK_EXPIRES


def _remove_all(held: list[Binding], request: Request, wanted: list[str]) -> list[Binding]:
    if len(wanted) != 1 or request.headers.get("Expires") != "0":
        raise SipParseError("a wildcard that does not stand alone, or without Expires: 0")
    for binding in held:
        _require_newer(binding, request)
    return []


def _require_newer(binding: Binding, request: Request) -> None:
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise SipParseError("an older REGISTER came after a newer one")


def _contact_headers(held: Iterable[Binding], now: float) -> list[tuple[str, str]]:
    return [
        (
            "Contact",
            str(b.contact.with_parameter("expires", str(math.ceil(b.expires_at - now)))),
        )
        for b in held
    ]


def _preference(contact: NameAddr) -> float:
    try:
        return min(1.0, max(0.0, float(contact.parameter("q") or "1")))
    except ValueError:
        return 1.0


def _save(binding: Binding, now: float) -> dict[str, object]:
    return {
        "contact": str(binding.contact),
        "call_id": binding.call_id,
        "cseq": binding.cseq,
        "source": list(binding.source),
        "seconds": binding.expires_at - now,
        "path": [str(proxy) for proxy in binding.path],
    }


def _restore(row: object, now: float) -> Binding | None:
    match row:
        case {
            "contact": str(contact),
            "call_id": str(call_id),
            "cseq": int(cseq),
            "source": [str(host), int(port), str(transport), str(name), int(flow)],
            "seconds": float() | int() as seconds,
            **rest,
        } if seconds > 0:
            try:
                parsed, path = NameAddr.parse(contact), _restore_path(rest.get("path", []))
            except (ParseError, ProtocolError):
                return None
            source = Address(host, port, transport, name, flow)
            return Binding(parsed, call_id, cseq, source, now + seconds, path)
    return None


def _restore_path(saved: object) -> tuple[NameAddr, ...]:
    """The proxies of a path; files from before there were any have none."""
    if not isinstance(saved, list):
        raise SipParseError("not a path")
    return tuple(NameAddr.parse(str(proxy)) for proxy in saved)
