"""The decision about an alarm: to handle it, or to close it."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, print_json

AlarmId: TypeAlias = Annotated[
    str, typer.Argument(metavar="ID", help='The alarm\'s id, from "galwad alarms list".')
]
_ID = re.compile(r"[0-9a-f]{4,16}")


def decide(alarm_id: str, action: str, server: str, body: dict[str, str], *, as_json: bool) -> None:
    """Send a decision about an alarm, and print the alarm.

    Raises:
        CliError: The text is not the id of an alarm, or the server refuses the request.
    """
    if not _ID.fullmatch(alarm_id):
        raise CliError(
            f'"{alarm_id}" is not the id of an alarm', "see: galwad alarms list", status=2
        )
    alarm = ask(server, "POST", f"/alarms/{alarm_id}/{action}", body)
    if as_json:
        print_json(alarm)
    else:
        print(alarm["id"], alarm["kind"], alarm["state"])
