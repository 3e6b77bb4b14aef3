"""Judge a recording by what was said, and by what must have happened in the call.

Every fault is reported, because the first fault may be only a consequence of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from galwad.simulate.api import OpenedRecording
from galwad.simulate.call import Spoken
from galwad.simulate.phones import Fate, Part, Phase
from galwad.simulate.report import Report
from galwad.simulate.sound import RATE, Samples, similarities_anywhere
from recording.archive.accounting import ignored_triggers, stored_in_gaps
from recording.archive.manifest import Gap, Interval, PacketStretch, TriggerFacts
from recording.policy import PAUSE_TRIGGERS

PAUSED: Final = "paused"
"""The name of the phase of `galwad simulate call` in which the recording is paused."""
_THERE: Final = 0.9
"""In `galwad simulate call`, speech of at least this similarity (0 to 1) counts as recorded."""
_THERE_OF_MANY: Final = 0.8
"""In a row of a matrix, speech of at least this mean similarity counts as recorded. A busy machine
sends some packets late, which shifts a part of the speech.
"""
_EACH_THERE: Final = 0.45
"""In a row of a matrix, each compared half second must have at least this similarity."""
_ABSENT: Final = 0.3
"""Speech counts as absent if no compared half second has a higher similarity than this. Two
different half seconds of noise have a lower similarity.
"""
_US: Final = 1_000_000
_LENGTH_S: Final = 0.05
_EDGE_S: Final = 0.3
"""The most seconds that a pause may erase beyond `erase_back`: audio that was on its way."""
_CLOCK_S: Final = 0.25
"""The inaccuracy in seconds of a phase's length: a busy machine notices the end of a phase late."""
_LEAST: Final = RATE // 2
_PACKETS: Final = list[PacketStretch] | None
_REPORT: Final = "keep the recording and the journals, and report it"


@dataclass(frozen=True, slots=True)
class ExpectedGap:
    """A gap that the recording must have. Audio that a pause erased is judged separately."""

    reason: str
    trigger: str
    actor: str

    def __str__(self) -> str:
        return f"{self.reason} by {self.trigger} ({self.actor})"


# --- what every recording must show -----------------------------------------------------------


def proof_faults(manifest: dict[str, Any], erase_back_s: float) -> Iterator[str]:
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
        # A pause before the answer has no trigger in the spool. Its gap begins at 0.
        if gap.from_us and (gap.trigger, gap.actor) not in known:
            yield f"the switch has recorded no trigger of the pause by {gap.trigger} ({gap.actor})"
    erase_us = round(erase_back_s * _US)
    meant = [TriggerFacts(gap.from_us, gap.trigger, gap.actor, erase_us) for gap in pauses]
    yield from map(str, ignored_triggers(meant, gaps, segments, talk_us))


def sum_faults(manifest: dict[str, Any], sound_s: float) -> Iterator[str]:
    """Yield each fault in the sum of segments and gaps, and in the length of the sound."""
    at = 0
    for begin, end in sorted(map(_ends, manifest["segments"] + manifest["gaps"])):
        if begin != at:
            yield f"segments and gaps do not meet at {at / _US:.3f} s"
        at = end
    if at != manifest["talk_us"] or manifest["unexplained"]:
        yield "segments and gaps do not add up to the talk time"
    if abs(manifest["talk_us"] / _US - sound_s) >= _LENGTH_S:
        yield "the sound is not as long as the talk time"


def _ends(part: dict[str, Any]) -> tuple[int, int]:
    return part["from_us"], part["to_us"]


def _seconds(parts: Iterable[dict[str, Any]]) -> float:
    return sum(end - begin for begin, end in map(_ends, parts)) / _US


def _sound_s(there: OpenedRecording) -> float:
    return len(there.caller) / RATE


