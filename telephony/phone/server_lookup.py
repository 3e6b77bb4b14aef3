"""The lookup of a phone's server: an IP literal, a host name or a domain (RFC 3263).

If the server is given with a port, the operating system looks up the host's address (RFC 3263
section 4.2). Without a port, DNS (SRV records) gives the machines that serve the domain over the
phone's transport, and the sequence in which we try them.
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
        """Return one list of records for each question, in the sequence of the questions.

        If a question was not answered, the result has None in the place of its list.
        """


async def find_servers(server: Address, dns: DnsClient, here: str = "") -> list[Address]:
    """Return the addresses of the phone's server; the phone tries the first address first.

    Args:
        server: The phone's server. If it has a port, the result is only one address: the first
            address that the operating system finds.
        dns: The DNS client, used if `server` has no port.
        here: Our own address. If it is not empty, all results are of the same family (IPv4 or
            IPv6).

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
    """Return the name that the certificate of the server at `there` must contain.

    `name` is the host for which the lookup was made. Return `name` if the transport is TLS and
    `name` is not an IP literal. Otherwise return "".
    """
    try:
        ip_address(name)
    except ValueError:
        return name if there.transport == "TLS" else ""
    return ""
