"""`galwad recordings verify`: prove that recordings are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.recordings import verification
from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server
from recording.archive.rewrap import UNPROVEN

app = new_command()


@app.command(epilog="Example: galwad recordings verify /srv/copy/2026/11/25")
def verify(
    what: Annotated[
        str,
        typer.Argument(
            help="A folder or a .manifest file (offline), or an id (by the server). "
            "Absent: all that the server has."
        ),
    ] = "",
    *,
    since: Annotated[
        str, typer.Option(help="Calls from then on alone: 2026-11-24, yesterday, 2026-11.")
    ] = "",
    node_key: Annotated[
        str, typer.Option(help="The node's public key, or a file with it; else any is believed.")
    ] = "",
    officer_key: Annotated[
        list[str] | None,
        typer.Option(help="The officer's public signing key, or a file: who may have rewrapped."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="Your identity: also opens each recording to its end.")
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Prove recordings whole: signature, digests, lengths. Names what is wrong.

    This is offline for a folder (with everything below it) or one .manifest file. For an id, the
    server's manifest is verified and compared with the index: for the rest, copy the archive. With
    --identity every byte is decrypted and decoded. That finds changes that even a thief of the
    node's key has made.
    """
    verdicts = verification.verify(
        what,
        since=since,
        node_key=node_key or None,
        officer_keys=officer_key or (),
        identity=identity,
        server=server,
    )
    if json:
        print_json([verification.as_json(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            print(verification.sentence(verdict))
    bad = sum(1 for verdict in verdicts if verdict.lost)
    if not verdicts:
        raise CliError(
            "there is no recording to verify", "name a folder that holds .manifest files"
        )
    if bad:
        unknown = all(UNPROVEN in "".join(each.problems) for each in verdicts if each.lost)
        hint = "give the officer's key" if unknown else "restore them from the other custodian"
        raise CliError(f"{bad} of {len(verdicts)} not whole", hint)
