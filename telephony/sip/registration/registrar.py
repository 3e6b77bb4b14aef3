"""The registrar's bindings (RFC 3261 section 10.3): the phones of each address-of-record.

A phone's REGISTER may pass through proxies that add themselves to its Path header field. Requests
to this phone are then sent through the same proxies (RFC 3327).

The registrar does not authenticate, and does not decide who may register. The application does both
before it calls `Registrar.register`. The argument `now` is a time in seconds, by a clock that the
application chooses. All calls for one `Registrar` must use the same clock. A binding is saved with
its remaining time, so the clock may be a different one after a restart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.message.grammar import drop_parameter
from telephony.sip.message.messages import Request, Response, respond
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import SIP_SCHEMES, Uri
from telephony.sip.transport.address import Address

FALLBACK_EXPIRES: Final = 3600
"""The expiry in seconds that a phone gets if its REGISTER requests one that is not a valid number
(RFC 3261 section 20.19)."""

MAX_CONTACTS: Final = 32
"""The maximum number of Contacts in one REGISTER."""

MAX_PATH: Final = 10
"""The maximum number of proxies in the Path of one REGISTER."""

_SIP_PORT: Final = 5060


@dataclass(frozen=True, slots=True)
class Binding:
    """One Contact that is registered for an address-of-record.

    Attributes:
        contact: The Contact as it was registered, without its `expires` parameter.
        call_id: The Call-ID of the REGISTER that made the binding, or that most recently refreshed
            it.
        cseq: The CSeq number of that REGISTER.
        source: The address from which that REGISTER came. A phone behind NAT can be reached only at
            this address.
        expires_at: The time in seconds at which the binding expires, by the same clock as `now` in
            the methods of `Registrar`.
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

        If the REGISTER came over a connection, the request is sent to the REGISTER's source
        address, over the same connection (RFC 5626). If the REGISTER came by UDP, the request is
        sent to the host and port in a URI: the URI of the nearest proxy in the path, or of the
        Contact if there is no path. If the host in that URI is not the REGISTER's source IP
        address, the sender is behind NAT. The request is then sent to the source address.
        """
        uri = self.path[0].uri if self.path else self.contact.uri
        if self.source.reliable or uri.host != self.source.host:
            return self.source
        return Address(uri.host, uri.port or _SIP_PORT)

    def is_same_contact(self, other: NameAddr) -> bool:
        """Return whether `other` is the Contact of this binding.

        For two Contacts with the same `+sip.instance` (the id of a phone), the registration ids
        (`reg-id`) must be equal. For all other Contacts, the URIs must be equivalent.
        """
        instance = self.contact.parameter("+sip.instance")
        if instance and instance == other.parameter("+sip.instance"):
            return self.contact.parameter("reg-id") == other.parameter("reg-id")
        return self.contact.uri.equivalent(other.uri)


class Registrar:
    """The bindings of all addresses-of-record, and the rules by which a REGISTER changes them."""

    def __init__(
        self,
        *,
        min_expires: int = 60,
        max_expires: int = 3600,
        default_expires: int = 3600,
        max_bindings: int = 10,
    ) -> None:
        """Make a registrar without bindings.

        Args:
            min_expires: The shortest expiry in seconds. The response to a REGISTER with a shorter
                expiry is 423.
            max_expires: The longest expiry in seconds. If a phone requests a longer expiry, the
                binding gets the expiry `max_expires`.
            default_expires: The expiry in seconds for a phone that does not request an expiry.
            max_bindings: The maximum number of bindings of one address-of-record. If a REGISTER
                exceeds it, the bindings that expire first are removed, whether old or new.
        """
        self._min_expires = min_expires
        self._max_expires = max_expires
        self._default_expires = default_expires
        self._max_bindings = max_bindings
        self._bindings: dict[str, list[Binding]] = {}

    def register(self, aor: str, request: Request, source: Address, now: float) -> Response:
        """Change the bindings of `aor` as a REGISTER requests, and return the response to send.

        `aor` is the address-of-record. If one of the Contacts in the REGISTER must be refused, the
        response is an error, and no binding changes.
        """
        before = held = self.bindings(aor, now)
        try:
            wanted, path = _contacts(request), _path(request)
            if "*" in wanted:
                held = _remove_all(held, request, wanted)
            else:
                for contact in [NameAddr.parse(element) for element in wanted]:
                    asked = self._bind(contact, path, request, source, now)
                    held = self._apply(held, asked, before, request, now)
        except SipParseError as error:
            shortest = [("Min-Expires", str(self._min_expires))] if error.status == 423 else []
            return respond(request, error.status, headers=shortest)
        held = sorted(held, key=lambda binding: binding.expires_at)[-self._max_bindings :]
        self._store(aor, held)
        way = (("Path", str(proxy)) for proxy in path)
        return respond(request, 200, headers=[*_contact_headers(held, now), *way])

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """Return the bindings of the address-of-record `aor` that have not expired."""
        return [b for b in self._bindings.get(aor, ()) if b.expires_at > now]

    def contacts(self, aor: str, now: float) -> list[tuple[Uri, Address]]:
        """Return the Request-URI and `Binding.address` of each phone that is registered for `aor`.

        The phone with the highest q value is first. Among phones with the same q value, the phone
        whose binding expires latest is first.
        """
        return [(binding.uri, binding.address) for binding in self.reachable(aor, now)]

    def reachable(self, aor: str, now: float) -> list[Binding]:
        """Return all unexpired bindings of `aor`, the binding with the highest q value first.

        Among bindings with the same q value, the binding that expires latest is first.
        """
        held = sorted(self.bindings(aor, now), key=lambda b: (_preference(b.contact), b.expires_at))
        return held[::-1]

    def count(self, now: float) -> int:
        """Return the number of unexpired bindings of all addresses-of-record together."""
        return sum(self.counts(now).values())

    def counts(self, now: float) -> dict[str, int]:
        """Return the number of unexpired bindings of each address-of-record that has any."""
        counts = {aor: len(self.bindings(aor, now)) for aor in self._bindings}
        return {aor: count for aor, count in counts.items() if count}

    def hosts(self, now: float) -> set[str]:
        """Return the IP addresses from which the present bindings were registered."""
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
        """Make a registrar from the saved bindings that `to_dict` returned.

        A binding is not restored if its values are not valid, or if its remaining time is longer
        than `max_expires`. The phone will then register again.
        """
        registrar = cls(
            min_expires=min_expires,
            max_expires=max_expires,
            default_expires=default_expires,
            max_bindings=max_bindings,
        )
        for aor, rows in saved.items():
            restored = (_restore(row, now) for row in rows) if isinstance(rows, list) else ()
            held = [b for b in restored if b is not None and b.expires_at - now <= max_expires]
            registrar._store(aor, held)
        return registrar

    def _store(self, aor: str, held: list[Binding]) -> None:
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
        """Return the new binding for `contact`, one of the Contacts in a REGISTER.

        If the phone requests to remove the binding, the returned binding is already expired.

        Raises:
            SipParseError: The Contact is not a sip or sips URI, or its expiry is too short.
        """
        if contact.uri.scheme not in SIP_SCHEMES:
            raise SipParseError("a Contact is not a SIP address")
        seconds = self._seconds(contact, request)
        if 0 < seconds < self._min_expires:
            raise SipParseError("the expiry of a Contact is too short", status=423)
        bare = NameAddr("", contact.uri, drop_parameter(contact.parameters, "expires"))
        expires_at = now + min(seconds, self._max_expires)
        return Binding(bare, request.call_id, request.cseq.number, source, expires_at, path)

    @staticmethod
    def _apply(
        held: list[Binding], asked: Binding, before: list[Binding], request: Request, now: float
    ) -> list[Binding]:
        """Return the bindings `held`, in which `asked` replaces any binding with the same Contact.

        If `asked` has already expired, the binding with the same Contact is removed, and `asked` is
        not added.

        Args:
            held: The present bindings. The Contacts of this REGISTER are processed one after the
                other, and the earlier Contacts have already changed `held`.
            asked: The binding that the present Contact of this REGISTER requests.
            before: The bindings as they were before this REGISTER arrived.
            request: The REGISTER.
            now: The present time in seconds.

        Raises:
            SipParseError: `before` contains a binding of the same Contact from a REGISTER with the
                same Call-ID and the same or a higher CSeq number.
        """
        others: list[Binding] = []
        for binding in held:
            if not binding.is_same_contact(asked.contact):
                others.append(binding)
            elif binding in before:
                _require_newer(binding, request)
        return [*others, asked] if asked.expires_at > now else others

    def _seconds(self, contact: NameAddr, request: Request) -> int:
        wish = contact.parameter("expires")
        if wish is None:
            wish = request.headers.get("Expires")
        return self._default_expires if wish is None else _parse_seconds(wish)


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


def _parse_seconds(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 10:
        return int(text)
    return FALLBACK_EXPIRES


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
    """Return the proxies of a saved path.

    `saved` is a list of texts. It is empty if an earlier version of the software saved no path; the
    result is then also empty.
    """
    if not isinstance(saved, list):
        raise SipParseError("not a path")
    return tuple(NameAddr.parse(str(proxy)) for proxy in saved)
