"""The addresses of the SIP URIs in the settings, sorted by the priority of RFC 3263.

The names in the URIs are looked up when the switch starts, and then once a minute. While the cached
DNS answers are valid, a lookup costs nothing. A call never waits for a lookup. An address that did
not respond, or is overloaded, is tried after all other addresses for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from galwad.settings.switch import SipSection
from telephony.sip.events import Address
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Record, TransportFamily, locate

HELD_DOWN_S = 120.0
"""The time in seconds for which an address that did not respond is tried after all others."""
_REFRESH_S = 60.0
_PATIENCE_S = 1.0
"""The maximum time in seconds for which the starting switch waits for the first lookups."""
log = structlog.get_logger()


class DnsClient(Protocol):
    """A client of the domain name system (DNS)."""

    async def ask_all(self, questions: Iterable[Question]) -> list[list[Record] | None]:
        """Return the DNS records for each question in turn, None if no server answers it."""


class Locations:
    """The addresses that are known for a set of SIP URIs."""

    def __init__(
        self,
        uris: Iterable[Uri],
        speaks: Sequence[TransportFamily],
        dns: DnsClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._speaks = tuple(speaks)
        self._dns = dns
        self._clock = clock
        self._rng = random.SystemRandom()
        self._known: dict[Question, list[Record]] = {}
        self._down: dict[Address, float] = {}
        self._busy: set[Address] = set()
        """The addresses in `_down` that have responded that they are overloaded."""
        self._uris = [uri for uri in uris if self._has_name(uri)]

    def __call__(self, uri: Uri) -> tuple[Address, ...]:
        """Return the addresses of a URI, in the order in which to try them; () if none is known."""
        asking = locate(uri, self._speaks, self._rng)
        try:
            batch = next(asking)
            while True:
                batch = asking.send([self._known.get(question, []) for question in batch])
        except StopIteration as stop:
            found: list[Address] = stop.value
        return tuple(sorted(found, key=self.is_down))

    def is_down(self, address: Address) -> bool:
        """Return whether this address is sorted last now, because it failed or is overloaded."""
        now = self._clock()
        return self._down.get(address, now) > now

    def is_silent(self, address: Address) -> bool:
        """Return whether this address `is_down` because it did not respond."""
        return self.is_down(address) and address not in self._busy

    def mark_busy(self, address: Address, seconds: float) -> None:
        """Sort this address after all others for `seconds` seconds: it is overloaded."""
        self.mark_failed(address, seconds)
        self._busy.add(address)

    def mark_failed(self, address: Address, seconds: float = HELD_DOWN_S) -> None:
        """Sort this address after all others for `seconds` seconds, because it did not respond."""
        now = self._clock()
        self._down = {known: until for known, until in self._down.items() if until > now}
        self._down[address] = max(now + seconds, self._down.get(address, 0.0))
        self._busy.discard(address)

    def mark_down(self, address: Address) -> None:
        """Sort this address, which does not answer OPTIONS, after all others until `mark_up`."""
        self.mark_failed(address, math.inf)

    def mark_up(self, address: Address) -> None:
        """Sort this address by its priority again, because it responds again."""
        self._down.pop(address, None)

    async def begin(self) -> None:
        """Look up all names, for at most a second. `run` later looks up the rest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self.refresh()

    async def refresh(self) -> None:
        """Look up all names once. If no server answers, the earlier answer stays in use."""
        await asyncio.gather(*(self._refresh(uri) for uri in self._uris))

    async def _refresh(self, uri: Uri) -> None:
        asking = locate(uri, self._speaks, self._rng)
        try:
            batch = next(asking)
            while True:
                answers = await self._dns.ask_all(batch)
                for question, records in zip(batch, answers, strict=True):
                    if records is not None:
                        self._known[question] = records
                batch = asking.send([self._known.get(question, []) for question in batch])
        except StopIteration as stop:
            if not stop.value:
                log.warning("resolver.failed", host=uri.host)

    async def run(self) -> None:
        """Look up all names once a minute until cancelled. Without names, return at once."""
        while self._uris:
            await self.refresh()
            await asyncio.sleep(_REFRESH_S)

    def _has_name(self, uri: Uri) -> bool:
        return next(locate(uri, self._speaks, self._rng), None) is not None


def speaks_of(sip: SipSection) -> tuple[TransportFamily, ...]:
    """Return the pairs of transport and IP version in `[sip] listen`, in the setting's sequence."""
    return tuple(
        dict.fromkeys(
            TransportFamily(listener.transport.upper(), ":" in listener.host)
            for listener in sip.listen
        )
    )
