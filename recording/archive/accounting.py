"""Accounting: checks that the facts about a recorded call add up, and that its pauses took effect.

- Time: each moment of the talk time must be in a segment or in a gap, and not in both. Times are in
  microseconds since the recording's start.
- Pauses and transfers: the evidence is independent of the gaps. The switch counts each packet that
  it stores and records each trigger, and the finaliser reads when each stored packet arrived.
  Packets that were stored in a gap cannot be heard, because the finaliser makes gaps silent. They
  are a fault nevertheless, because they were on the disk.
- Packets (`packet_problems`): in each segment or gap, the switch must have stored or dropped each
  packet that it received, and the finaliser must have found each stored packet. A stretch without
  all counts of the switch, for example because its process stopped, is not compared. For the whole
  call, the sums of the packets that were read and lost must equal the counts of each track.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from recording.archive.manifest import (
    Gap,
    Interval,
    Manifest,
    PacketStretch,
    PartyPackets,
    TriggerFacts,
)
from recording.policy import CONFIDENTIAL, PAUSE_TRIGGERS, GapReason, Trigger

_STOPPED: Final = CONFIDENTIAL | {GapReason.FAULT}
"""A trigger must begin a gap with one of these reasons, or arrive during such a gap."""
_SPACING_US: Final = 1_000_000
"""A gap may begin at most this many µs after its trigger."""
_INACCURACY_US: Final = 50_000
FEWEST: Final = 25
"""A party is silent only if at least this many of its packets are not heard in a segment.

They are half a second of audio. Fewer can be of another sender, or of a very short segment.
"""


@dataclass(frozen=True, slots=True)
class TalkBalance:
    """The talk time of one call, compared with the call's segments and gaps.

    `unexplained` is in no segment and no gap. `claimed_twice` is in a segment and in a gap.
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
    """Compare the talk time (from 0) with segments and gaps. Their parts outside are ignored."""
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
    """Yield the intervals that both lists cover. Each list is sorted, without overlaps."""
    at = other = 0
    while at < len(left) and other < len(right):
        one, two = left[at], right[other]
        both = Interval(max(one.from_us, two.from_us), min(one.to_us, two.to_us))
        if both.from_us < both.to_us:
            yield both
        at, other = (at + 1, other) if one.to_us < two.to_us else (at, other + 1)


def _total(spans: list[Interval]) -> int:
    return sum(span.length_us for span in spans)


@dataclass(frozen=True, slots=True)
class StoredInGap:
    """Packets of a party that were stored in a payment or transfer gap, or were not erased.

    The gap is in microseconds since the recording's start. The channel is "caller" or "advisor".
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

    The switch counts the packets that it stores in each gap. The finaliser counts the packets in
    the spools that arrived in the gap. Return the larger number, because either can be wrong.
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
    """Yield a text for each missing effect. `stored` are segments and gaps of keyed digits."""
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


@dataclass(frozen=True, slots=True, order=True)
class SilentTrack:
    """A party ("caller" or "advisor") that is not heard in a segment, although it sent packets.

    The segment is in µs since the recording's start. The text says what happened to the packets.
    """

    from_us: int
    to_us: int
    channel: str
    text: str


def packet_problems(manifest: Manifest) -> list[str]:
    """Return a text for each pair of packet counts that should be equal but are not."""
    stretches = manifest.packets
    if stretches is None:
        return []
    found = [
        f"{party.channel}, {_name(stretch)}: {problem}: keep the journal, report it"
        for stretch in stretches
        if stretch.complete
        for party in stretch.parties
        for problem in _party_problems(party)
    ]
    for track in manifest.tracks:
        parties = [p for s in stretches for p in s.parties if p.channel == track.channel]
        sums = (
            (
                "read from the spools",
                sum(party.read for party in parties),
                "on the track or counted",
                track.received
                + track.withheld
                + track.duplicate
                + track.malformed
                + track.unplaced,
            ),
            (
                "lost in all segments and gaps",
                sum(party.lost_by_network for party in parties),
                "lost on the track",
                track.lost,
            ),
        )
        found += (
            f"{track.channel}, whole call: {one} packets {what}, but {other} {where}: "
            "keep the journal, report it"
            for what, one, where, other in sums
            if one != other
        )
    return found


def _party_problems(party: PartyPackets) -> Iterator[str]:
    stored = party.stored or 0
    if party.received is not None and party.stored is not None:
        kept = stored + sum(party.dropped.values())
        if party.received != kept:
            yield f"{party.received} packets received, but {kept} stored or dropped"
    if party.stored is not None and stored != party.read + party.unreadable:
        read = party.read + party.unreadable
        yield f"{stored} packets stored, but {read} read from the spools or unreadable"


def silent_parties(manifest: Manifest) -> list[SilentTrack]:
    """Return each party that is not heard in a segment with at least `FEWEST` of its packets."""
    return [
        SilentTrack(stretch.from_us, stretch.to_us, party.channel, _unheard(party))
        for stretch in manifest.packets or ()
        if not stretch.gap
        for party in stretch.parties
        if not party.heard and sum(_parts(party).values()) >= FEWEST
    ]


def _parts(party: PartyPackets) -> dict[str, int]:
    """Return the packets that were sent in a segment but are not heard, by what happened."""
    return {
        "received": party.read if party.received is None else party.received,
        "refused": party.refused,
        "lost by the network": party.lost_by_network,
        "lost by the kernel": party.lost_by_kernel,
    }


def _unheard(party: PartyPackets) -> str:
    return ", ".join(f"{count} packets {what}" for what, count in _parts(party).items() if count)


def _name(stretch: PacketStretch) -> str:
    kind = f"{stretch.gap} gap" if stretch.gap else "segment"
    return f"{kind} {stretch.from_us / 1e6:.1f} s to {stretch.to_us / 1e6:.1f} s"
