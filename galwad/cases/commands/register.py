"""`galwad cases`: requests by people about their data, complaints, and their deadlines."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from time import time
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlencode

import typer

from galwad.cases.rules import CaseKind, Channel, Outcome, StepKind
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    CliError,
    centre_time,
    console,
    date_and_time,
    one_line,
    print_json,
    print_table,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    Days,
    Json,
    Reason,
    Server,
    Yes,
    checked_day,
    checked_id,
    checked_period,
    confirm,
    required,
)
from galwad.cli.support.output_file import atomic_file, check_writable

app = new_command()
_TIMEOUT_S: Final = 120.0
"""The longest time in seconds to wait for a search in a million recordings."""
_PAGE: Final = 500
_ERASED_AT_ONCE: Final = 20
NOTE_IN_COPY: Final = ("purpose", "outcome", "on_behalf_of", "authority", "notes")
"""The fields of a contact note that the copy for the person has."""
Case: TypeAlias = Annotated[int, typer.Argument(min=1, help="The number of the case.")]
CallIds: TypeAlias = Annotated[list[str], typer.Argument(metavar="ID...", help="The calls.")]
CaseReference: TypeAlias = Annotated[
    str, typer.Option("--reference", help="The reference of the case in your own register.")
]
Name: TypeAlias = Annotated[str, typer.Option("--name", help="The person whose data it is.")]
Details: TypeAlias = Annotated[str, typer.Option("--details", help="What the person asks for.")]
CaseLanguage: TypeAlias = Annotated[
    str, typer.Option("--language", help="The language of the answer: cy or en.")
]
Received: TypeAlias = Annotated[
    str, typer.Option("--received", help="The day of receipt, such as 2026-12-03.")
]
Owner: TypeAlias = Annotated[
    str, typer.Option("--owner", help="The administrator who is responsible; by default, you.")
]
Representative: TypeAlias = Annotated[
    str, typer.Option("--representative", help="Who asks, if it is another person.")
]
Authority: TypeAlias = Annotated[
    str, typer.Option("--authority", help="By which right they ask, such as a power of attorney.")
]
NO_OWNER: Final = "nobody yet"
_FIGURES: Final = (
    *("received", "in_time", "late", "extended", "open", "granted", "partly_refused", "refused"),
    *("withdrawn", "no_answer", "days"),
)
_STATES: Final = {
    "open": "",
    "waiting-for-identity": "waits for the identity of the person",
    "waiting-for-fee": "waits for a fee",
    "waiting-for-scope": "waits for a clarification",
    "closed": "closed",
}
_FAILED: Final = {
    "no-answer": "the directory does not answer",
    "no-text-search": "this directory cannot be searched by a text",
    "too-many": "too many people; give a longer text",
    "too-short": "the text is too short for this",
    "unreadable": "a number of the person cannot be read, and was not searched for",
}


@app.command("list", epilog="Example: galwad cases list")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also list those that are closed.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List cases. Those with the earliest deadline are the first."""
    found = ask(server, "GET", f"/cases?closed={str(every).lower()}")
    if json:
        print_json(found)
        return
    print_table(
        ("CASE", "KIND", "REFERENCE", "RECEIVED", "DUE", "OWNER", "STATE"),
        (
            (
                str(each["case_id"]),
                each["kind"],
                each["reference"],
                each["received"],
                _due(each),
                each["owner"] or NO_OWNER,
                _state(each),
            )
            for each in found["rows"]
        ),
        empty="There are no cases.",
    )


def _state(case: dict[str, Any]) -> str:
    due = _due(case)
    return "overdue" if due and due < f"{centre_time(time()):%Y-%m-%d}" else _STATES[case["state"]]


def _due(case: dict[str, Any]) -> str:
    """Return the next deadline of a case; "" while it has none."""
    days = [case[name] for name in ("acknowledge_by", "answer_by") if case[name]]
    return min(days, default="") if case["state"] == "open" else ""


@app.command(epilog="Example: galwad cases show 3")
def show(case: Case, *, server: Server = "", json: Json = False) -> None:
    """Show a case: its deadlines, its steps, and the searches for the calls of the person."""
    found = ask(server, "GET", f"/cases/{case}")
    print_json(found) if json else _print(found)