def loud_samples(channel: Samples, gap: dict[str, Any], rate: int = RATE) -> int:
    """Return the number of samples within a gap that are not silence."""
    begin, end = _ends(gap)
    return int((channel[-(-begin * rate // _US) : end * rate // _US] != 0).sum())


def _most(there: OpenedRecording, said: Samples) -> float:
    """Return the highest similarity of a half second of `said` to a place in either channel."""
    return max(max(similarities_anywhere(channel, said)) for channel in there.channels)


def _erased(manifest: dict[str, Any]) -> list[Any]:
    return [gap for gap in manifest["gaps"] if gap["reason"] == "erased"]


# --- the recording of `galwad simulate call` --------------------------------------------------


def judge_recording(report: Report, there: OpenedRecording, spoken: Iterable[Spoken]) -> None:
    """Compare the recording with the audio that the phones sent, and report the results.

    Audio of a pause must be absent. Audio after a transfer must be absent if the recording has a
    transfer gap. Other audio must be present, unless a pause erased it.
    """
    moved = any(gap["reason"] == "transfer" for gap in there.manifest["gaps"])
    for part in _without_erased(list(spoken), there):
        if not len(part.caller):
            report.ok(
                f"recorded: {part.phase}",
                "not judged: the pause erased this whole phase (`erase_back`)",
            )
        elif part.phase == PAUSED or (part.phase == "after the transfer" and moved):
            _report_absent(report, there, part)
        else:
            _report_present(report, there, part)
    for reason, name in (("erased", "erased gap"), ("payment", "payment gap")):
        if gaps := [gap for gap in there.manifest["gaps"] if gap["reason"] == reason]:
            _report_silent(report, there, name, gaps)
    if faults := list(proof_faults(there.manifest, 0.0)):
        report.fail("evidence", "; ".join(faults), _REPORT)
    else:
        report.ok("evidence", "no packet was stored in a gap, and no trigger was ignored")
    _report_sum(report, there)


def _without_erased(spoken: list[Spoken], there: OpenedRecording) -> Iterator[Spoken]:
    """Yield the audio of each phase. Shorten the phase before a pause by what the pause erased.

    That phase is shortened by half a second more, for audio that was on its way. If less than half
    a second is left of it, its audio is empty.
    """
    erased = _erased(there.manifest)
    cut = int((_seconds(erased) + 0.5) * RATE) if erased else 0
    for number, part in enumerate(spoken):
        followed_by = spoken[number + 1].phase if number + 1 < len(spoken) else ""
        if not cut or followed_by != PAUSED:
            yield part
            continue
        kept = len(part.caller) - cut if len(part.caller) - cut >= _LEAST else 0
        yield Spoken(part.phase, part.caller[:kept], part.answerer[:kept])


def _report_present(report: Report, there: OpenedRecording, part: Spoken) -> None:
    for channel, said, who in (
        (there.caller, part.caller, "caller"),
        (there.advisor, part.answerer, "advisor"),
    ):
        name = f"recorded: {part.phase}, {who}"
        alike = _mean(similarities_anywhere(channel, said))
        text = f"{alike:.0%} similar to what was said"
        if alike >= _THERE:
            report.ok(name, text, alike=round(alike, 4))
        else:
            report.fail(name, text, _REPORT, alike=round(alike, 4))


def _mean(found: Sequence[float]) -> float:
    return sum(found) / len(found)


def _report_absent(report: Report, there: OpenedRecording, part: Spoken) -> None:
    name = f"not recorded: {part.phase}"
    most = max(_most(there, said) for said in (part.caller, part.answerer))
    if most <= _ABSENT:
        report.ok(name, "nothing of what was said is in either channel", alike=round(most, 4))
    else:
        report.fail(
            name, f"{most:.0%} of what was said is in the recording", _REPORT, alike=round(most, 4)
        )


def _report_silent(report: Report, there: OpenedRecording, name: str, gaps: list[Any]) -> None:
    loud = sum(loud_samples(channel, gap) for gap in gaps for channel in there.channels)
    if loud:
        report.fail(name, f"{loud} samples in these gaps are not silent", _REPORT, loud=loud)
    else:
        length = _seconds(gaps)
        text = f"{length:.1f} s of silence, by {gaps[0]['trigger']}"
        report.ok(name, text, seconds=round(length, 3))


def _report_sum(report: Report, there: OpenedRecording) -> None:
    manifest = there.manifest
    talk, length = manifest["talk_us"] / _US, _sound_s(there)
    text = (
        f"segments: {len(manifest['segments'])}, gaps: {len(manifest['gaps'])}; "
        f"{talk:.1f} s of talk, {length:.1f} s of sound"
    )
    figures = {"talk_s": round(talk, 3), "sound_s": round(length, 3)}
    if list(sum_faults(manifest, length)):
        report.fail("adds up", text, _REPORT, **figures)
    else:
        report.ok("adds up", text, **figures)


# --- the recording of a row -------------------------------------------------------------------


def faults_of(
    there: OpenedRecording,
    phases: Sequence[Phase],
    gaps: Sequence[ExpectedGap],
    *,
    segments: int | None,
    erase_back_s: float,
) -> tuple[str, ...]:
    """Return the faults of a recording. `segments` is the right number, or None for any number."""
    manifest = there.manifest
    return (
        *_wrong_parts(manifest, gaps, segments),
        *sum_faults(manifest, _sound_s(there)),
        *_lengths(manifest, phases),
        *_loud(there),
        *_speech(there, phases, erase_back_s),
        *proof_faults(manifest, erase_back_s),
    )


def _wrong_parts(
    manifest: dict[str, Any], gaps: Sequence[ExpectedGap], segments: int | None
) -> Iterator[str]:
    found = [
        ExpectedGap(gap["reason"], gap["trigger"], gap["actor"])
        for gap in manifest["gaps"]
        if not _is_erased_by_a_pause(gap)
    ]
    if found != list(gaps):
        listed = (", ".join(map(str, each)) or "none" for each in (found, gaps))
        yield f"gaps: {'; expected: '.join(listed)}"
    causes = {(gap.trigger, gap.actor) for gap in gaps}
    for gap in manifest["gaps"]:
        if _is_erased_by_a_pause(gap) and (gap["trigger"], gap["actor"]) not in causes:
            yield f"unexpected: {gap['trigger']} ({gap['actor']}) has erased audio"
    count = len(manifest["segments"])
    if segments is not None and count != segments:
        yield f"segments: {count}; expected: {segments}"


def _is_erased_by_a_pause(gap: dict[str, Any]) -> bool:
    return bool(gap["reason"] == "erased" and gap["trigger"] != "tones")


def _lengths(manifest: dict[str, Any], phases: Sequence[Phase]) -> Iterator[str]:
    for fate, parts, name in (
        (Fate.IN_GAP, manifest["gaps"], "gaps"),
        (Fate.STORED, [*manifest["segments"], *_erased(manifest)], "segments"),
    ):
        least = sum(phase.seconds for phase in phases if phase.fate is fate) - _CLOCK_S
        found = _seconds(parts)
        if found < least:
            yield f"the {name} are {found:.1f} s long; expected: at least {least:.1f} s"


def _loud(there: OpenedRecording) -> Iterator[str]:
    for gap in there.manifest["gaps"]:
        for channel, name in ((there.caller, "caller"), (there.advisor, "advisor")):
            if loud := loud_samples(channel, gap):
                yield f"{loud} samples of the {name} in the gap {gap['reason']} are not silent"


def _speech(there: OpenedRecording, phases: Sequence[Phase], erase_back_s: float) -> Iterator[str]:
    for number, phase in enumerate(phases):
        stored = phase.fate is Fate.STORED
        later = phases[number + 1].fate if number + 1 < len(phases) else Fate.STORED
        cut_s = erase_back_s + _EDGE_S if stored and later is Fate.IN_GAP else 0
        for part in phase.parts:
            said = part.said[: max(0, len(part.said) - round(cut_s * RATE))]
            if len(said) < _LEAST:
                yield f"{phase.name}: {part.who} has said too little"
            elif stored:
                yield from _missing(there, phase, part, said)
            elif (most := _most(there, said)) > _ABSENT:
                yield f"{phase.name}: what {part.who} said is in the recording ({most:.0%})"


def _missing(there: OpenedRecording, phase: Phase, part: Part, said: Samples) -> Iterator[str]:
    found = similarities_anywhere(there.channels[part.channel], said)
    alike = _mean(found)
    if alike < _THERE_OF_MANY or min(found) < _EACH_THERE:
        yield f"{phase.name}: only {alike:.0%} of what {part.who} said is recorded"
