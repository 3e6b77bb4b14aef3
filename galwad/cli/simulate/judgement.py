"""The check of a recording against the audio that the simulated phones sent in the call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from galwad.cli.simulate.actions import Spoken
from galwad.cli.simulate.api_client import OpenedRecording
from galwad.cli.simulate.matrix.verdict import proof_faults
from galwad.cli.simulate.sound import RATE, Samples, similarity_anywhere
from galwad.cli.simulate.steps import Report

PAUSED: Final = "paused"
_THERE: Final = 0.9
_ABSENT: Final = 0.3
"""The highest similarity (0 to 1) of audio that is absent. Two different pieces of noise, of half a
second, always have a lower one.
"""
_US: Final = 1_000_000
_LENGTH_S: Final = 0.05
_REPORT: Final = "keep the recording and the journals, and report it"


def judge_recording(report: Report, there: OpenedRecording, spoken: Iterable[Spoken]) -> None:
    """Compare the recording with the audio that the phones sent, and report the results.

    Audio of a pause, or after a transfer with a gap, must be absent; all other audio must be
    present, except what a pause erased. Payment gaps must be silent and without stored packets.
    Segments and gaps must add up to the talk time.
    """
    moved = any(gap["reason"] == "transfer" for gap in there.manifest["gaps"])
    for part in _without_erased(list(spoken), there):
        if not len(part.caller):
            report.ok(f"recorded: {part.phase}", "the pause erased all of it, as `erase_back` says")
        elif part.phase == PAUSED or (part.phase == "after the transfer" and moved):
            _absent(report, there, part)
        else:
            _present(report, there, part)
    for reason, name in (("erased", "erased gap"), ("payment", "payment gap")):
        if gaps := [gap for gap in there.manifest["gaps"] if gap["reason"] == reason]:
            _silent(report, there, name, gaps)
    faults = list(proof_faults(there.manifest, 0.0))
    if faults:
        report.fail("evidence", "; ".join(faults), _REPORT)
    else:
        report.ok("evidence", "no packet was stored in a gap, and no trigger was ignored")
    _adds_up(report, there)


def _without_erased(spoken: list[Spoken], there: OpenedRecording) -> Iterator[Spoken]:
    """Yield the audio of each phase; the one before a pause lacks what the pause erased.

    It also lacks half a second that was on its way. Less than half a second is left out too.
    """
    erased = [gap for gap in there.manifest["gaps"] if gap["reason"] == "erased"]
    erased_us = sum(gap["to_us"] - gap["from_us"] for gap in erased)
    cut = (erased_us + _US // 2) * RATE // _US if erased else 0
    for number, part in enumerate(spoken):
        followed_by = spoken[number + 1].phase if number + 1 < len(spoken) else ""
        if not cut or followed_by != PAUSED:
            yield part
            continue
        kept = len(part.caller) - cut if len(part.caller) - cut >= RATE // 2 else 0
        yield Spoken(part.phase, part.caller[:kept], part.answerer[:kept])


def _present(report: Report, there: OpenedRecording, part: Spoken) -> None:
    for channel, said, who in _sides(there, part):
        name = f"recorded: {part.phase}, {who}"
        alike, _ = similarity_anywhere(channel, said)
        text = f"{alike:.0%} similar to what was said"
        if alike >= _THERE:
            report.ok(name, text, alike=round(alike, 4))
        else:
            report.fail(name, text, "heard on the phone, but not recorded", alike=round(alike, 4))


def _absent(report: Report, there: OpenedRecording, part: Spoken) -> None:
    name = f"not recorded: {part.phase}"
    most = max(
        similarity_anywhere(channel, said)[1]
        for _, said, _ in _sides(there, part)
        for channel in (there.caller, there.advisor)
    )
    if most <= _ABSENT:
        report.ok(name, "nothing of what was said is in either channel", alike=round(most, 4))
    else:
        report.fail(name, f"{most:.0%} of it is there", _REPORT, alike=round(most, 4))


def _sides(there: OpenedRecording, part: Spoken) -> tuple[tuple[Samples, Samples, str], ...]:
    return (
        (there.caller, part.caller, "caller"),
        (there.advisor, part.answerer, "advisor"),
    )


def _silent(report: Report, there: OpenedRecording, name: str, gaps: list[Any]) -> None:
    loud = 0
    for gap in gaps:
        first, last = -(-gap["from_us"] * RATE // _US), gap["to_us"] * RATE // _US
        loud += int((there.caller[first:last] != 0).sum() + (there.advisor[first:last] != 0).sum())
    length = sum(gap["to_us"] - gap["from_us"] for gap in gaps) / _US
    if loud:
        report.fail(name, f"{loud} samples in it are not silence", _REPORT, loud=loud)
    else:
        text = f"{length:.1f} s of silence, by {gaps[0]['trigger']}"
        report.ok(name, text, seconds=round(length, 3))


def _adds_up(report: Report, there: OpenedRecording) -> None:
    manifest = there.manifest
    parts = sorted(
        (part["from_us"], part["to_us"]) for part in manifest["segments"] + manifest["gaps"]
    )
    at = 0
    whole = not manifest["unexplained"]
    for begin, end in parts:
        whole, at = whole and begin == at, end
    talk, length = manifest["talk_us"] / _US, len(there.caller) / RATE
    whole = whole and at == manifest["talk_us"] and abs(talk - length) < _LENGTH_S
    text = (
        f"segments: {len(manifest['segments'])}, gaps: {len(manifest['gaps'])}; "
        f"{talk:.1f} s of talk, {length:.1f} s of sound"
    )
    figures = {"talk_s": round(talk, 3), "sound_s": round(length, 3)}
    if whole:
        report.ok("adds up", text, **figures)
    else:
        report.fail("adds up", text, _REPORT, **figures)
