"""`galwad promise-check`: check each promise of the privacy notice that concerns recording."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from galwad.cli.promises.page import page_of
from galwad.cli.promises.report import PromiseText, ReportText, report_in
from galwad.cli.support.atomic import atomic_file, check_writable
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, console, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Language, Server, texts_in
from galwad.cli.support.periods import checked_period
from galwad.texts import Texts

app = new_command()

_TIMEOUT_S: Final = 1800.0
"""The longest time in seconds to wait for the server's response.

The server reads all files of the period's recordings, and the whole audit chain.
"""
_WIDTH: Final = 98
_STDOUT: Final = "-"
_OTHER_NAME: Final = "choose another name, or delete that file first"


@app.command(
    "promise-check", epilog="Example: galwad promise-check --date yesterday --html day.html"
)
def promise_check(
    *,
    date: Annotated[
        str,
        typer.Option(help='The days: today, yesterday, monday, "last week", 2026-11-24, 2026-11.'),
    ] = "today",
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
    """Check what the privacy notice promises about recording, with the evidence of a day.

    For each promise: the words of the notice, what is checked, the evidence in numbers, and the
    verdict: kept, broken or no evidence. Calls are recorded in their entirety; not while payment
    details are taken; not after a transfer out of the centre; and the record is there, unchanged.
    The server reads the files of all recordings of these days, but cannot decrypt them.

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
    """Print the server's check for the period that `date` names, or write the page; return it.

    Raises:
        CliError: The check could not be made, or the page could not be written.
    """
    if json and html:
        raise CliError("--json and --html exclude each other", "choose one of them")
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
    """Print each promise with its evidence and its verdict."""
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
