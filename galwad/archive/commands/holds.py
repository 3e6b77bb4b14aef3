"""`galwad holds`: legal holds, for which recordings are retained."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, console, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
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

app = new_command()
_TIMEOUT_S: Final = 1800.0
"""The longest time in seconds to wait until the server has retained a million recordings."""
Hold: TypeAlias = Annotated[int, typer.Argument(min=1, help="The number of the legal hold.")]
CallIds: TypeAlias = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="The ids of recordings.")
]
CaseReference: TypeAlias = Annotated[
    str, typer.Option("--reference", help="The reference of your case.")
]
Review: TypeAlias = Annotated[
    str,
    typer.Option("--review", help="The day to check if it is still needed, such as 2027-06-01."),
]
Owner: TypeAlias = Annotated[
    str, typer.Option("--owner", help="The administrator who checks it; by default, you.")
]
When: TypeAlias = Annotated[
    str, typer.Option("--when", help='All that started in: yesterday, "last week", 2026-11.')
]
Since: TypeAlias = Annotated[str, typer.Option("--since", help="All that started at or after.")]
Until: TypeAlias = Annotated[str, typer.Option("--until", help="All that started before.")]
Number: TypeAlias = Annotated[str, typer.Option("--number", help="All of this caller.")]
Advisor: TypeAlias = Annotated[str, typer.Option("--advisor", help="All of this advisor.")]
Line: TypeAlias = Annotated[str, typer.Option("--line", help="All of this line.")]


@app.command("list", epilog="Example: galwad holds list")
def list_(
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also list those that were released.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List legal holds. Those with the earliest date of review are the first."""
    found = ask(server, "GET", f"/holds?released={str(every).lower()}")
    if json:
        print_json(found)
        return
    print_table(
        ("HOLD", "REFERENCE", "OWNER", "REVIEW", "RECORDINGS", "STATE"),
        (
            (
                str(each["hold_id"]),
                each["reference"],
                each["owner"] or "none",
                each["review"],
                str(each["recordings"]),
                _state(each),
            )
            for each in found["rows"]
        ),
        empty="There are no legal holds.",
    )


def _state(hold: dict[str, Any]) -> str:
    if hold["released"] is not None:
        return f"released {date_and_time(hold['released'])}"
    return f"{hold['asked_by']} asks to release it" if hold["asked_by"] else ""


@app.command(epilog="Example: galwad holds show 12")
def show(hold: Hold, *, server: Server = "", json: Json = False) -> None:
    """Show a legal hold, and who has asked for releases.

    `galwad recordings list --hold 12` lists the recordings that hold 12 retains.
    """
    found = ask(server, "GET", f"/holds/{hold}")
    if json:
        print_json(found)
        return
    _print(found)


def _print(found: dict[str, Any]) -> None:
    out, row = console(), found["hold"]
    lines = {
        "hold": f"{row['hold_id']}: {row['reference']}",
        "reason": row["reason"],
        "owner": row["owner"] or "none",
        "review": row["review"],
        "opened": date_and_time(row["opened"]),
        "recordings": str(row["recordings"]),
        "later calls": f"of {row['number']}" if row["number"] else "",
        "state": _state(row),
        "reason for the release": row["asked_for"],
    }
    for name, text in lines.items():
        if text:
            out.print(f"{name}: {text}", markup=False)
    for each in found["requests"]:
        line = f"{each['asked_by']} asks to release {each['call_id']}: {each['reason']}"
        out.print(line, markup=False)


