"""`galwad keys sign`: sign the set of recipients who can open recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.keys.key_files import Folder, key_errors, load_officer
from galwad.cli.support.atomic import atomic_file
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json
from recording.age.file import Recipient
from recording.keys.keyring import RecipientSet

app = new_command()


@app.command(
    epilog="Example: galwad keys sign ~/galwad-keys --recipient deputy=age1… -o recipients.json"
)
def sign(
    folder: Folder,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The file for the signed set; put it on the server."),
    ],
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="One more recipient who can open recordings: NAME=age1…."),
    ] = None,
    name: Annotated[str, typer.Option(help="The name beside your own recipient.")] = "officer",
    recipients_of: Annotated[
        Path | None,
        typer.Option(
            help="An earlier set whose recipients are signed again; yours is in it if it was there."
        ),
    ] = None,
    without_me: Annotated[
        bool, typer.Option("--without-me", help="Leave out the recipient of this folder.")
    ] = False,
    replaces: Annotated[
        Path | None, typer.Option(help="The set that this one replaces: its number goes up by one.")
    ] = None,
    serial: Annotated[
        int | None,
        typer.Option(
            min=1, max=2**31, help="The set's number, if the set that it replaces cannot be read."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Sign the set of recipients who can open recordings; the server refuses an unsigned set.

    Your own recipient is in the set, except with --without-me. Put the signed file on the server,
    at the path in the setting `recipients` (by default keys/recipients.json in the state folder).

    The server refuses a set with a lower number than one that was in force. So to go back to the
    recipients of an earlier set, sign them again: --recipients-of EARLIER --replaces NEWEST.
    """
    with key_errors():
        officer = load_officer(folder)
        mine = [] if without_me or recipients_of else [(name, officer.identity.recipient)]
        earlier = RecipientSet.load(recipients_of, officer.public_key) if recipients_of else None
        named = [*mine, *_of_set(earlier)]
        named += [_named(text) for text in recipient or ()]
        if replaces and serial:
            raise CliError(
                "--replaces and --serial cannot be combined", "give only one of them", status=2
            )
        if replaces:
            serial = RecipientSet.load(replaces, officer.public_key).serial + 1
        made = RecipientSet.of(named, serial or 1)
        made.check()
        content = made.sign(officer.signing)
    with atomic_file(output, replace=force, mode=0o644) as file:
        file.write(content)
    _report(made, output, named, as_json=json)


def _of_set(found: RecipientSet | None) -> list[tuple[str, Recipient]]:
    if found is None:
        return []
    return [(each.name, key) for each, key in zip(found.named, found.recipients, strict=True)]


def _named(text: str) -> tuple[str, Recipient]:
    name, equals, key = text.partition("=")
    if not (name and equals):
        raise CliError("cannot read a --recipient", "write it as NAME=age1…", status=2)
    return name, Recipient.parse(key)


def _report(
    made: RecipientSet, output: Path, named: Sequence[tuple[str, Recipient]], *, as_json: bool
) -> None:
    if as_json:
        entries = [{"name": who, "recipient": str(key)} for who, key in named]
        print_json({"file": str(output), "serial": made.serial, "recipients": entries})
        return
    print(f"{output}: set number {made.serial}, signed {made.signed_at}")
    for who, key in named:
        print(f"  {who:<16} {key}")
