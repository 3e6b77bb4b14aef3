"""`galwad audit list`: print the newest entries of the audit chain that match the options."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.audit import chain
from galwad.cli.support.call_ids import checked_id
from galwad.cli.support.console import date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from galwad.cli.support.periods import checked_period

app = new_command()


@app.command("list", epilog="Example: galwad audit list --kind recording.fetched --when yesterday")
def list_(
    *,
    kind: Annotated[str, typer.Option(help="Only this kind, such as recording.fetched.")] = "",
    when: Annotated[
        str, typer.Option(help='Only of: today, "last week", 2026-11-24, 2026-11.')
    ] = "",
    recording: Annotated[str, typer.Option(help="Only about this recording: its id.")] = "",
    by: Annotated[
        str, typer.Option(help="Only by this user; or os:root, for root on the server.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest.")] = 50,
    server: Server = "",
    json: Json = False,
) -> None:
    """List entries, sorted from old to new. Erased names of people are not shown.

    Each use of this command is itself entered in the audit. A day runs from midnight to midnight in
    the centre's time zone. `audit list --recording ID` shows who did what with a recording.
    """
    wanted = {
        "kind": kind,
        "when": checked_period(when, "--when"),
        "call_id": checked_id(recording) if recording else "",
        "actor": by,
    }
    query = {key: value for key, value in wanted.items() if value}
    rows = [chain.as_json(link) for link in chain.search(server, query, limit)]
    if json:
        print_json(rows)
        return
    print_table(
        ("ENTRY", "TIME", "KIND", "FACTS", "WHO AND WHAT"),
        (
            (
                str(row["seq"]),
                date_and_time(row["at"]),
                row["kind"],
                ", ".join(f"{name} {value}" for name, value in row["facts"].items()),
                ", ".join(f"{name} {value}" for name, value in row["personal"].items()),
            )
            for row in rows
        ),
        empty="No entry matches.",
    )