def _print(found: dict[str, Any]) -> None:
    case = found["case"]
    waits = case["state"] == "waiting-for-scope"
    lines = {
        "case": f"{case['case_id']}: {case['reference']}",
        "kind": case["kind"],
        "person": case["name"],
        "asked by": case["representative"] and f"{case['representative']} ({case['authority']})",
        "asks for": case["details"],
        "received": f"{case['received']}, by {case['channel']} {case['call_id']}".rstrip(),
        "language of the answer": case["language"],
        "owner": case["owner"] or NO_OWNER,
        "state": _state(case),
        "acknowledge by": case["acknowledge_by"],
        "answer by": case["answer_by"]
        and f"{case['answer_by']}{', if the person answered today' * waits}",
        "last day to extend": case["extend_by"],
        "calls found": f"{found['calls']}, of which excluded: {found['excluded']}",
    }
    for name, text in lines.items():
        if text:
            _print_line(f"{name}: ", text)
    for each in found["steps"]:
        what = " ".join(filter(None, (each["day"], each["kind"], each["outcome"])))
        withdrawn = f"; withdrawn: {each['withdrawn']}" if each["withdrawn"] else ""
        note = f": {each['note']}" if each["note"] else ""
        _print_line(f"step {each['position']}: ", f"{what} ({each['actor']}){note}{withdrawn}")
    for each in found["searches"]:
        _print_search(each)


def _print_search(search: dict[str, Any]) -> None:
    person = f", person {search['person']}" if search["person"] else ""
    when = f"{date_and_time(search['at'])} ({search['actor']})"
    _print_line(
        f"search {search['position']}: ",
        f'"{search["text"]}"{person}, {when}; calls found: {search["found"]}',
    )
    for place in search["places"]:
        result = _FAILED.get(place["failed"], str(place["found"]))
        name = place["place"].replace("-", " ")
        _print_line("  ", f'{name}, as "{place["spelling"]}": {result}')


def _print_line(title: str, text: str) -> None:
    """Print a text that may have several lines."""
    first, *rest = map(one_line, text.split("\n"))
    console().print(title + first)
    for line in rest:
        console().print("  " + line)


