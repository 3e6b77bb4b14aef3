"""`galwad cases letter`: a letter to the person about a step of their case, in Welsh or English."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from galwad.cases.commands.register import Case
from galwad.cases.rules import NEED_REASON
from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.output_file import atomic_file, check_writable
from galwad.cli.support.page_texts import Texts, html_page

app = new_command()
_ASKS: Final = frozenset({"identity-asked", "fee-asked", "scope-asked"})
"""The steps with a question to the person, which the option --text has."""
_SENT: Final = _ASKS | {"acknowledged", "extended", "closed"}
"""The steps about which the person gets a letter."""


@app.command(epilog='Example: galwad cases letter 3 2 --text "Which calls do you mean?"')
def letter(
    case: Case,
    step: Annotated[int, typer.Argument(min=1, help="The number of the step of the case.")],
    *,
    text: Annotated[
        str, typer.Option("--text", help="What the letter says too; for a question, the question.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file: .pdf or .html; by default, a PDF."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Write the letter about a step: an acknowledgement, a question, an extension, or the end.

    It is in the language of the case. The reason of a refusal or an extension is the note of the
    step. Notes of other steps are not in the letter.
    """
    if output is not None and output.suffix not in {".pdf", ".html"}:
        raise CliError(f"{output} is neither a .pdf nor a .html file", "use -o", status=2)
    detail = ask(server, "GET", f"/cases/{case}")
    taken = next((each for each in detail["steps"] if each["position"] == step), None)
    if taken is None or taken["withdrawn"] or taken["kind"] not in _SENT:
        raise CliError(
            f"no letter belongs to step {step} of case {case}",
            f"`galwad cases show {case}` shows its steps; a letter belongs to: "
            + ", ".join(sorted(_SENT)),
        )
    if detail["case"]["state"] == "closed" and taken["kind"] != "closed":
        raise CliError(
            f"case {case} is closed, so the letter about step {step} would not be true",
            "write the letter about the step `closed`",
        )
    if taken["kind"] in _ASKS and not text.strip():
        raise CliError("the letter needs the question", "add --text", status=2)
    output = output or Path(f"case-{case}-{taken['kind']}.pdf")
    check_writable(output, replace=force)
    page = _page(detail["case"], taken, text.strip(), Texts(detail["case"]["language"]))
    with atomic_file(output, replace=force) as file:
        file.write(page.encode() if output.suffix == ".html" else _pdf_of(page))
    if json:
        print_json({"case_id": case, "step": step, "file": str(output)})
        return
    print(one_line(str(output)))


def _pdf_of(page: str) -> bytes:
    from galwad.archive.commands import evidence_letter  # noqa: PLC0415 - it loads slowly

    evidence_letter.check_library()
    return evidence_letter.pdf_of(page)


def _page(case: dict[str, Any], step: dict[str, Any], text: str, texts: Texts) -> str:
    """Return the letter as an HTML document, which loads nothing."""
    from galwad.archive.commands.evidence_letter import STYLE, html_table  # noqa: PLC0415

    what = _what(case, step, texts)
    facts = {
        "to": case["representative"] or case["name"],
        "about": case["name"] if case["representative"] else "",
        "reference": case["reference"],
        "number": str(case["case_id"]),
        "received": _day(case["received"], texts),
        "asked": case["details"],
        "date": _day(step["day"], texts),
    }
    rows = ((texts.text(f"evidence.letter.{name}"), value) for name, value in facts.items())
    paragraphs = "\n".join(
        f'<p class="long">{escape(each)}</p>' for each in _paragraphs(case, step, text, what, texts)
    )
    content = f"{html_table(row for row in rows if row[1])}\n{paragraphs}\n"
    title = texts.text(f"evidence.letter.{what}.title")
    return html_page(texts.language, title, STYLE, content)


def _what(case: dict[str, Any], step: dict[str, Any], texts: Texts) -> str:
    """Return the middle of the keys of the letter's texts; a complaint has some of its own."""
    what = f"{step['kind']}.{step['outcome']}" if step["outcome"] else step["kind"]
    own = f"complaint.{what}"
    is_own = case["kind"] == "complaint" and f"evidence.letter.{own}.title" in texts
    return own if is_own else what


def _paragraphs(
    case: dict[str, Any], step: dict[str, Any], text: str, what: str, texts: Texts
) -> Iterator[str]:
    due = case["answer_by"]
    if what == "acknowledged" and case["state"] != "open":
        what = "acknowledged.waits"
    yield texts.text(f"evidence.letter.{what}.text", day=_day(due, texts) if due else "")
    if step["kind"] == "extended" or step["outcome"] in NEED_REASON:
        yield step["note"]
    if text:
        yield text
    if step["kind"] in {"extended", "closed"}:
        yield texts.text("evidence.letter.rights")
    yield texts.text("evidence.letter.end")


def _day(day: str, texts: Texts) -> str:
    """Return a day such as "2026-12-03" in words."""
    when = date.fromisoformat(day)
    month = texts.text(f"evidence.letter.month.{when.month}")
    return f"{when.day} {month} {when.year}"
