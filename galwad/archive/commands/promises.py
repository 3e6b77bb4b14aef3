"""`galwad promise-check`: check each promise of the privacy notice that concerns recording.

The server makes the check. This module puts the result into Welsh or English words, for a terminal
or as a page for printing. The page is one HTML file for A4, without scripts. It loads nothing from
the network, and its verdicts are words and not only colours.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, centre_time, console, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Days, Json, Language, Server, checked_period, texts_in
from galwad.cli.support.output_file import atomic_file, check_writable
from galwad.cli.support.page_texts import Texts, html_page

app = new_command()
_TIMEOUT_S: Final = 1800.0
"""The longest time in seconds to wait for the server, which reads all files and the whole chain."""
_WIDTH: Final = 98
_STDOUT: Final = "-"
_OTHER_NAME: Final = "choose another name, or delete that file first"
_US: Final = 1_000_000
_ORDER: Final = (
    *("calls", "in_progress", "recordings", "talk_us", "recorded_us", "gap_us"),
    *("unexplained_us", "missing", "faults", "fault_us", "miscounted"),
    *("pauses", "pauses_page", "pauses_api", "pauses_phone", "pauses_dtmf", "pauses_refer"),
    *("pauses_page_transfer", "pauses_identity", "pauses_route", "pauses_unnamed", "pauses_other"),
    *("paused_us", "longest_pause_us"),
    *("pauses_over_reminder", "pauses_over_alarm", "pauses_to_the_end", "pause_requests"),
    *("pauses_ignored", "triggers", "triggers_ignored", "recorded_in_pause_us"),
    *("packets_in_pauses", "captured_cards", "captured_cards_open"),
    *("transfers", "transfers_refer", "transfers_page_transfer", "transfers_identity"),
    *("transfers_route", "transfers_unnamed", "transfers_other"),
    *("transferred_us", "recorded_after_us", "packets_after"),
    *("disclosures", "disclosures_urgent", "disclosures_unreviewed", "disclosure_uses"),
    "disclosed_files",
    *("verified", "disposed", "changed_recordings", "changed_rows", "orphans"),
    *("not_committed", "audit_entries", "audit_problems"),
)
"""The names of the evidence, in the sequence in which they are printed."""
_STYLE: Final = """\
@page { size: A4; margin: 15mm }
:root { color-scheme: light }
body { font: 10pt/1.35 system-ui, sans-serif; color: #16202a; background: #fff;
  max-width: 180mm; margin: 8mm auto; padding: 0 4mm }
