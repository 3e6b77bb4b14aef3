"""DNS queries for SIP (RFC 3263) by dnspython, without blocking the event loop.

telephony/sip/transport/location.py decides the questions and evaluates the answers. This module
caches each answer for its TTL.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.resolver
import structlog
from dns.rdata import Rdata
from dns.rdtypes.IN.NAPTR import NAPTR
from dns.rdtypes.IN.SRV import SRV

from telephony.sip.transport.location import Naptr, Question, Record, Srv

logger = structlog.get_logger(__name__)

TIMEOUT_S: Final = 3.0
"""The seconds for one question, including all name servers and retries."""
_CACHED: Final = 1000


class Resolver:
    """A DNS client that looks for addresses in the hosts file first, and then asks name servers."""

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        nameservers: Iterable[str] | None = None,
        port: int = 53,
        hosts: Path = Path("/etc/hosts"),
    ) -> None:
        """Prepare the resolver without sending a query.

        `nameservers` None means those in resolv.conf; `port` is used only with `nameservers`.
        """
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        if nameservers is not None:
            self._resolver.nameservers = list(nameservers)
            self._resolver.port = port
        self._resolver.cache = dns.resolver.LRUCache(_CACHED)
        self._timeout_s = timeout_s
        self._hosts = hosts

    async def ask(self, question: Question) -> list[Record] | None:
        """Return the DNS records; empty if there are none of this kind, None after a failure."""
        if question.kind in {"A", "AAAA"} and (known := self._in_hosts(question)):
            return list(known)
        try:
            answer = await self._resolver.resolve(
                question.name, question.kind, lifetime=self._timeout_s, search=False
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, UnicodeError, ValueError):
            return None
        found = (_record(data) for data in answer)
        return [record for record in found if record is not None]

    async def ask_all(self, questions: Iterable[Question]) -> list[list[Record] | None]:
        """Ask all questions at the same time; return the results of `ask` in the same order."""
        return await asyncio.gather(*(self.ask(question) for question in questions))

    def _in_hosts(self, question: Question) -> list[str]:
        try:
            lines = self._hosts.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        wanted, version = question.name.rstrip(".").lower(), 6 if question.kind == "AAAA" else 4
        found = []
        for line in lines:
            address, *names = line.partition("#")[0].lower().split() or [""]
            if wanted in names and _version(address) == version:
                found.append(address)
        return found


def _record(data: Rdata) -> Record | None:
    match data:
        case SRV():
            return Srv(data.priority, data.weight, data.port, data.target.to_text(True))
        case NAPTR():
            return Naptr(
                data.order,
                data.preference,
                data.flags.decode("latin-1"),
                data.service.decode("latin-1"),
                data.replacement.to_text(True),
            )
        case _:
            address = getattr(data, "address", None)
            return address if isinstance(address, str) else None


def _version(text: str) -> int:
    try:
        return ip_address(text).version
    except ValueError:
        return 0