@app.command(
    "open",
    epilog='Example: galwad cases open access --reference "SAR 2026/4" --name "Mair Evans" '
    "--language cy --call 20261125-093000-abcdefgh",
)
def open_(
    kind: Annotated[CaseKind, typer.Argument(help="What the person asks for.")],
    *,
    reference: CaseReference = "",
    name: Name = "",
    language: CaseLanguage = "",
    call: Annotated[
        str, typer.Option("--call", help="The id of the call in which the person asked.")
    ] = "",
    received: Received = "",
    channel: Annotated[
        Channel | None, typer.Option("--channel", help="How it came, if not in a call.")
    ] = None,
    details: Details = "",
    representative: Representative = "",
    authority: Authority = "",
    owner: Owner = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Open a case. Its clock starts on the day of the call, or on the day --received.

    A request can be made by telephone, to any advisor, without a form.
    """
    if not call and not (received and channel):
        raise CliError(
            "the receipt is not known", "add --call, or --received and --channel", status=2
        )
    body = {
        "kind": kind,
        "reference": required("--reference", reference, "SAR 2026/4"),
        "name": required("--name", name, "Mair Evans"),
        "language": _language(required("--language", language, "cy")),
        "call_id": checked_id(call) if call else None,
        "received": checked_day(received, "--received") if received else None,
        "channel": channel,
        "details": details,
        "representative": representative,
        "authority": authority,
        "owner": owner or None,
    }
    _print_changed(ask(server, "POST", "/cases", body), as_json=json)


def _language(text: str) -> str:
    if text not in {"cy", "en"}:
        raise CliError(f'cannot read --language "{text}"', "write cy or en", status=2)
    return text


@app.command(epilog="Example: galwad cases change 3 --owner gwen")
def change(
    case: Case,
    *,
    kind: Annotated[
        CaseKind | None, typer.Option("--kind", help="What the person asks for.")
    ] = None,
    reference: CaseReference = "",
    name: Name = "",
    details: Details = "",
    language: CaseLanguage = "",
    received: Received = "",
    representative: Representative = "",
    authority: Authority = "",
    owner: Owner = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Change what was entered when the case was opened. The deadlines are computed again."""
    new = {
        "kind": kind or "",
        "reference": reference,
        "name": name,
        "details": details,
        "language": _language(language) if language else "",
        "received": checked_day(received, "--received") if received else "",
        "representative": representative,
        "authority": authority,
        "owner": owner,
    }
    body: dict[str, Any] = {each: text for each, text in new.items() if text}
    if not body:
        raise CliError("nothing changes", "add --owner, or another option", status=2)
    body["version"] = ask(server, "GET", f"/cases/{case}")["case"]["version"]
    _print_changed(ask(server, "PUT", f"/cases/{case}", body), as_json=json)


def _print_changed(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a case that was changed, with its deadlines."""
    if as_json:
        print_json(found)
        return
    case = found["case"]
    due = _due(case)
    state = ", ".join(filter(None, (due and f"due {due}", _state(case)))) or "open"
    print(f"Case {case['case_id']}: {state}.")


@app.command(epilog='Example: galwad cases step 3 identity-asked --note "asked for by letter"')
def step(
    case: Case,
    kind: Annotated[StepKind, typer.Argument(help="What has happened.")],
    *,
    day: Annotated[str, typer.Option("--day", help="On which day; by default, today.")] = "",
    note: Annotated[
        str, typer.Option("--note", help="A note; with a refusal or extension, the reason.")
    ] = "",
    outcome: Annotated[
        Outcome | None, typer.Option("--outcome", help='How the case ends, with "closed".')
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Enter what has happened in a case: a question, an answer, an extension, or its end.

    - While the identity of the person is asked for, there is no deadline. The month begins when
      the information is received.

    - The days during which a request for access waits for a clarification do not count.

    - An extension makes three months out of one. The person must be informed in the first month.
    """
    if (kind == "closed") != (outcome is not None):
        raise CliError('"closed" and --outcome belong together', "add the other one", status=2)
    body = {
        "kind": kind,
        "day": checked_day(day, "--day") if day else None,
        "note": note,
        "outcome": outcome,
    }
    _print_changed(ask(server, "POST", f"/cases/{case}/steps", body), as_json=json)


@app.command(epilog='Example: galwad cases undo 3 2 --reason "entered in the wrong case"')
def undo(
    case: Case,
    step: Annotated[int, typer.Argument(min=1, help="The number of the step.")],
    *,
    reason: Reason = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Withdraw a step of a case, as if it had not been taken. The case still shows it.

    A step on which later steps build cannot be withdrawn before these.
    """
    why = required("--reason", reason, "entered in the wrong case")
    body = {"position": step, "reason": why}
    _print_changed(ask(server, "POST", f"/cases/{case}/steps/withdraw", body), as_json=json)


@app.command(epilog='Example: galwad cases search 3 --text "Mair Evans" --person crm:1042')
def search(
    case: Case,
    *,
    number: Annotated[str, typer.Option("--number", help="A telephone number.")] = "",
    text: Annotated[str, typer.Option("--text", help="A name, or a reference in the CRM.")] = "",
    person: Annotated[
        str, typer.Option("--person", help="The right one of the people whom --text has found.")
    ] = "",
    remove: Annotated[
        int | None,
        typer.Option("--remove", min=1, help="Remove this search, made by mistake."),
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Search for the calls of a person, and add them to the case.

    By name, first search with --text only: the directories list the people whom they know. Then
    repeat it with --person: the calls of this person and of each of their numbers are added.
    """
    if sum(map(bool, (number, text, remove))) != 1 or (person and not text):
        raise CliError(
            "the search is not clear", "give --number, --text or --remove, and no two", status=2
        )
    if remove:
        ask(server, "DELETE", f"/cases/{case}/searches/{remove}")
        print_json({"removed": remove}) if json else print(f"Search {remove} is removed.")
        return
    body = {"number": number} if number else {"text": text, "person": person}
    done = ask(server, "POST", f"/cases/{case}/searches", body, timeout_s=_TIMEOUT_S)
    if json:
        print_json(done)
        return
    _print_search(done["search"])
    if text and not person and done["people"]:
        print_table(
            ("PERSON", "NAME", "REFERENCE", "NUMBERS"),
            (
                (each["person"], each["name"], each["reference"], ", ".join(each["numbers"]))
                for each in done["people"]
            ),
            empty="",
        )
        print("Repeat the search with --person, for the right one of these.")
    print(f"Calls added to the case: {done['new']}")


@app.command(epilog="Example: galwad cases calls 3")
def calls(
    case: Case,
    *,
    notes: Annotated[
        bool, typer.Option("--notes", help="Print the contact notes instead of the table.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List the calls that were found for a case, the newest first."""
    rows = calls_of(server, case)
    if json:
        print_json({"rows": rows})
        return
    if notes:
        _print_notes(rows)
        return
    print_table(
        ("CALL", "STARTED", "LINE", "ADVISOR", "RECORDING", "PERSON", "FOUND BY", "EXCLUDED"),
        (
            (
                each["call_id"],
                date_and_time(each["started"]),
                each["line"],
                each["advisor"],
                ", ".join(filter(None, (each["recording"] or "none", *each["flags"]))),
                each["person"],
                ", ".join(map(str, each["searches"])),
                each["excluded"],
            )
            for each in rows
        ),
        empty="No calls were found for this case.",
    )


def _print_notes(rows: list[dict[str, Any]]) -> None:
    """Print the contact notes of calls, with the fields that a copy for the person has."""
    for each in rows:
        note = each["note"] or {}
        excluded = f", excluded: {each['excluded']}" if each["excluded"] else ""
        _print_line("", f"{each['call_id']}  {date_and_time(each['started'])}{excluded}")
        for name in NOTE_IN_COPY:
            if note.get(name):
                _print_line(f"  {name.replace('_', ' ')}: ", note[name])


def calls_of(server: str, case: int) -> list[dict[str, Any]]:
    """Return all calls that were found for a case, the newest first. Raises `CliError`."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = ask(server, "GET", f"/cases/{case}/calls?limit={_PAGE}&after={after}")
        rows += page["rows"]
        after = page["after"]
    return rows


@app.command(epilog="Example: galwad cases accesses 3")
def accesses(case: Case, *, server: Server = "", json: Json = False) -> None:
    """List who has looked at, heard, fetched or copied the recordings of a case, and why.

    The calls that are excluded are left out. Before you give such a list to the person, leave out
    what they must not learn, such as a disclosure to the police.
    """
    found = ask(server, "GET", f"/cases/{case}/accesses", timeout_s=_TIMEOUT_S)
    if json:
        print_json(found)
        return
    print_table(
        ("ENTRY", "TIME", "CALL", "ACT", "BY", "PURPOSE", "REFERENCE", "FOR"),
        (
            (
                str(each["entry"]),
                date_and_time(each["at"]),
                each["call_id"],
                each["act"],
                *(each[name] for name in ("actor", "purpose", "reference", "recipient")),
            )
            for each in found["rows"]
        ),
        empty="No one has used the recordings of this case.",
    )


@app.command(epilog="Example: galwad cases restrict 3")
def restrict(
    case: Case,
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the flag from the recordings again.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Flag the recordings of a case as restricted: fewer people can hear them, for fewer reasons.

    The calls that are excluded are left out, and recordings that have the flag already.
    """
    method, body = "DELETE" if remove else "PUT", {"reason": f"case {case}"}
    ids = [
        each["call_id"]
        for each in _included(server, case)
        if each["recording"] == "recorded" and ("restricted" in each["flags"]) == remove
    ]
    for call_id in ids:
        ask(server, method, f"/recordings/{call_id}/flags/restricted", body)
    state = "no longer restricted" if remove else "restricted"
    print_json({"calls": ids}) if json else print(f"Recordings {state}: {len(ids)}")


@app.command(epilog="Example: galwad cases erase 3")
def erase(case: Case, *, yes: Yes = False, server: Server = "", json: Json = False) -> None:
    """Erase the calls of a request for erasure that are not excluded. This cannot be undone.

    Each recording is disposed of, with a certificate. The person, the number and the free texts are
    erased from the contact note, and the number, the line and the advisor from the row in the
    index. A recording that a legal hold retains is not erased: the command lists it with the
    reason. Exclude the calls that you must keep first, with the reason for the exemption.

    The notes that your CRM has are not erased. You need the right "purge".
    """
    ids = [each["call_id"] for each in _included(server, case)]
    if not ids:
        raise CliError("the case has no calls, or all are excluded", "search for them first")
    if not yes:
        confirm(
            f"Erase {len(ids)} calls of case {case}? This cannot be undone", "nothing was erased"
        )
    rows: list[dict[str, Any]] = []
    for at in range(0, len(ids), _ERASED_AT_ONCE):
        body = {"call_ids": ids[at : at + _ERASED_AT_ONCE]}
        done = ask(server, "POST", f"/cases/{case}/erase", body, timeout_s=_TIMEOUT_S)
        rows += done["rows"]
    if json:
        print_json({"rows": rows})
        return
    kept = [each for each in rows if each["why_not"]]
    print(f"Calls erased: {len(rows) - len(kept)}")
    if kept:
        print_table(
            ("NOT ERASED", "REASON"),
            ((each["call_id"], each["why_not"]) for each in kept),
            empty="",
        )


def _included(server: str, case: int) -> list[dict[str, Any]]:
    """Return the calls of a case that are not excluded."""
    return [each for each in calls_of(server, case) if not each["excluded"]]


@app.command(
    epilog="Example: galwad cases exclude 3 20261125-093000-abcdefgh "
    '--reason "a call of the other person who uses this number"'
)
def exclude(
    case: Case,
    call_ids: CallIds,
    *,
    reason: Reason = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Exclude calls from the answer to the person, for a reason."""
    why = required("--reason", reason, "a call of the other person who uses this number")
    _set_excluded(server, case, call_ids, why, as_json=json)


@app.command(epilog="Example: galwad cases include 3 20261125-093000-abcdefgh")
def include(case: Case, call_ids: CallIds, *, server: Server = "", json: Json = False) -> None:
    """Include calls in the answer again that were excluded."""
    _set_excluded(server, case, call_ids, "", as_json=json)


def _set_excluded(
    server: str, case: int, call_ids: list[str], reason: str, *, as_json: bool
) -> None:
    ids = sorted({checked_id(each) for each in call_ids})
    for at in range(0, len(ids), _PAGE):
        some = {"call_ids": ids[at : at + _PAGE], "reason": reason}
        ask(server, "PUT", f"/cases/{case}/calls", some)
    state = "excluded" if reason else "included"
    print_json({"calls": ids}) if as_json else print(f"Calls {state}: {len(ids)}")


@app.command(epilog="Example: galwad cases figures --date 2026 -o requests-2026.csv")
def figures(
    *,
    date: Days = "last month",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the figures to this CSV file instead."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Count the cases that were received in a period, by kind and language of the answer.

    A request is in time if it was answered by its deadline, and a complaint if it was acknowledged
    within 30 days. LATE also counts open cases that are overdue. DAYS is the median from the
    receipt to the end. The figures name no person.
    """
    if output is not None:
        check_writable(output, replace=force)
    query = urlencode({"when": checked_period(date, "--date")})
    found = ask(server, "GET", f"/cases/figures?{query}")
    if output is not None:
        text = StringIO()
        rows = csv.DictWriter(text, ("kind", "language", *_FIGURES))
        rows.writeheader()
        rows.writerows(found)
        with atomic_file(output, replace=force) as file:
            file.write(text.getvalue().encode())
    if json:
        print_json(found)
    elif output is not None:
        print(one_line(str(output)))
    else:
        print_table(
            ("KIND", "LANGUAGE", *(each.upper().replace("_", " ") for each in _FIGURES)),
            (
                (row["kind"], row["language"], *(_figure(row[each]) for each in _FIGURES))
                for row in found
            ),
            empty="No case was received in this period.",
        )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
