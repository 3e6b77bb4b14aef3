"""`galwad alarms`: list, take or close alarms."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()
AlarmId: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help='The alarm\'s id, from "galwad alarms list".')
]
_ID = re.compile(r"[0-9a-f]{4,16}")


def _decide(
    alarm_id: str, action: str, server: str, body: dict[str, str], *, as_json: bool
) -> None:
    if not _ID.fullmatch(alarm_id):
        raise CliError(
            f'"{alarm_id}" is not the id of an alarm', "see: galwad alarms list", status=2
        )
    alarm = ask(server, "POST", f"/alarms/{alarm_id}/{action}", body)
    if as_json:
        print_json(alarm)
    else:
        print(alarm["id"], alarm["kind"], alarm["state"])


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
    if alarm["state"] == "closed":
        return f"closed by {alarm['closed_by']}" if alarm["closed_by"] else "ended by itself"
    return f"taken by {alarm['taken_by']}" if alarm["taken_by"] else "open"


@app.command(epilog="Example: galwad alarms take 0f3c9a71d2e4")
def take(alarm_id: AlarmId, *, server: Server = "", json: Json = False) -> None:
    """Take an alarm: all supervisors see that you handle it."""
    _decide(alarm_id, "take", server, {}, as_json=json)


@app.command(epilog='Example: galwad alarms close 0f3c9a71d2e4 --remark "disk replaced"')
def close(
    alarm_id: AlarmId,
    *,
    remark: Annotated[str, typer.Option(help="A remark, which the audit keeps.")] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Close an alarm, even if another user has taken it."""
    _decide(alarm_id, "close", server, {"remark": remark}, as_json=json)
