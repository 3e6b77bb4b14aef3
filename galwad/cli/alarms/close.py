"""`galwad alarms close`: close an alarm."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.alarms.handling import AlarmId, decide
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog='Example: galwad alarms close 0f3c9a71d2e4 --remark "disk replaced"')
def close(
    alarm_id: AlarmId,
    *,
    remark: Annotated[str, typer.Option(help="A remark about it; it is kept in the audit.")] = "",
    server: Server = "",
    json: Json = False,
) -> None:
    """Close an alarm, even if another user has taken it."""
    decide(alarm_id, "close", server, {"remark": remark}, as_json=json)
