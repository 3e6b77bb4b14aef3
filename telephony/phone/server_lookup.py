"""The lookup of a phone's server: an IP literal, a host name or a domain (RFC 3263).

With a port, the operating system looks up the host (RFC 3263 section 4.2). Without one, DNS SRV
gives the servers of the domain for the phone's transport, in the sequence to try.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Protocol

from telephony.sip.events import Address
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Record, TransportFamily, locate


class DnsClient(Protocol):
    """A DNS client, such as `telephony.aio.resolver.Resolver`."""

    async def ask_all(self, questions: Iterable[Question]) -> list[list[Record] | None]:
        """Return one list of records for each question; None in its place if not answered."""


async def find_servers(server: Address, dns: DnsClient, here: str = "") -> list[Address]:
    """Return the addresses of the phone's server, the first to try first.

    With a port, it is the one that the operating system finds first; without, `dns` is asked. If
    `here`, our own address, is not empty, all are of its family (IPv4 or IPv6).

    Raises:
        OSError: The server has no address, or no address of the family of `here`.
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
    """Return the name for the certificate at `there`; "" without TLS or a host name."""
    try:
        ip_address(name)
    except ValueError:
        return name if there.transport == "TLS" else ""
    return ""
