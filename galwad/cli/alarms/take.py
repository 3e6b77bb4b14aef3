"""`galwad alarms take`: handle an alarm."""

from __future__ import annotations

from galwad.cli.alarms.handling import AlarmId, decide
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad alarms take 0f3c9a71d2e4")
def take(alarm_id: AlarmId, *, server: Server = "", json: Json = False) -> None:
    """Take an alarm: all supervisors see that you handle it."""
    decide(alarm_id, "take", server, {}, as_json=json)
