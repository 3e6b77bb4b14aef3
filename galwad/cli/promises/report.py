"""Puts the server's check of the notice's promises into words, in Welsh or English.

The words are for the terminal and for the printable page. This module prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from galwad.cli.support.centre_time import centre_time
from galwad.cli.support.console import one_line
from galwad.texts import Texts

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FindingText:
    """A fact that breaks a promise: `words` in the report's language, and a detail in English.

    `detail` is "" if the words say everything.
    """

    words: str
    detail: str = ""

    def __str__(self) -> str:
        """Return the finding as one line."""
        return f"{self.words}: {self.detail}" if self.detail else self.words


@dataclass(frozen=True, slots=True)
class PromiseText:
    """One promise in words.

    Attributes:
        quote: The promise, as the notice has it.
        checks: A sentence about what is checked.
        evidence: Pairs of a name and a number with its unit.
        findings: The facts that break the promise.
        verdict: The verdict: kept, broken or no evidence.
        state: The verdict as the server names it.
    """

    quote: str
    checks: str
    evidence: tuple[tuple[str, str], ...]
    findings: tuple[FindingText, ...]
    verdict: str
    state: str


@dataclass(frozen=True, slots=True)
class ReportText:
    """A check of all promises in words."""

    title: str
    checked: str
    lines: tuple[PromiseText, ...]
    summary: str


def report_in(found: dict[str, Any], texts: Texts) -> ReportText:
    """Return the server's check `found` in words."""
    first, last = found["first_day"], found["last_day"]
    period = first if first == last else texts.text("promise.period", first=first, last=last)
    checked = centre_time(found["checked"])
    broken = sum(each["verdict"] == "broken" for each in found["promises"])
    return ReportText(
        texts.text("promise.title", period=period),
        texts.text(
            "promise.checked", date=checked.strftime("%Y-%m-%d"), time=f"{checked:%H:%M %Z}"
        ),
        tuple(_line(each, texts) for each in found["promises"]),
        texts.text("promise.summary.broken", count=broken)
        if broken
        else texts.text("promise.summary.kept"),
    )


def _line(promise: dict[str, Any], texts: Texts) -> PromiseText:
    name = promise["name"]
    return PromiseText(
        texts.text(f"promise.{name}.quote"),
        texts.text(f"promise.{name}.checks"),
        tuple(_evidence(promise["evidence"], texts)),
        tuple(_findings(promise, texts)),
        texts.text(f"promise.verdict.{promise['verdict']}"),
        promise["verdict"],
    )


def _evidence(evidence: dict[str, int], texts: Texts) -> Iterable[tuple[str, str]]:
    """Yield each number with its name, in the sequence of the locale's file.

    The numbers of the same subject stand together there. A number that an older command does not
    know, because the server is newer, keeps the server's name.
    """
    names = [name for name in _ORDER if name in evidence]
    for name in (*names, *(other for other in evidence if other not in _ORDER)):
        key, number = f"promise.evidence.{name}", evidence[name]
        value = texts.duration(number) if name.endswith("_us") else str(number)
        yield (texts.text(key) if key in texts else one_line(name)), value


def _findings(promise: dict[str, Any], texts: Texts) -> Iterable[FindingText]:
    for finding in promise["findings"]:
        time = centre_time(finding["us"] / _US) if finding["kind"] == "pause_ignored" else None
        key = f"promise.finding.{finding['kind']}"
        words = finding["kind"]
        if key in texts:
            length = texts.duration(finding["us"])
            clock = "" if time is None else f"{time:%H:%M:%S %Z}"
            words = texts.text(key, length=length, time=clock)
        parts = [finding["call_id"], words]
        named = one_line(": ".join(part for part in parts if part))
        yield FindingText(named, one_line(finding["text"]))
    if promise["more_findings"]:
        yield FindingText(texts.text("promise.more", count=promise["more_findings"]))


_ORDER: Final = (
    *("calls", "in_progress", "recordings", "talk_us", "recorded_us", "gap_us"),
    *("unexplained_us", "missing", "faults", "fault_us", "miscounted"),
    *("pauses", "pauses_page", "pauses_api", "pauses_phone", "pauses_dtmf", "pauses_refer"),
    *("pauses_page_transfer", "pauses_identity", "pauses_other", "paused_us", "longest_pause_us"),
    *("pauses_over_reminder", "pauses_over_alarm", "pauses_to_the_end", "pause_requests"),
    *("pauses_ignored", "triggers", "triggers_ignored", "recorded_in_pause_us"),
    *("packets_in_pauses", "captured_cards", "captured_cards_open"),
    *("transfers", "transfers_refer", "transfers_page_transfer", "transfers_identity"),
    "transfers_other",
    *("transferred_us", "recorded_after_us", "packets_after"),
    *("verified", "disposed", "changed_recordings", "changed_rows", "orphans"),
    *("not_committed", "audit_entries", "audit_problems"),
)
"""The names of the evidence, those of the same subject together."""
