"""The search by DNS for the addresses of a SIP URI (RFC 3263 section 4), without I/O.

`locate` is a generator: it yields DNS questions, receives answers, and returns addresses. The code
that runs it sends the queries, and decides how long to wait.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import DEFAULT_PORTS, Address, is_ipv6, literal

RecordType: TypeAlias = Literal["NAPTR", "SRV", "A", "AAAA"]

MAX_CANDIDATES: Final = 20
"""The most addresses that `locate` returns, and the most hosts of one SRV answer that it uses."""
_SERVICES: Final = {"UDP": "_sip._udp.", "TCP": "_sip._tcp.", "TLS": "_sips._tcp."}
_NAPTR_SERVICES: Final = {"sip+d2u": "UDP", "sip+d2t": "TCP", "sips+d2t": "TLS"}


class Question(NamedTuple):
    """A DNS question: a name, and the type of the requested records."""

    name: str
    kind: RecordType


@dataclass(frozen=True, slots=True)
class Naptr:
    """A NAPTR record (RFC 3403)."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


Record: TypeAlias = Naptr | Srv | str
"""One DNS record. An A or AAAA record is only its IP address as text."""
DnsAnswers: TypeAlias = Sequence[Sequence[Record]]
"""One answer for each question, in sequence; empty if the name has no such record."""
AddressLookup: TypeAlias = Generator[list[Question], DnsAnswers, list[Address]]


class TransportFamily(NamedTuple):
    """A transport and an IP family over which we can send."""

    transport: str
    ipv6: bool


class _Service(NamedTuple):
    transport: str
    name: str


def locate(uri: Uri, available: Sequence[TransportFamily], rng: random.Random) -> AddressLookup:
    """Return the addresses to try for a request to `uri`, the preferred first.

    For a sips URI, all use TLS. `available` has the transports and IP families to use, the
    preferred first. `rng` chooses among SRV records of one priority, by weight.
    """
    host = (uri.parameter("maddr") or uri.host).strip("[]")
    wanted = _requested_transport(uri)
    address = literal(host)
    if address is not None:
        transport = wanted or _default(uri)
        port = uri.port or DEFAULT_PORTS.get(transport, 0)
        return _fit([Address(address, port, transport)], available)
    if uri.port is not None:
        found = yield from _addresses([(host, uri.port)], wanted or _default(uri), available)
        return _named(found, host)
    services = yield from _services(host, uri, wanted, available)
    candidates: list[Address] = []
    for service in services:
        (records,) = yield [Question(service.name, "SRV")]
        places = [(srv.target, srv.port) for srv in arrange(records, rng)]
        candidates += yield from _addresses(places, service.transport, available)
    if not candidates:
        transport = wanted or _default(uri)
        place = (host, DEFAULT_PORTS.get(transport, 0))
        candidates = yield from _addresses([place], transport, available)
    return _named(candidates, host)


def arrange(records: Iterable[Record], rng: random.Random) -> list[Srv]:
    """Return the SRV records in the order to try (RFC 2782), without `.` (no server)."""
    left = [srv for srv in records if isinstance(srv, Srv) and srv.target.strip(".")]
    arranged: list[Srv] = []
    while left:
        priority = min(srv.priority for srv in left)
        equals = sorted((s for s in left if s.priority == priority), key=lambda s: s.weight)
        point = rng.randint(0, sum(srv.weight for srv in equals))
        for srv in equals:
            point -= srv.weight
            if point <= 0:
                arranged.append(srv)
                left.remove(srv)
                break
    return arranged


def _requested_transport(uri: Uri) -> str | None:
    """Return the transport that the URI demands; None for a sip URI without `transport`.

    A sips URI demands TLS. If its `transport` is neither TCP nor TLS, the result is "NONE", for
    which no address will be found.
    """
    named = (uri.parameter("transport") or "").upper()
    if uri.scheme == "sips":
        return "TLS" if named in {"", "TCP", "TLS"} else "NONE"
    return named or None


def _default(uri: Uri) -> str:
    return "TLS" if uri.scheme == "sips" else "UDP"


def _services(
    host: str, uri: Uri, wanted: str | None, available: Sequence[TransportFamily]
) -> Generator[list[Question], DnsAnswers, list[_Service]]:
    """Return the SRV names to query, the preferred name first, each with its transport.

    If a sip URI requests a transport, return only the name for this transport, or nothing if we do
    not have the transport. Otherwise the names come from the NAPTR records of `host` with our
    transports (for sips, only TLS). Without such records, there is one name for each transport.
    """
    ours = list(dict.fromkeys(family.transport for family in available))
    if uri.scheme == "sips":
        ours = [transport for transport in ours if transport == "TLS"]
    if wanted is not None and uri.scheme != "sips":
        return [_Service(wanted, _SERVICES[wanted] + host)] if wanted in ours else []
    (records,) = yield [Question(host, "NAPTR")]
    found = sorted(
        (record for record in records if isinstance(record, Naptr)),
        key=lambda record: (record.order, record.preference),
    )
    services = [
        _Service(_NAPTR_SERVICES[record.service.lower()], record.replacement)
        for record in found
        if record.flags.lower() == "s" and _NAPTR_SERVICES.get(record.service.lower()) in ours
    ]
    return services or [_Service(transport, _SERVICES[transport] + host) for transport in ours]


def _addresses(
    places: Sequence[tuple[str, int]], transport: str, available: Sequence[TransportFamily]
) -> Generator[list[Question], DnsAnswers, list[Address]]:
    """Return the addresses of several hosts, in their sequence, the preferred IP family first."""
    families = [family.ipv6 for family in available if family.transport == transport]
    kinds: list[RecordType] = ["AAAA" if ipv6 else "A" for ipv6 in dict.fromkeys(families)]
    places = places[:MAX_CANDIDATES]
    asked = [Question(host, kind) for host, _ in places for kind in kinds]
    answers = (yield asked) if asked else []
    found = []
    for number, records in enumerate(answers):
        _, port = places[number // len(kinds)]
        texts = (literal(record) for record in records if isinstance(record, str))
        found += [Address(text, port, transport) for text in texts if text is not None]
    return _fit(found, available)


def _fit(candidates: Iterable[Address], available: Sequence[TransportFamily]) -> list[Address]:
    known = set(available)
    return [
        address
        for address in candidates
        if TransportFamily(address.transport, is_ipv6(address.host)) in known and address.port
    ]


def _named(candidates: Iterable[Address], name: str) -> list[Address]:
    """Return at most `MAX_CANDIDATES` addresses. TLS addresses get `name` (RFC 5922)."""
    named = (
        address._replace(name=name) if address.transport == "TLS" else address
        for address in candidates
    )
    return list(dict.fromkeys(named))[:MAX_CANDIDATES]