h1 { font-size: 17pt; line-height: 1.2; margin: 0 0 2mm }
table { border-collapse: collapse; width: 100%; margin: 5mm 0 }
th, td { border: 1px solid #5b6672; padding: 2mm 2.5mm; text-align: left; vertical-align: top }
thead th { background: #e8ecf0 }
tbody th { font-weight: normal; width: 22% }
q { font-style: italic }
tr { break-inside: avoid }
thead { display: table-header-group }
ul { margin: 0; padding: 0 0 0 4mm }
.evidence { width: 38% }
.verdict { font-weight: bold; width: 14% }
.kept { color: #0b5a2b }
.broken { color: #fff; background: #9b1c1c; print-color-adjust: exact }
.findings { overflow-wrap: anywhere }
.summary { font-size: 13pt; font-weight: bold }
"""


@app.command(
    "promise-check", epilog="Example: galwad promise-check --date yesterday --html day.html"
)
def promise_check(
    *,
    date: Days = "today",
    html: Annotated[
        str,
        typer.Option(
            "--html", metavar="FILE", help="Write a page for printing to this file; - is stdout."
        ),
    ] = "",
    language: Language = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Check what the privacy notice promises about recording, for the calls of some days.

    For each promise, the command prints the words of the notice, what is checked, the evidence in
    numbers, and the verdict: kept, broken or no evidence. The promises are: calls are recorded in
    their entirety; nothing is recorded while payment details are taken; nothing is recorded after a
    transfer out of the centre; recordings are disclosed only as the register of disclosures says;
    the recordings exist unchanged. The server reads the files of these recordings, but cannot
    decrypt them.

    The exit status is 0 if no promise is broken, 1 if one is broken, and 2 if the check could not
    be made.
    """
    texts = texts_in(language)
    try:
        found = _check(date, server, html, texts, json=json)
    except CliError as error:
        # Status 1 means that a promise is broken.
        raise CliError(error.message, error.hint, status=2) from None
    if not found["kept"]:
        summary = report_in(found, texts).summary
        raise CliError(summary.rstrip("."), "docs/operations/promises.md says what to do")


def _check(date: str, server: str, html: str, texts: Texts, *, json: bool) -> dict[str, Any]:
    if json and html:
        raise CliError("--json and --html cannot be combined", "choose one of them")
    target = None if html in {"", _STDOUT} else Path(html)
    if target is not None:
        check_writable(target, replace=False, hint=_OTHER_NAME)
    path = f"/promises?{urlencode({'when': checked_period(date, '--date')})}"
    found: dict[str, Any] = ask(server, "GET", path, timeout_s=_TIMEOUT_S)
    report = report_in(found, texts)
    if json:
        print_json(found)
    elif target is not None:
        with atomic_file(target, replace=False, mode=0o644) as file:
            file.write(page_of(report, texts).encode())
    elif html:
        sys.stdout.write(page_of(report, texts))
    else:
        _show(report, texts)
    return found


def _show(report: ReportText, texts: Texts) -> None:
    out = console()
    out.print(report.title, style="bold")
    out.print(report.checked)
    for line in report.lines:
        out.print()
        _show_line(line, texts)
    out.print()
    out.print(textwrap.fill(texts.text("promise.limits"), _WIDTH))
    out.print(report.summary, style="bold")


def _show_line(line: PromiseText, texts: Texts) -> None:
    out = console()
    style = "bold red" if line.state == "broken" else "bold"
    out.print(textwrap.fill(f'"{line.quote}"', _WIDTH), style="bold")
    evidence = "; ".join(f"{name}: {value}" for name, value in line.evidence)
    for name, text in (("checks", line.checks), ("evidence", evidence)):
        head = f"  {texts.text(f'promise.{name}')}: "
        out.print(textwrap.fill(head + text, _WIDTH, subsequent_indent="    "))
    for finding in line.findings:
        out.print(f"  !  {finding}", style="bold red")
    out.print(f"  {texts.text('promise.verdict')}: {line.verdict}", style=style)


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
    """Yield each name in words and its number, sorted by `_ORDER`. Unknown names stay as is."""
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


def page_of(report: ReportText, texts: Texts) -> str:
    """Return the report as an HTML document for printing."""
    heads = "".join(
        f'<th scope="col">{escape(texts.text(f"promise.{name}"))}</th>'
        for name in ("notice", "checks", "evidence", "verdict")
    )
    rows = "\n".join(_row(line, texts) for line in report.lines)
    title = report.title
    content = f"""\
<p>{escape(report.checked)}</p>
<p class="summary">{escape(report.summary)}</p>
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>{escape(texts.text("promise.limits"))}</p>
"""
    return html_page(texts.language, title, _STYLE, content)


def _row(line: PromiseText, texts: Texts) -> str:
    evidence = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in line.evidence)
    cells = [
        f'<th scope="row"><q>{escape(line.quote)}</q></th>',
        f"<td>{escape(line.checks)}</td>",
        f'<td class="evidence"><ul>{evidence}</ul></td>',
        f'<td class="verdict {escape(line.state)}">{escape(line.verdict)}</td>',
    ]
    rows = [f"<tr>{''.join(cells)}</tr>"]
    if line.findings:
        found = "".join(f"<li>{_finding(finding)}</li>" for finding in line.findings)
        head = escape(texts.text("promise.findings"))
        rows.append(
            f'<tr><th scope="row">{head}</th>'
            f'<td colspan="3" class="findings"><ul>{found}</ul></td></tr>'
        )
    return "\n".join(rows)


def _finding(finding: FindingText) -> str:
    """Return a finding as HTML. A screen reader reads its detail in English."""
    words = escape(finding.words)
    return f'{words}: <span lang="en">{escape(finding.detail)}</span>' if finding.detail else words
