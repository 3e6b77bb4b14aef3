"""`galwad contacts`: list, retry or discard contact notes that are not delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer

from galwad.cli.support.client import ask
from galwad.cli.support.console import CliError, date_and_time, print_json, print_table
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server, checked_id, required

app = new_command()
CallIds: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="CALL_ID...", help="The ids of the calls.")
]


def _decide(
    call_ids: Sequence[str],
    action: str,
    server: str,
    body: dict[str, str] | None = None,
    *,
    as_json: bool,
) -> None:
    """Send a decision for each call, and print the calls for which the server has accepted it.

    Raises `CliError` if a text is not a call id, before anything is sent. Raises `CliError` if the
    server refuses a decision: no decision is sent for the calls after it.
    """
    decided: list[str] = []
    try:
        for call_id in [checked_id(each) for each in call_ids]:
            ask(server, "POST", f"/contacts/{call_id}/{action}", body)
            decided.append(call_id)
    finally:
        if as_json:
            print_json(decided)
        else:
            for call_id in decided:
                print(call_id)


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

    The server itself tries a "waiting" note again. The CRM does not accept a note that is
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


@app.command(epilog="Example: galwad contacts retry 20261125-093000-abcdefgh")
def retry(call_ids: CallIds, *, server: Server = "", json: Json = False) -> None:
    """Deliver the contact notes of these calls as soon as possible, even if they were refused."""
    _decide(call_ids, "retry", server, as_json=json)


@app.command(
    epilog='Example: galwad contacts discard 20261125-093000-abcdefgh --reason "test call"'
)
def discard(
    call_ids: CallIds,
    *,
    reason: Annotated[str, typer.Option(help="The reason, which the audit keeps.")],
    server: Server = "",
    json: Json = False,
) -> None:
    """Never deliver the undelivered contact notes of these calls. Galwad itself keeps the notes."""
    body = {"reason": required("--reason", reason, "test call")}
    _decide(call_ids, "discard", server, body, as_json=json)
