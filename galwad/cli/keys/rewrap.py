"""`galwad keys rewrap`: make new headers of recordings, for the recipients in the server's set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.keys import rewrapping
from galwad.cli.keys.key_files import Folder, key_errors, key_file
from galwad.cli.support.client import open_client
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Reference, Server, required
from galwad.cli.support.public_keys import public_key, trusted_keys
from galwad.cli.support.sealed import read_identity
from recording.keys.keyring import OfficerKeys, RecipientSet

app = new_command()


@app.command(epilog="Example: galwad keys rewrap ~/galwad-keys --reference KEYS-2026")
def rewrap(
    folder: Folder,
    *,
    reference: Reference,
    identity: Annotated[
        list[Path] | None, typer.Option(help="One more file with an identity that opens headers.")
    ] = None,
    set_: Annotated[
        Path | None,
        typer.Option("--set", help="Stop unless the server has exactly this signed set."),
    ] = None,
    node_key: Annotated[
        str,
        typer.Option(
            help="The node's public key, or a file with it; by default the keys in FOLDER's "
            "trust file. Without either, any key is accepted."
        ),
    ] = "",
    former_key: Annotated[
        list[str] | None,
        typer.Option(help="The public signing key of an earlier officer who rewrapped headers."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the recordings to rewrap.")
    ] = False,
    server: Server = "",
    json: Json = False,
) -> None:
    """Give every recording a new header, for the recipients in the server's signed set.

    Headers are opened on this machine, with the identity in FOLDER. Payloads are not changed.
    Before a new header replaces the old header, the command reads the new header back from the
    server and checks that it opens the same payload. If the command is interrupted, run it again:
    it continues where it stopped.

    A rewrap does not protect old copies of headers: a person who could open a recording before the
    rewrap can still open it with an old copy of its header.
    """
    reference = required("--reference", reference, "KEYS-2026")
    with key_errors():
        own = read_identity(key_file(folder))
        officer = OfficerKeys.of(own)
        recipients = RecipientSet.load(set_, officer.public_key) if set_ else None
    options = rewrapping.RewrapOptions(
        officer=officer,
        identities=[
            key for file in (own, *map(read_identity, identity or ())) for key in file.identities
        ],
        reference=reference,
        recipients=recipients,
        node_keys=[public_key(node_key, "--node-key")]
        if node_key
        else trusted_keys(None, key_file(folder), [officer.public_key]),
        former=[public_key(text, "--former-key") for text in former_key or ()],
        only_count=dry_run,
    )
    with open_client(server) as client:
        result = rewrapping.run(client, options, quiet=json)
    if json:
        print_json(result.as_json())
    else:
        for line in rewrapping.lines(result, only_count=dry_run):
            print(line)
    if result.failed:
        raise CliError(
            f"{len(result.failed)} of {result.waiting} were not rewrapped",
            "their headers are unchanged; another identity, with --identity, may open them",
        )
