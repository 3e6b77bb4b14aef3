"""`galwad recordings`: list recordings, retain them, and end their retention."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import typer

from galwad.cli.support import timeline
from galwad.cli.support.client import ask
from galwad.cli.support.console import (
    clock,
    console,
    date_and_time,
    print_json,
    print_table,
)
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import (
    CallId,
    Json,
    Reason,
    Server,
    checked_id,
    checked_period,
    read_position,
    required,
)
from recording.policy import GapReason

app = new_command()
_PAGE: Final = 500


@app.command("list", epilog="Example: galwad recordings list --when yesterday --gap payment")
def list_(
    *,
    when: Annotated[
        str, typer.Option(help='Started in: yesterday, monday, "last week", 2026-11-24, 2026-11.')
    ] = "",
    since: Annotated[str, typer.Option(help="Started at or after: as for --when, or a time.")] = "",
    until: Annotated[str, typer.Option(help="Started before.")] = "",
    number: Annotated[str, typer.Option(help="The caller's number.")] = "",
    advisor: Annotated[str, typer.Option(help="The advisor who answered.")] = "",
    extension: Annotated[str, typer.Option(help="The phone that answered.")] = "",
    line: Annotated[str, typer.Option(help="The line that was called.")] = "",
    longer: Annotated[str, typer.Option(help="At least this much talk: 10:00, or 600.")] = "",
    shorter: Annotated[str, typer.Option(help="At most this much talk.")] = "",
    reference: Annotated[str, typer.Option(help="A call id, or the reference of a fetch.")] = "",
    gap: Annotated[GapReason | None, typer.Option(help="With a gap for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    after: Annotated[
        str, typer.Option(help="Continue an earlier list: the value that it printed.")
    ] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """List recordings, the newest first.

    Each search is entered in the audit, with the user and the names of the options, but without the
    options' values. A day runs from midnight to midnight in the centre's time zone.
    """
    wanted: dict[str, Any] = {
        "when": checked_period(when, "--when"),
        "since": checked_period(since, "--since"),
        "until": checked_period(until, "--until"),
        "number": number,
        "advisor": advisor,
        "extension": extension,
        "line": line,
        "min_length_s": read_position(longer, "--longer"),
        "max_length_s": read_position(shorter, "--shorter"),
        "reference": reference,
        "gap_reason": gap.value if gap else None,
        "after": after,
    }
    query = {key: value for key, value in wanted.items() if value not in {None, ""}}
    page = _pages(server, query, limit)
    if json:
        print_json(page)
        return
    print_table(
        ("RECORDING", "STARTED", "TALK", "LINE", "ADVISOR", "CALLER", "GAPS"),
        (_row(row) for row in page["rows"]),
        empty="No recording matches.",
    )
    if page["after"]:
        console().print(f"There are more: add --after {page['after']}", style="dim")


def _pages(server: str, query: dict[str, Any], limit: int) -> dict[str, Any]:
    """Return at most `limit` rows that match `query`; the rows are fetched page by page.

    The result has two values. `rows` are the rows. `after` is the value with which a new search can
    continue after these rows, or None if there are no more rows.
    """
    rows: list[dict[str, Any]] = []
    while True:
        ask_for = {**query, "limit": min(limit - len(rows), _PAGE)}
        page = ask(server, "POST", "/recordings/search", ask_for)
        rows += page["rows"]
        if page["after"] is None or len(rows) >= limit:
            return {"rows": rows, "after": page["after"]}
        query = {**query, "after": page["after"]}


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    spans = timeline.spans_of_row(row)
    notes = [timeline.reasons(spans)]
    if row["interrupted"]:
        notes.append("interrupted")
    if row.get("raw_size"):
        notes.append("kept raw")
    if row.get("captured_card"):
        notes.append(f"card incident {row['captured_card']}")
    notes.append(row.get("custody", ""))
    named = row.get("named", True)
    return (
        row["call_id"],
        date_and_time(row["started"]),
        clock(row["talk_s"]),
        row["line"] if named else "unknown",
        (row["advisor"] or row["extension"]) if named else "unknown",
        (row["number"] or "no number") if named else "unknown",
        ", ".join(note for note in notes if note),
    )


@app.command(epilog='Example: galwad recordings hold 20261125-093000-abcdefgh --reason "claim 17"')
def hold(call_id: CallId, *, reason: Reason, server: Server = "", json: Json = False) -> None:
    """Retain a recording: it cannot be disposed of until `galwad recordings release` ends this."""
    _change_retention("held", call_id, reason, server, as_json=json)


@app.command(
    epilog='Example: galwad recordings release 20261125-093000-abcdefgh --reason "claim settled"'
)
def release(call_id: CallId, *, reason: Reason, server: Server = "", json: Json = False) -> None:
    """End the retention of a recording, so that it is no longer kept from disposal."""
    _change_retention("released", call_id, reason, server, as_json=json)


def _change_retention(
    state: Literal["held", "released"], call_id: str, reason: str, server: str, *, as_json: bool
) -> None:
    body = {"reason": required("--reason", reason, "claim 17")}
    method = "PUT" if state == "held" else "DELETE"
    ask(server, method, f"/recordings/{checked_id(call_id)}/hold", body)
    if as_json:
        print_json({"call_id": call_id, "state": state})
    else:
        print(f"{call_id}  {state}")