@app.command(
    "open",
    epilog='Example: galwad holds open --reference "Claim 2026/17" --reason "a fall in Bridge '
    'Street" --review 2027-06-01 --number 01632960001 --future',
)
def open_(
    call_ids: CallIds = None,
    *,
    reference: CaseReference = "",
    reason: Reason = "",
    review: Review = "",
    owner: Owner = "",
    when: When = "",
    since: Since = "",
    until: Until = "",
    number: Number = "",
    advisor: Advisor = "",
    line: Line = "",
    future: Annotated[
        bool, typer.Option("--future", help="Also retain each later call of --number.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Open a legal hold, and retain recordings for it: those named, and those that match.

    A recording that is retained cannot be disposed of. It can have several legal holds.
    """
    if future and not number:
        raise CliError("--future needs --number", "add the caller's number", status=2)
    body = {
        "reference": required("--reference", reference, "Claim 2026/17"),
        "reason": required("--reason", reason, "a fall in Bridge Street"),
        "review": checked_day(required("--review", review, "2027-06-01"), "--review"),
        "owner": owner or None,
        "future": future,
        **_which(call_ids, when, since, until, number=number, advisor=advisor, line=line),
    }
    done = ask(server, "POST", "/holds", body, timeout_s=_TIMEOUT_S)
    print_json(done) if json else print(f"Legal hold {done['hold_id']} is open. {_counts(done)}")


@app.command(epilog="Example: galwad holds add 12 --number 01632960001 --when 2026-11")
def add(
    hold: Hold,
    call_ids: CallIds = None,
    *,
    when: When = "",
    since: Since = "",
    until: Until = "",
    number: Number = "",
    advisor: Advisor = "",
    line: Line = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Retain further recordings for a legal hold. This withdraws a request to release it."""
    body = _which(call_ids, when, since, until, number=number, advisor=advisor, line=line)
    done = ask(server, "POST", f"/holds/{hold}/recordings", body, timeout_s=_TIMEOUT_S)
    print_json(done) if json else print(_counts(done))


@app.command(epilog="Example: galwad holds change 12 --review 2027-12-01 --owner gwen")
def change(
    hold: Hold,
    *,
    reference: CaseReference = "",
    reason: Reason = "",
    review: Review = "",
    owner: Owner = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Change a legal hold. This withdraws a request to release it."""
    new = {"reference": reference, "reason": reason, "owner": owner}
    if review:
        new["review"] = checked_day(review, "--review")
    body = {name: text for name, text in new.items() if text}
    if not body:
        raise CliError("nothing changes", "add --review, or another option", status=2)
    version = ask(server, "GET", f"/holds/{hold}")["hold"]["version"]
    ask(server, "PUT", f"/holds/{hold}", {"version": version, **body})
    print_json({"hold_id": hold}) if json else print(f"Legal hold {hold} is changed.")


@app.command(epilog='Example: galwad holds release 12 --reason "claim settled"')
def release(
    hold: Hold,
    *,
    reason: Reason = "",
    recording: Annotated[
        str, typer.Option(help="Release only this recording, and not the whole hold.")
    ] = "",
    yes: Yes = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Ask to release a legal hold, or agree to it: two administrators must run this command.

    The command first shows the hold, and who has asked to release it.

    After the release, the recordings are kept for some time ([desk] hold_grace), even if their term
    is over. Another legal hold still retains them.
    """
    body: dict[str, Any] = {"reason": required("--reason", reason, "claim settled")}
    if recording:
        body["call_id"] = checked_id(recording)
    found = ask(server, "GET", f"/holds/{hold}")
    if not json:
        _print(found)
    if not yes:
        confirm(f"Release {recording or 'this legal hold'}?", "nothing was released")
    body["version"] = found["hold"]["version"]
    done = ask(server, "POST", f"/holds/{hold}/release", body)
    what = recording or f"Legal hold {hold}"
    if json:
        print_json(done)
    elif done["released"]:
        print(f"{what} is released.")
    else:
        print(f"{what} is released when a second administrator runs this command too.")


def _which(
    call_ids: list[str] | None, when: str, since: str, until: str, **filters: str
) -> dict[str, Any]:
    """Return the part of a request that says which recordings to retain."""
    periods = {"when": when, "since": since, "until": until}
    found = {name: checked_period(words, f"--{name}") for name, words in periods.items()}
    query = {name: text for name, text in (found | filters).items() if text}
    ids = [checked_id(each) for each in call_ids or ()]
    if not ids and not query:
        raise CliError(
            "no recordings are named", "give ids, or an option such as --number", status=2
        )
    return {"call_ids": ids, "query": query or None}


def _counts(done: dict[str, Any]) -> str:
    text = f"Recordings retained for it: {done['retained']}"
    if done["before"]:
        text += f"; before: {done['before']}"
    if done["disposed"]:
        text += f"; disposed of, so not retained: {done['disposed']}"
    return f"{text}."
