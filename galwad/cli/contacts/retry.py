"""`galwad contacts retry`: deliver the contact notes of calls again."""

from __future__ import annotations

from galwad.cli.contacts.decision import CallIds, decide
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad contacts retry 20261125-093000-abcdefgh")
def retry(call_ids: CallIds, *, server: Server = "", json: Json = False) -> None:
    """Deliver the contact notes of these calls as soon as possible, even if they were refused."""
    decide(call_ids, "retry", server, as_json=json)
