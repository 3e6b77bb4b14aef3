"""Decides from which sources the kernel should drop most packets during a flood.

Refusing a packet here takes microseconds, so a fast flood can use all of this process's time. A
source that sends very much is thinned: for `THINNING_S`, the kernel drops most of its packets. If
many strangers send little each and flood us together, all strangers are thinned.

A source is an IPv4 address or an IPv6 /64, as text; a stranger is one that is not known. No I/O, no
clock: all times are in monotonic seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeVar

import structlog

THINNING_S: Final = 10.0
"""The duration of thinning, in seconds. It begins again if the flood is still there."""
_MAX_SOURCES: Final = 4096

Networks = tuple[IPv4Network | IPv6Network, ...]
SetFilter = Callable[[Networks, Networks | None], None]
"""Sets the kernel's filter when thinning begins or ends.

The first argument has the thinned sources, the latest first. The second is None if strangers are
not thinned; otherwise, it has the networks whose packets the kernel must not drop.
"""
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ThinningLimits:
    """The numbers of refused packets within a second at which thinning starts."""

    stranger: int
    """From one stranger."""
    known: int
    """From one known source."""
    strangers: int
    """From all those strangers together that send few each."""
    few: int
    """A stranger sends few up to this number in a second."""


class Thinning:
    """Counts refused packets, and sets the kernel's filter if a source has too many."""

    def __init__(
        self,
        limits: ThinningLimits,
        *,
        known: Callable[[float], Networks],
        set_filter: SetFilter = lambda *_: None,
    ) -> None:
        """Start without thinning. `known` returns the networks that are known at a time."""
        self._limits = limits
        self._known = known
        self._set_filter = set_filter
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """The refused packets of each source: since when they are counted, and how many."""
        self._strangers = 0
        self._thinned: OrderedDict[str, float] = OrderedDict()
        self._strangers_until = float("-inf")
        self._published: tuple[Networks, Networks | None] = (), None

    def count_stranger(self, source: str, now: float) -> None:
        """Count a refused packet of a stranger."""
        count = self._count(source, now)
        if count == self._limits.stranger:
            self._thin(source, now)
        if count <= self._limits.few:
            self._strangers += 1
            if self._strangers == self._limits.strangers:
                self._thin_strangers(now)

    def count_known(self, source: str, now: float) -> None:
        """Count a refused packet of a known source."""
        if self._count(source, now) == self._limits.known:
            self._thin(source, now)

    def sweep(self, now: float) -> None:
        """Update the kernel's filter, and begin a new second for all strangers.

        Call this once a second.
        """
        for source in [each for each, until in self._thinned.items() if until < now - THINNING_S]:
            del self._thinned[source]
        self._strangers = 0
        self._publish(now)

    def _count(self, source: str, now: float) -> int:
        since, count = self._counts.get(source, (now, 0))
        if now - since > 1.0:
            since, count = now, 0
        _remember(self._counts, source, (since, count + 1))
        return count + 1

    def _thin(self, source: str, now: float) -> None:
        if self._thinned.get(source, float("-inf")) < now - THINNING_S:
            log.warning("source.thinned", source=source)
        _remember(self._thinned, source, now + THINNING_S)
        self._publish(now)

    def _thin_strangers(self, now: float) -> None:
        if now - self._strangers_until > THINNING_S:
            log.warning("strangers.thinned")
        self._strangers_until = now + THINNING_S
        self._publish(now)

    def _publish(self, now: float) -> None:
        latest = reversed(self._thinned.items())
        thinned = tuple(ip_network(source) for source, until in latest if until > now)
        current = thinned, self._known(now) if self._strangers_until > now else None
        if current != self._published:
            self._published = current
            self._set_filter(*current)


def _remember(kept: OrderedDict[str, T], source: str, value: T) -> None:
    kept[source] = value
    kept.move_to_end(source)
    if len(kept) > _MAX_SOURCES:
        kept.popitem(last=False)
