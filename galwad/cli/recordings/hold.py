"""`galwad recordings hold`: retain a recording."""

from __future__ import annotations

from galwad.cli.recordings.retention import Reason, change_retention, print_state
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Server

app = new_command()


@app.command(epilog='Example: galwad recordings hold 20261125-093000-abcdefgh --reason "claim 17"')
def hold(call_id: CallId, *, reason: Reason, server: Server = "", json: Json = False) -> None:
    """Retain a recording: it cannot be disposed of until `galwad recordings release` ends this."""
    change_retention("PUT", call_id, reason, server)
    print_state(call_id, "held", as_json=json)
