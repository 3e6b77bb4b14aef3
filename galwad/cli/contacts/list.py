"""`galwad contacts list`: list the contact notes that are not delivered."""

from __future__ import annotations

from typing import Annotated

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command("list", epilog="Example: galwad contacts list --undelivered")
def list_(
    *,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="List the notes that are not delivered.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """List the contact notes that are not delivered to the CRM, without their texts.

    A note that is "waiting" is tried again by itself. The CRM does not accept a note that is
    "refused": correct the cause, then use `galwad contacts retry` or `galwad contacts discard`.
    """
    if not undelivered:
        raise CliError("nothing to list", "give --undelivered", status=2)
    notes = ask(server, "GET", "/contacts/undelivered")
    if json:
        print_json(notes)
        return
    print_table(
        ("CALL", "VERSION", "STATE", "SAVED", "LINE", "ADVISOR", "ATTEMPTS", "REASON"),
        (
            (
                note["call_id"],
                str(note["version"]),
                note["state"],
                date_and_time(note["saved"]),
                note["line"],
                note["advisor"],
                str(note["attempts"]),
                note["reason"],
            )
            for note in notes
        ),
        empty="All contact notes are delivered.",
    )
