"""`galwad alarms list`: list the alarms, and who handles them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command("list", epilog="Example: galwad alarms list --all")
def list_(
    *,
    all_: Annotated[
        bool, typer.Option("--all", help="List also the alarms that were closed today.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List the alarms that are not closed, those with the newest report first."""
    alarms = [each for each in ask(server, "GET", "/alarms") if all_ or each["state"] != "closed"]
    if json:
        print_json(alarms)
        return
    print_table(
        ("ID", "SEVERITY", "KIND", "FIRST", "LATEST", "COUNT", "CALL", "HANDLING", "DETAIL"),
        (
            (
                alarm["id"],
                alarm["severity"],
                alarm["kind"],
                date_and_time(alarm["first"]),
                date_and_time(alarm["latest"]),
                str(alarm["count"]),
                alarm["call_id"] or "-",
                _handling(alarm),
                alarm["detail"],
            )
            for alarm in alarms
        ),
        empty="No alarm is open.",
    )


def _handling(alarm: dict[str, Any]) -> str:
    """Return the state of an alarm with the user who is responsible for it."""
    if alarm["state"] == "closed":
        return f"closed by {alarm['closed_by']}" if alarm["closed_by"] else "ended by itself"
    return f"taken by {alarm['taken_by']}" if alarm["taken_by"] else "open"
