"""`galwad contacts discard`: never deliver the contact notes of calls."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.contacts.decision import CallIds, decide
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server, required

app = new_command()


@app.command(
    epilog='Example: galwad contacts discard 20261125-093000-abcdefgh --reason "test call"'
)
def discard(
    call_ids: CallIds,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit.")],
    server: Server = "",
    json: Json = False,
) -> None:
    """Never deliver the undelivered contact notes of these calls. Galwad itself keeps the notes."""
    body = {"reason": required("--reason", reason, "test call")}
    decide(call_ids, "discard", server, body, as_json=json)
