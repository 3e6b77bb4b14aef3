"""Proves from the evidence of a call that its pauses and transfers took effect.

The evidence is independent of the gaps: the switch counts each packet that it stores and records
each trigger, and the finaliser reads when each stored packet arrived. Packets that were stored in a
gap cannot be heard, because the finaliser makes gaps silent. They are a fault nevertheless, because
they were on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from recording.archive.accounting import Interval
from recording.archive.manifest import Gap, PacketStretch, TriggerFacts
from recording.archive.packet_ledger import CONFIDENTIAL
from recording.policy import PAUSE_TRIGGERS, GapReason, Trigger

_STOPPED: Final = CONFIDENTIAL | {GapReason.FAULT}
"""The reasons of the gaps that a trigger can lead to, or at which it can arrive."""
_SPACING_US: Final = 1_000_000
"""A gap may begin this much later than its trigger, because a segment began in the meantime."""
_INACCURACY_US: Final = 50_000


@dataclass(frozen=True, slots=True)
class StoredInGap:
    """Packets of a party that were stored in a gap of a payment or transfer, or not erased.

    The gap is in microseconds since the recording's start; the channel is "caller" or "advisor".
    """

    from_us: int
    to_us: int
    reason: str
    channel: str
    packets: int

    def __str__(self) -> str:
        span = f"{self.from_us / 1e6:.1f} s to {self.to_us / 1e6:.1f} s"
        what = "not erased" if self.reason == GapReason.ERASED else "stored"
        return (
            f"{self.channel}, {self.reason} gap {span}: {self.packets} packets were {what}: "
            "keep the journal and the spool, report it"
        )


def stored_in_gaps(stretches: Iterable[PacketStretch] | None) -> list[StoredInGap]:
    """Return the packets that were stored in gaps in which nothing may be stored.

    The switch counts what it stores in each gap, and the finaliser what arrived in it and is in the
    spools. The larger number counts, because either can be wrong.
    """
    return [
        StoredInGap(stretch.from_us, stretch.to_us, stretch.gap, party.channel, packets)
        for stretch in stretches or ()
        if stretch.gap in CONFIDENTIAL
        for party in stretch.parties
        if (packets := max(party.stored or 0, party.arrived_in_gap))
    ]


@dataclass(frozen=True, slots=True)
class Ignored:
    """A trigger without its whole effect, and a sentence that says what is missing."""

    trigger: TriggerFacts
    text: str

    def __str__(self) -> str:
        return self.text


def ignored_triggers(
    triggers: Sequence[TriggerFacts],
    gaps: Sequence[Gap],
    segments: Sequence[Interval],
    talk_us: int,
) -> list[Ignored]:
    """Return the triggers at which no gap began, or that erased too little.

    A trigger in a gap, or after the end of the call, needs no gap of its own.
    """
    tones = [gap for gap in gaps if gap.trigger == Trigger.TONES]
    stopped = [gap for gap in gaps if gap.reason in _STOPPED and gap not in tones]
    return [
        Ignored(trigger, f"{text}: keep the journal, report it")
        for trigger in triggers
        if trigger.at_us < talk_us
        for text in _missing(trigger, stopped, [*segments, *tones], talk_us)
    ]


def _missing(
    trigger: TriggerFacts, stopped: Sequence[Gap], stored: Sequence[Interval], talk_us: int
) -> Iterator[str]:
    """Yield what is missing. `stored` are the stretches in the spool: segments and keyed digits."""
    name = f"a trigger ({trigger.trigger}, {trigger.actor}) at {trigger.at_us / 1e6:.1f} s"
    at_us = trigger.at_us
    if not any(gap.from_us - _SPACING_US <= at_us < gap.to_us for gap in stopped):
        # A call that ends within a moment has no time for a gap.
        if at_us + _INACCURACY_US < talk_us:
            yield f"{name} had no effect"
        return
    begun = [
        gap
        for gap in stopped
        if gap.reason == GapReason.PAYMENT
        and (gap.trigger, gap.actor) == (trigger.trigger, trigger.actor)
        and abs(gap.from_us - at_us) <= _INACCURACY_US
    ]
    if not begun or trigger.trigger not in PAUSE_TRIGGERS:
        return
    start = begun[0].from_us
    erased = [gap for gap in stopped if gap.reason == GapReason.ERASED and gap.to_us == start]
    back_to = min((gap.from_us for gap in erased), default=start)
    # Nothing is erased from before the segment, so a short segment is erased as a whole.
    kept = [stretch for stretch in stored if stretch.to_us == back_to]
    if kept and start - back_to + _INACCURACY_US < trigger.erase_us:
        yield (
            f"{name} erased {(start - back_to) / 1e6:.2f} s of what was said before it, "
            f"not {trigger.erase_us / 1e6:.2f} s"
        )
