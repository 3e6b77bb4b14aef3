"""Derives a call's segments, gaps, faults, parties and times from the events of its spools.

An offset is a time in microseconds since the recording's start, which is the call's answer.
Personal facts (such as the caller's number) are in clear only in the index, never in the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from recording.archive.accounting import balance
from recording.archive.manifest import ClockCheck, FaultFacts, Gap, Interval, Segment, TriggerFacts
from recording.archive.summary import (
    MOST_LATER_ADVISORS,
    MOST_LATER_CALLERS,
    NO_PERSONAL_FACTS,
    LaterAdvisor,
    LaterCaller,
)
from recording.audio.codecs import PayloadCodec
from recording.policy import DestinationClass, GapReason, Trigger
from recording.spool import EventRecord, Field, LossReason, LostRecord

_MOST_NOTES = 100
_MOST_TRIGGERS = 1000
_EXTENSION = ";ext="
"""Precedes the extension in a phone number, as in `+441970625000;ext=12` (RFC 3966)."""
SPACING_US = 60_000
"""Consecutive packets of a stream are usually less than this time in µs apart."""


class CallFacts:
    """Collects the facts of one call. Pass its events in time order, then call `finish`."""

    def __init__(self, started_wall_us: int) -> None:
        """Set up without facts. The call's first spool starts at `started_wall_us` (Unix µs)."""
        self._spool_wall_us = started_wall_us
        self.answer_us = 0
        """The call's answer, which is offset 0, in µs after the first spool's start."""
        self.answered = False
        self.beginning_missing = False
        """True if the spool with the beginning of the call no longer exists."""
        self.ended_us: int | None = None
        self.last_us = 0
        self.personal = NO_PERSONAL_FACTS
        self.segments: list[Segment] = []
        self.gaps: list[Gap] = []
        self.faults: list[FaultFacts] = []
        self.clock: list[ClockCheck] = []
        self.triggers: list[TriggerFacts] = []
        self._segment: tuple[int, str] | None = None
        self._gap: tuple[int, str, str, str] | None = None
        self._advised_us = -1
        """The offset from which the present party at the advisor's end has had the call."""
        self._covered_until_us = 0
        """The offset at which the most recent segment or gap ended."""
        self._lost: list[tuple[int, int | None, LossReason]] = []

    @property
    def started_us(self) -> int:
        """The recording's start in Unix µs: the call's answer."""
        return self._spool_wall_us + self.answer_us

    def offset_of(self, event: EventRecord, at_us: int) -> int:
        """Return the offset of the call's next event. The first answer sets offset 0.

        The event is `at_us` after the first spool's start.
        """
        if event.kind == "answered" and not self.answered:
            self.answer_us = at_us - answered_before_us(event)
        return max(0, at_us - self.answer_us)

    @property
    def in_gap(self) -> bool:
        """True while a gap is open."""
        return self._gap is not None

    def begin_spool(self, salt: bytes) -> None:
        """Begin the call's next spool. The salt of the call is that of its first spool."""
        if not self.personal.salt:
            self.personal = replace(self.personal, salt=salt.hex())

    @property
    def gap_reason(self) -> str:
        """The reason of the open gap; empty if no gap is open."""
        return "" if self._gap is None else self._gap[1]

    def event(self, at_us: int, event: EventRecord) -> None:
        """Process the call's next event."""
        self.reached(at_us)
        fields = event.fields
        match event.kind:
            case "call":
                self._called(fields)
            case "caller":
                self._caller_changed(at_us, fields)
            case "answered" | "advisor":
                self._answered()
                who = _text(fields, "advisor") or _text(fields, "user")
                self._advised(at_us, who, _text(fields, "extension"))
            case "segment":
                self._close(at_us)
                self._segment = at_us, _text(fields, "class") or DestinationClass.UNKNOWN.value
            case "gap-start":
                self._close(at_us)
                texts = (_text(fields, name) for name in ("reason", "trigger", "actor"))
                reason, trigger, actor = texts
                self._gap = at_us, reason or GapReason.FAULT.value, trigger, actor
            case "gap-end":
                self._close(at_us)
            case "trigger" | "fault" | "clock":
                self._note(at_us, event.kind, fields)
            case "ended":
                self._close(at_us)
                self.ended_us = at_us

    def reached(self, at_us: int) -> None:
        """Update `last_us`, the latest offset of an event or packet."""
        if at_us > self.last_us:  # noqa: PLR1730 - once a packet, and max() takes twice the time
            self.last_us = at_us

    def lost(self, record: LostRecord, shift_us: int) -> Interval | None:
        """Store a loss: one or more frames that cannot be read.

        Return the time of the loss; None if it is not stored or its end is not known. `shift_us` is
        added to the times in `record` to make them offsets. Erased frames are not a loss, because
        events already describe their gap. Consecutive frames without a key are one loss.
        """
        read_until = self.last_us
        if record.to_us is not None:
            self.reached(record.to_us + shift_us)
        if record.why is LossReason.ERASED:
            return None
        start = read_until
        # `from_us` is later than `read_until` if the spool has begun with copies of older events.
        if record.from_us is not None:
            start = max(read_until, record.from_us + shift_us)
        end = None if record.to_us is None else record.to_us + shift_us
        if self._lost and record.why is LossReason.UNRELEASED:
            since, until, why = self._lost[-1]
            if why is record.why and until == read_until and start - until < SPACING_US:
                start = since
                self._lost.pop()
        self._lost.append((start, end, record.why))
        return None if end is None else Interval(start, end)

    def interrupted(self, resumed_us: int, *, moved: bool, complete: bool) -> None:
        """Handle a spool without an END frame. The next spool continues the call.

        `resumed_us` is the offset of the next spool's first new record. If no gap is open and
        `complete` is False (a record may be lost), the time until then becomes a fault gap. `moved`
        is True if the same process wrote both spools, because the disk failed.
        """
        neither = self._segment is None and self._gap is None
        since = min(self.last_us, self._covered_until_us) if neither else self.last_us
        self._lost = [
            (start, resumed_us if end is None else end, why) for start, end, why in self._lost
        ]
        why = "its disk went away" if moved else "the recording process stopped and began again"
        if self._gap is None and not complete:
            trigger = Trigger.STORAGE if moved else Trigger.CRASH
            self._close(since)
            self._gap = since, GapReason.FAULT.value, trigger.value, "system"
        self.faults.append(FaultFacts(since, why))
        self.reached(resumed_us)

    def _answered(self) -> None:
        if self.beginning_missing and not self.answered:
            self._gap = 0, GapReason.FAULT.value, Trigger.STORAGE.value, "system"
            self.faults.append(FaultFacts(0, "the spool of its beginning is missing"))
        self.answered = True

    @property
    def talk_us(self) -> int:
        """The call's length in µs, as far as its events and packets were processed."""
        return self.last_us if self.ended_us is None else self.ended_us

    def finish(self) -> None:
        """Complete the segments and gaps.

        Parts of a loss that no gap covers become gaps. The time of gaps is removed from the
        segments.
        """
        end = self.talk_us
        self._close(end)
        refused = [gap for gap in self.gaps if gap.trigger == Trigger.STORAGE.value]
        for start, to, why in sorted(self._lost, key=lambda each: each[0]):
            self._add_loss_gap(Interval(start, end if to is None else to), why, refused)
        self.faults.sort(key=lambda fault: fault.at_us)
        self._cut_segments()

    def silenced(self, spans: Iterable[Interval], reason: GapReason) -> None:
        """After `finish`, make a gap of each part of `spans` that no gap covers yet.

        The audio of `spans` is silent, because digits were keyed. The reason is `CAPTURED_CARD` for
        a card number, and `ERASED` for digits near a pause.
        """
        trigger = Trigger.TONES.value
        for span in spans:
            for part in _without(span, self.gaps):
                self.gaps.append(Gap(part.from_us, part.to_us, reason.value, trigger, "system"))
        self._cut_segments()

    def _cut_segments(self) -> None:
        self.gaps.sort(key=lambda gap: gap.from_us)
        self.segments = [
            Segment(part.from_us, part.to_us, segment.destination)
            for segment in self.segments
            for part in _without(segment, self.gaps)
        ]

    def _add_loss_gap(self, lost: Interval, why: LossReason, refused: Iterable[Gap]) -> None:
        """Add a fault gap for each part of a loss that no gap covers yet.

        During the gaps `refused`, the disk did not accept writes. Damage of the spool there is
        ignored: only the frames are missing that the disk did not accept.
        """
        has_gap = any(
            gap.from_us - SPACING_US < lost.from_us and lost.to_us <= gap.to_us for gap in refused
        )
        if has_gap and why is LossReason.DAMAGED:
            return
        if len(self.faults) < _MOST_NOTES:
            self.faults.append(FaultFacts(lost.from_us, f"part of the spool cannot be read: {why}"))
        for hole in _without(lost, self.gaps):
            trigger = Trigger.STORAGE if why is LossReason.DAMAGED else Trigger.CRASH
            reason = GapReason.FAULT.value
            self.gaps.append(Gap(hole.from_us, hole.to_us, reason, trigger.value, "system"))

    @property
    def unexplained(self) -> list[Interval]:
        """The parts of the talk time that segments and gaps do not cover exactly once."""
        return balance(self.talk_us, self.segments, self.gaps).unaccounted

    def _close(self, at_us: int) -> None:
        """End the open segment or gap. Store it, unless its length is 0."""
        if self._segment is not None and self._segment[0] < at_us:
            start, destination = self._segment
            self.segments.append(Segment(start, at_us, destination))
        if self._gap is not None and self._gap[0] < at_us:
            start, reason, trigger, actor = self._gap
            self.gaps.append(Gap(start, at_us, reason, trigger, actor))
        self._segment = self._gap = None
        self._covered_until_us = at_us

    def _called(self, fields: Mapping[str, Field]) -> None:
        number = "" if fields.get("withheld") else _text(fields, "number")
        known = self.personal
        self.personal = replace(
            known,
            number=_without_extension(number) or known.number,
            line=_text(fields, "line") or known.line,
        )

    def _caller_changed(self, at_us: int, fields: Mapping[str, Field]) -> None:
        """Store a later caller, unless an earlier spool of the call has named this caller."""
        callers = self.personal.later_callers
        if callers and (fields.get("known") is True or at_us <= callers[-1].from_us):
            return
        if len(callers) >= MOST_LATER_CALLERS:
            return
        withheld = fields.get("withheld") is True
        number = None if withheld else _without_extension(_text(fields, "number")) or None
        later = LaterCaller(at_us, number, withheld)
        self.personal = replace(self.personal, later_callers=(*callers, later))

    def _advised(self, at_us: int, advisor: str, extension: str) -> None:
        """Store a party at the advisor's end, unless this party has the call already.

        A later spool of the call names that party again, and can begin with copies of older events.
        """
        known = self.personal
        later = known.later_advisors
        last = known.advisor, known.extension
        if later:
            last = later[-1].advisor, later[-1].extension
        copied = at_us <= self._advised_us
        if copied or not (advisor or extension) or (advisor, extension) == last:
            return
        self._advised_us = at_us
        if not any(last):
            self.personal = replace(known, advisor=advisor, extension=extension)
        elif len(later) < MOST_LATER_ADVISORS:
            party = LaterAdvisor(at_us, advisor, extension)
            self.personal = replace(known, later_advisors=(*later, party))

    def _note(self, at_us: int, kind: str, fields: Mapping[str, Field]) -> None:
        if kind == "clock":
            self._check_clock(at_us, fields)
        elif kind == "fault" and len(self.faults) < _MOST_NOTES:
            self.faults.append(FaultFacts(at_us, _text(fields, "why")))
        elif kind == "trigger" and len(self.triggers) < _MOST_TRIGGERS:
            erase = fields.get("erase_us")
            erase_us = erase if isinstance(erase, int) else 0
            texts = _text(fields, "trigger"), _text(fields, "actor")
            self.triggers.append(TriggerFacts(at_us, *texts, erase_us))

    def _check_clock(self, at_us: int, fields: Mapping[str, Field]) -> None:
        wall = fields.get("wall")
        if isinstance(wall, int | float) and len(self.clock) < _MOST_NOTES:
            offset = round(wall * 1_000_000) - self.started_us - at_us
            self.clock.append(ClockCheck(at_us, offset))


