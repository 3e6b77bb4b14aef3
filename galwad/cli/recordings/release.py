"""`galwad recordings release`: end the retention of a recording."""

from __future__ import annotations

from galwad.cli.recordings.retention import Reason, change_retention, print_state
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import CallId, Json, Server

app = new_command()


@app.command(
    epilog='Example: galwad recordings release 20261125-093000-abcdefgh --reason "claim settled"'
)
def release(call_id: CallId, *, reason: Reason, server: Server = "", json: Json = False) -> None:
    """End the retention of a recording, so that it is no longer kept from disposal."""
    change_retention("DELETE", call_id, reason, server)
    print_state(call_id, "released", as_json=json)
