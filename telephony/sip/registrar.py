"""The registrar's bindings (RFC 3261 section 10.3): the phones of each address-of-record.

A REGISTER may pass through proxies that add themselves to its Path. Requests to the phone go
through the same proxies (RFC 3327). The application authenticates and decides who may register,
before it calls `Registrar.register`. `now` is in seconds by a clock of the application, the same
for all calls. A binding is saved with its remaining time, so another clock may be used after a
restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.message.grammar import drop_parameter
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response, respond
from telephony.sip.message.uri import SIP_SCHEMES, Uri
from telephony.sip.transport.address import DEFAULT_PORTS, Address

MIN_EXPIRES: Final = 60
"""The shortest expiry in seconds. A shorter expiry, except 0 (remove the binding), gets 423."""
MAX_EXPIRES: Final = 3600
"""The longest expiry in seconds. A longer expiry is shortened to this."""
DEFAULT_EXPIRES: Final = 3600
"""The expiry in seconds if a REGISTER has none, or not a valid number (RFC 3261 20.19)."""
MAX_CONTACTS: Final = 32
"""The most Contacts in one REGISTER. A REGISTER with more gets 400."""
MAX_PATH: Final = 10
"""The most proxies in the Path of one REGISTER. A REGISTER with more gets 400."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One Contact that is registered for an address-of-record.

    Attributes:
        contact: The registered Contact, without its display name and its `expires` parameter.
        call_id: The Call-ID of the REGISTER that made or most recently refreshed the binding.
        cseq: The CSeq number of that REGISTER.
        source: The address from which that REGISTER came. It is the only way to a phone behind NAT.
        expires_at: The end of the binding in seconds, by the same clock as `now` in `Registrar`.
        path: The proxies between us and the phone, the nearest proxy first (RFC 3327).
    """

    contact: NameAddr
    call_id: str
    cseq: int
    source: Address
    expires_at: float
    path: tuple[NameAddr, ...] = ()

    @property
    def uri(self) -> Uri:
        """The Request-URI for requests to the phone: its Contact URI without header fields."""
        return self.contact.uri.without_headers()

    @property
    def address(self) -> Address:
        """The address to which a request to the phone is sent.

        After a REGISTER over a connection, it is the source address, over the same connection (RFC
        5626). After UDP, it is the address in the URI of the nearest proxy or, without a proxy, of
        the Contact. If the host of this URI is not the source IP address, the sender is behind NAT,
        and the source address is used.
        """
        uri = self.path[0].uri if self.path else self.contact.uri
        if self.source.reliable or uri.host != self.source.host:
            return self.source
        return Address(uri.host, uri.port or DEFAULT_PORTS["UDP"])

    def is_same_contact(self, other: NameAddr) -> bool:
        """Return whether `other` is the Contact of this binding.

        If both have the same `+sip.instance` (the id of a phone), the `reg-id` must be equal.
        Otherwise the URIs must be equivalent.
        """
        instance = self.contact.parameter("+sip.instance")
        if instance and instance == other.parameter("+sip.instance"):
            return self.contact.parameter("reg-id") == other.parameter("reg-id")
        return self.contact.uri.equivalent(other.uri)


class Registrar:
    """The bindings of all addresses-of-record, and the rules by which a REGISTER changes them."""

    def __init__(self, max_bindings: int = 10) -> None:
        """Make a registrar without bindings.

        If a REGISTER gives an address-of-record more than `max_bindings` bindings, those that
        expire first are removed.
        """
        self._max_bindings = max_bindings
        self._bindings: dict[str, list[Binding]] = {}

    def register(self, aor: str, request: Request, source: Address, now: float) -> Response:
        """Change the bindings of `aor`, all or none. Return the response to the REGISTER."""
        before = held = self.bindings(aor, now)
        try:
            wanted, path = _contacts(request), _path(request)
            if "*" in wanted:
                held = _remove_all(held, request, wanted)
            else:
                for contact in [NameAddr.parse(element) for element in wanted]:
                    asked = _bind(contact, path, request, source, now)
                    held = _apply(held, asked, before, request, now)
        except SipParseError as error:
            shortest = [("Min-Expires", str(MIN_EXPIRES))] if error.status == 423 else []
            return respond(request, error.status, headers=shortest)
        held = sorted(held, key=lambda binding: binding.expires_at)[-self._max_bindings :]
        self._store(aor, held)
        way = (("Path", str(proxy)) for proxy in path)
        return respond(request, 200, headers=[*_contact_headers(held, now), *way])

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """Return the unexpired bindings of the address-of-record `aor`."""
        return [b for b in self._bindings.get(aor, ()) if b.expires_at > now]

    def contacts(self, aor: str, now: float) -> list[tuple[Uri, Address]]:
        """Return the Request-URI and the address of each binding, in the order of `reachable`."""
        return [(binding.uri, binding.address) for binding in self.reachable(aor, now)]

    def reachable(self, aor: str, now: float) -> list[Binding]:
        """Return the unexpired bindings of `aor` by q value, highest first, then latest expiry."""
        held = sorted(self.bindings(aor, now), key=lambda b: (b.contact.q, b.expires_at))
        return held[::-1]

    def count(self, now: float) -> int:
        """Return the number of unexpired bindings of all addresses-of-record together."""
        return sum(self.counts(now).values())

    def counts(self, now: float) -> dict[str, int]:
        """Return the number of unexpired bindings of each address-of-record that has any."""
        counts = {aor: len(self.bindings(aor, now)) for aor in self._bindings}
        return {aor: count for aor, count in counts.items() if count}

    def hosts(self, now: float) -> set[str]:
        """Return the IP addresses from which the unexpired bindings were registered."""
        return {b.source.host for aor in self._bindings for b in self.bindings(aor, now)}

    def expire(self, now: float) -> list[str]:
        """Remove expired bindings, and return each address-of-record that has lost a binding."""
        lost = [
            aor for aor, held in self._bindings.items() if len(self.bindings(aor, now)) < len(held)
        ]
        for aor in lost:
            self._store(aor, self.bindings(aor, now))
        return lost

    def remove(self, aor: str) -> None:
        """Remove all bindings of the address-of-record `aor`."""
        self._bindings.pop(aor, None)

    def to_dict(self, now: float) -> dict[str, object]:
        """Return all bindings as values that can be stored as JSON and restored by `from_dict`."""
        return {
            aor: [_save(binding, now) for binding in held]
            for aor in self._bindings
            if (held := self.bindings(aor, now))
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, object], now: float) -> Registrar:
        """Make a registrar from the saved bindings that `to_dict` returned.

        A binding that is not valid, or has more remaining time than `MAX_EXPIRES`, is not restored:
        the phone will register again.
        """
        registrar = cls()
        for aor, rows in saved.items():
            restored = (_restore(row, now) for row in rows) if isinstance(rows, list) else ()
            held = [b for b in restored if b is not None and b.expires_at - now <= MAX_EXPIRES]
            registrar._store(aor, held)
        return registrar

    def _store(self, aor: str, held: list[Binding]) -> None:
        if held:
            self._bindings[aor] = held
        else:
            self._bindings.pop(aor, None)


def _bind(
    contact: NameAddr,
    path: tuple[NameAddr, ...],
    request: Request,
    source: Address,
    now: float,
) -> Binding:
    """Return the new binding for a Contact, already expired if the phone removes it.

    Raises `SipParseError` if the Contact is not a sip or sips URI, or its expiry is too short.
    """
    if contact.uri.scheme not in SIP_SCHEMES:
        raise SipParseError("a Contact is not a SIP address")
    seconds = _expires(contact, request)
    if 0 < seconds < MIN_EXPIRES:
        raise SipParseError("the expiry of a Contact is too short", status=423)
    bare = NameAddr("", contact.uri, drop_parameter(contact.parameters, "expires"))
    expires_at = now + min(seconds, MAX_EXPIRES)
    return Binding(bare, request.call_id, request.cseq.number, source, expires_at, path)


def _apply(
    held: list[Binding], asked: Binding, before: list[Binding], request: Request, now: float
) -> list[Binding]:
    """Return `held` with `asked` instead of any binding of the same Contact.

    If `asked` has already expired, it is not added: the phone removes its binding. `before` has the
    bindings before this REGISTER. Raises `SipParseError` if the Contact's binding there is newer.
    """
    others: list[Binding] = []
    for binding in held:
        if not binding.is_same_contact(asked.contact):
            others.append(binding)
        elif binding in before:
            _require_newer(binding, request)
    return [*others, asked] if asked.expires_at > now else others


def _contacts(request: Request) -> list[str]:
    wanted = request.headers.get_list("Contact")
    if len(wanted) > MAX_CONTACTS:
        raise SipParseError("too many contacts in one REGISTER")
    return wanted


def _path(request: Request) -> tuple[NameAddr, ...]:
    path = tuple(NameAddr.parse(proxy) for proxy in request.headers.get_list("Path"))
    if len(path) > MAX_PATH or any(proxy.uri.scheme not in SIP_SCHEMES for proxy in path):
        raise SipParseError("a Path is too long, or has an entry that is not a SIP address")
    return path


def _expires(contact: NameAddr, request: Request) -> int:
    wish = contact.parameter("expires")
    if wish is None:
        wish = request.headers.get("Expires") or ""
    valid = wish.isascii() and wish.isdecimal() and len(wish) <= 10
    return int(wish) if valid else DEFAULT_EXPIRES


def _remove_all(held: list[Binding], request: Request, wanted: list[str]) -> list[Binding]:
    if len(wanted) != 1 or request.headers.get("Expires") != "0":
        raise SipParseError("a wildcard Contact is not the only Contact, or has no Expires: 0")
    for binding in held:
        _require_newer(binding, request)
    return []


def _require_newer(binding: Binding, request: Request) -> None:
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise SipParseError("an older REGISTER arrived after a newer one")


def _contact_headers(held: Iterable[Binding], now: float) -> list[tuple[str, str]]:
    return [
        (
            "Contact",
            str(b.contact.with_parameter("expires", str(math.ceil(b.expires_at - now)))),
        )
        for b in held
    ]


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
    if not isinstance(saved, list):
        raise SipParseError("not a path")
    return tuple(NameAddr.parse(str(proxy)) for proxy in saved)
