"""Accounting: checks that the segments and gaps of an answered call add up to its talk time.

Times are in microseconds since the recording's start. Talk time that no segment or gap covers, or
that both cover, is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec


class Interval(msgspec.Struct, frozen=True, order=True):
    """A stretch of time: `from_us` ≤ t < `to_us`, in microseconds since the recording's start."""

    from_us: int
    to_us: int

    @property
    def length_us(self) -> int:
        """The length of the interval in microseconds; never negative."""
        return max(0, self.to_us - self.from_us)


@dataclass(frozen=True, slots=True)
class TalkBalance:
    """The talk time of one call, compared with the call's segments and gaps.

    `unexplained` is talk time that neither covers; `claimed_twice` is talk time that both cover.
    """

    talk_us: int
    recorded_us: int
    gap_us: int
    unexplained: tuple[Interval, ...]
    claimed_twice: tuple[Interval, ...]

    @property
    def unaccounted(self) -> list[Interval]:
        """The faults: `unexplained` and `claimed_twice`, sorted by time."""
        return sorted((*self.unexplained, *self.claimed_twice))


def balance(talk_us: int, segments: Iterable[Interval], gaps: Iterable[Interval]) -> TalkBalance:
    """Compare the talk time (from 0) with segments and gaps. What is outside it is ignored."""
    whole = Interval(0, talk_us)
    recorded = _merged(segments, whole)
    missing = _merged(gaps, whole)
    return TalkBalance(
        talk_us,
        _total(recorded),
        _total(missing),
        tuple(_uncovered(_merged([*recorded, *missing], whole), whole)),
        tuple(_common(recorded, missing)),
    )


def _merged(spans: Iterable[Interval], within: Interval) -> list[Interval]:
    merged: list[Interval] = []
    for span in sorted(spans):
        cut = Interval(max(span.from_us, within.from_us), min(span.to_us, within.to_us))
        if cut.from_us >= cut.to_us:
            continue
        if merged and cut.from_us <= merged[-1].to_us:
            merged[-1] = Interval(merged[-1].from_us, max(merged[-1].to_us, cut.to_us))
        else:
            merged.append(cut)
    return merged


def _uncovered(merged: list[Interval], within: Interval) -> Iterable[Interval]:
    at = within.from_us
    for span in merged:
        if span.from_us > at:
            yield Interval(at, span.from_us)
        at = span.to_us
    if at < within.to_us:
        yield Interval(at, within.to_us)


def _common(left: list[Interval], right: list[Interval]) -> Iterable[Interval]:
    """Yield the intervals that both lists cover. Each is sorted, without overlaps."""
    at = other = 0
    while at < len(left) and other < len(right):
        one, two = left[at], right[other]
        both = Interval(max(one.from_us, two.from_us), min(one.to_us, two.to_us))
        if both.from_us < both.to_us:
            yield both
        at, other = (at + 1, other) if one.to_us < two.to_us else (at, other + 1)


def _total(spans: list[Interval]) -> int:
    return sum(span.length_us for span in spans)