def answered_before_us(event: EventRecord) -> int:
    """Return the µs from a call's answer to its event `answered`: 0 unless a process restarted."""
    since = event.fields.get("since_us")
    return since if isinstance(since, int) else 0


def payloads_of(fields: Mapping[str, Field]) -> tuple[int, dict[int, PayloadCodec]]:
    """Return the track of a `media` event (-1 if malformed), and its codecs by payload type.

    Malformed payload types are left out.
    """
    track, table = fields.get("track"), fields.get("payloads")
    found: dict[int, PayloadCodec] = {}
    for number, row in (table if isinstance(table, Mapping) else {}).items():
        match row:
            case [str(name), int(clock), int(channels), str(fmtp)] if str(number).isdigit():
                found[int(number)] = PayloadCodec(name, clock, channels, fmtp)
            case _:
                continue
    return track if isinstance(track, int) else -1, found


def _without(span: Interval, holes: Iterable[Interval]) -> list[Interval]:
    parts, at = [], span.from_us
    for hole in sorted(holes):
        if hole.to_us <= at or hole.from_us >= span.to_us:
            continue
        if hole.from_us > at:
            parts.append(Interval(at, hole.from_us))
        at = max(at, hole.to_us)
    if at < span.to_us:
        parts.append(Interval(at, span.to_us))
    return parts


def _without_extension(number: str) -> str:
    """Return a number without its extension, which the index does not store."""
    return number.partition(_EXTENSION)[0]


def _text(fields: Mapping[str, Field], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
