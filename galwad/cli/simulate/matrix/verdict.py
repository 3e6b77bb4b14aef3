"""The verdict on a row: the recording is compared with what was said and what must have happened.

Every fault is named, because the first one alone may be only a consequence of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from galwad.cli.simulate.api_client import OpenedRecording
from galwad.cli.simulate.matrix.rows import ExpectedGap
from galwad.cli.simulate.matrix.voices import CALLER, Fate, Part, Phase
from galwad.cli.simulate.sound import RATE, similarities_anywhere
from recording.archive.accounting import ignored_triggers, stored_in_gaps
from recording.archive.manifest import Gap, Interval, PacketStretch, TriggerFacts
from recording.policy import PAUSE_TRIGGERS

_THERE: Final = 0.8
"""The least similarity (0 to 1) of speech that is recorded. A busy machine sends some packets late,
so that a part of the speech is shifted.
"""
_EACH_THERE: Final = 0.45
"""The least similarity of each half second of speech that is in the recording."""
_ABSENT: Final = 0.3
"""Speech is not in the recording if the similarity of each half second is at most this."""
_US: Final = 1_000_000
_EDGE_S: Final = 0.3
"""The stretch that a pause may erase beyond `erase_back`, because it was still on its way."""
_CLOCK_S: Final = 0.25
"""The inaccuracy of the length of phases: a busy machine notices their end late."""
_LEAST: Final = RATE // 2
_PACKETS: Final = list[PacketStretch] | None


class Outcome(StrEnum):
    """The possible verdicts on a row."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_CONFIGURED = "not configured"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one row. `call_id` is "" if there was no call.

    `reasons` are faults, what must be configured, or why the row does not apply; empty if it is ok.
    """

    row: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    call_id: str = ""

    def __str__(self) -> str:
        reasons = "; ".join(self.reasons)
        return f"{self.outcome}: {reasons}" if reasons else str(self.outcome)

    def as_json(self) -> dict[str, object]:
        """Return the verdict as a mapping for JSON output, without the empty fields."""
        shown = {
            "row": self.row,
            "verdict": self.outcome.value.lower(),
            "reasons": list(self.reasons),
            "call_id": self.call_id,
        }
        return {key: value for key, value in shown.items() if value}


def faults_of(
    there: OpenedRecording,
    phases: Sequence[Phase],
    gaps: Sequence[ExpectedGap],
    *,
    segments: int | None,
    erase_back_s: float,
) -> tuple[str, ...]:
    """Return the faults of a recording; if `segments` is None, any number of them is right."""
    manifest = there.manifest
    return (
        *_wrong_gaps(manifest, gaps),
        *_wrong_segments(manifest, segments),
        *_sums(there),
        *_lengths(manifest, phases),
        *_loud(there),
        *_speech(there, phases, erase_back_s),
        *proof_faults(manifest, erase_back_s),
    )


def _wrong_gaps(manifest: dict[str, Any], gaps: Sequence[ExpectedGap]) -> Iterable[str]:
    found = [
        ExpectedGap(gap["reason"], gap["trigger"], gap["actor"])
        for gap in manifest["gaps"]
        if not _is_erased_by_a_pause(gap)
    ]
    if found != list(gaps):
        yield f"gaps: {_list(found)}; expected: {_list(gaps)}"
    causes = {(gap.trigger, gap.actor) for gap in gaps}
    for gap in manifest["gaps"]:
        if _is_erased_by_a_pause(gap) and (gap["trigger"], gap["actor"]) not in causes:
            yield f"{gap['trigger']} ({gap['actor']}) has erased a stretch"


def _is_erased_by_a_pause(gap: dict[str, Any]) -> bool:
    return bool(gap["reason"] == "erased" and gap["trigger"] != "tones")


def _list(gaps: Iterable[ExpectedGap]) -> str:
    return ", ".join(map(str, gaps)) or "none"


def _wrong_segments(manifest: dict[str, Any], segments: int | None) -> Iterable[str]:
    found = len(manifest["segments"])
    if segments is not None and found != segments:
        yield f"segments: {found}; expected: {segments}"


def _sums(there: OpenedRecording) -> Iterable[str]:
    manifest, at = there.manifest, 0
    for part in sorted(manifest["segments"] + manifest["gaps"], key=lambda part: part["from_us"]):
        if part["from_us"] != at:
            yield f"segments and gaps do not meet at {at / _US:.3f} s"
        at = part["to_us"]
    if at != manifest["talk_us"] or manifest["unexplained"]:
        yield "segments and gaps do not add up to the talk time"
    if abs(manifest["talk_us"] / _US - len(there.caller) / RATE) > 0.05:
        yield "the sound is not as long as the talk time"


def _lengths(manifest: dict[str, Any], phases: Sequence[Phase]) -> Iterable[str]:
    for fate, parts, name in (
        (Fate.IN_GAP, manifest["gaps"], "gaps"),
        (Fate.STORED, [*manifest["segments"], *_erased(manifest)], "segments"),
    ):
        least = sum(phase.seconds for phase in phases if phase.fate is fate) - _CLOCK_S
        found = sum(part["to_us"] - part["from_us"] for part in parts) / _US
        if found < least:
            yield f"the {name} are {found:.1f} s long; expected: at least {least:.1f} s"


def _erased(manifest: dict[str, Any]) -> list[Any]:
    return [gap for gap in manifest["gaps"] if gap["reason"] == "erased"]


def _loud(there: OpenedRecording) -> Iterable[str]:
    for gap in there.manifest["gaps"]:
        first, last = -(-gap["from_us"] * RATE // _US), gap["to_us"] * RATE // _US
        for channel, name in ((there.caller, "caller"), (there.advisor, "advisor")):
            loud = int((channel[first:last] != 0).sum())
            if loud:
                yield f"{loud} samples of the {name} in the gap {gap['reason']} are not silent"


def proof_faults(manifest: dict[str, Any], erase_back_s: float) -> Iterable[str]:
    """Yield each fault that the gaps, packets and triggers in the manifest prove."""
    gaps = msgspec.convert(manifest["gaps"], list[Gap])
    segments = msgspec.convert(manifest["segments"], list[Interval])
    talk_us = manifest["talk_us"]
    yield from map(str, stored_in_gaps(msgspec.convert(manifest.get("packets"), _PACKETS)))
    triggers = msgspec.convert(manifest.get("triggers", []), list[TriggerFacts])
    yield from map(str, ignored_triggers(triggers, gaps, segments, talk_us))
    known = {(trigger.trigger, trigger.actor) for trigger in triggers}
    pauses = [gap for gap in gaps if gap.reason == "payment" and gap.trigger in PAUSE_TRIGGERS]
    for gap in pauses:
        # A pause before the answer is not in the recording, and erases nothing.
        if gap.from_us and (gap.trigger, gap.actor) not in known:
            yield f"the switch has recorded no trigger of the pause by {gap.trigger} ({gap.actor})"
    erase_us = round(erase_back_s * _US)
    meant = [TriggerFacts(gap.from_us, gap.trigger, gap.actor, erase_us) for gap in pauses]
    yield from map(str, ignored_triggers(meant, gaps, segments, talk_us))


def _speech(there: OpenedRecording, phases: Sequence[Phase], erase_back_s: float) -> Iterable[str]:
    for number, phase in enumerate(phases):
        later = phases[number + 1].fate if number + 1 < len(phases) else Fate.STORED
        cut = erase_back_s + _EDGE_S if later is Fate.IN_GAP else 0
        for part in phase.parts:
            if phase.fate is Fate.STORED:
                yield from _stored(there, phase, part, cut)
            else:
                yield from _absent(there, phase, part)


def _stored(there: OpenedRecording, phase: Phase, part: Part, cut_s: float) -> Iterable[str]:
    said = part.said[: max(0, len(part.said) - round(cut_s * RATE))]
    if len(said) < _LEAST:
        yield f"{phase.name}: {part.who} has said too little"
        return
    channel = there.caller if part.channel == CALLER else there.advisor
    found = similarities_anywhere(channel, said)
    alike = sum(found) / len(found)
    if alike < _THERE or min(found) < _EACH_THERE:
        yield f"{phase.name}: only {alike:.0%} of what {part.who} said is recorded"


def _absent(there: OpenedRecording, phase: Phase, part: Part) -> Iterable[str]:
    if len(part.said) < _LEAST:
        yield f"{phase.name}: {part.who} has said too little"
        return
    channels = (there.caller, there.advisor)
    most = max(max(similarities_anywhere(channel, part.said)) for channel in channels)
    if most > _ABSENT:
        yield f"{phase.name}: what {part.who} said is in the recording ({most:.0%})"
