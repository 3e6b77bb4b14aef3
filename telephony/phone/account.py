"""The data that all parts of a phone share, and the lookup of its server (RFC 3263).

The server is an IP literal, a host name or a domain. With a port, the operating system looks up the
host (RFC 3263 section 4.2). Without a port, DNS SRV gives the servers of the domain for the phone's
transport.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Protocol

from telephony.aio.ports import PortPool
from telephony.aio.transport import SipTransport
from telephony.b2bua.settings import SessionInterval
from telephony.sdp import Srtp
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Record, TransportFamily, locate


class DnsClient(Protocol):
    """A DNS client, such as `telephony.aio.resolver.Resolver`."""

    async def ask_all(self, questions: Iterable[Question]) -> list[list[Record] | None]:
        """Return one list of records for each question, or None for an unanswered question."""


async def find_servers(server: Address, dns: DnsClient, here: str = "") -> list[Address]:
    """Return the addresses of the phone's server in the order in which to try them.

    With a port, return only the first address that the operating system finds. Without a port, ask
    `dns`. If our own IP literal `here` is not empty, return only addresses of its family (IPv4 or
    IPv6). Raises `OSError` if no address is found.
    """
    if server.port:
        found = [await _by_system(server, here)]
    else:
        families = [":" in here] if here else [False, True]
        speaks = [TransportFamily(server.transport, ipv6=ipv6) for ipv6 in families]
        found = await _by_domain(server, speaks, dns)
    if not found:
        raise OSError(f"no server was found for {server.host} over {server.transport}")
    return [there._replace(name=server.name or _shown(there, server.host)) for there in found]


async def _by_system(server: Address, here: str) -> Address:
    family = socket.AF_UNSPEC
    if here:
        family = socket.AF_INET6 if ":" in here else socket.AF_INET
    found = await asyncio.get_running_loop().getaddrinfo(
        server.host, server.port, family=family, type=socket.SOCK_DGRAM
    )
    return server._replace(host=str(found[0][4][0]))


async def _by_domain(
    server: Address, speaks: list[TransportFamily], dns: DnsClient
) -> list[Address]:
    uri = Uri(host=server.host, parameters=(("transport", server.transport.lower()),))
    asking = locate(uri, speaks, random.SystemRandom())
    try:
        batch = next(asking)
        while True:
            batch = asking.send([records or [] for records in await dns.ask_all(batch)])
    except StopIteration as stop:
        found: list[Address] = stop.value
    return found


def _shown(there: Address, name: str) -> str:
    """Return the name that the server's certificate must contain; "" without TLS or a host name."""
    try:
        ip_address(name)
    except ValueError:
        return name if there.transport == "TLS" else ""
    return ""


@dataclass(frozen=True, slots=True)
class PhoneAccount:
    """One account on one server, with the open sockets by which the phone uses it."""

    server: Address
    domain: Uri
    """The server's host and port, as passed to `VoIPPhone`, for the URIs that we send."""
    username: str
    transport: SipTransport
    pool: PortPool
    srtp: Srtp = Srtp.OFF
    session: SessionInterval = field(default_factory=SessionInterval)
    """The session interval that we ask for, and the shortest that we accept (RFC 4028)."""

    @property
    def now(self) -> float:
        """The time by the clock of the SIP core, in monotonic seconds."""
        return self.transport.now

    @property
    def address(self) -> NameAddr:
        """Our address of record: the URI with the account's name and the server's host."""
        return NameAddr("", replace(self.domain, user=self.username))

    def uri(self, number: str) -> Uri:
        """Return the SIP URI of a phone number at our server; a SIP or tel URI stays as it is.

        Raises `SipParseError` for an invalid URI, `ProtocolError` for a number that needs escapes.
        """
        if number.lower().startswith(("sip:", "sips:", "tel:")):
            return Uri.parse(number)
        return replace(self.domain, user=number)
