"""`galwad recordings verify`: verify that recordings are complete and unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from galwad.cli.support.console import CliError, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import Json, Server

app = new_command()


@app.command(epilog="Example: galwad recordings verify /srv/copy/2026/11/25")
def verify(
    what: Annotated[
        str,
        typer.Argument(
            help="A folder or a .manifest file (offline), or a call id (on the "
            "server). By default, all recordings on the server."
        ),
    ] = "",
    *,
    since: Annotated[
        str, typer.Option(help="Only calls from then on: 2026-11-24, yesterday, 2026-11.")
    ] = "",
    node_key: Annotated[
        str,
        typer.Option(
            help="The node's public key, or a file with it; without it, any key is accepted."
        ),
    ] = "",
    officer_key: Annotated[
        list[str] | None,
        typer.Option(
            help="The public signing key of an officer who rewrapped headers, or a file with it."
        ),
    ] = None,
    identity: Annotated[
        Path | None,
        typer.Option(help="Your identity file: also decrypt each recording to its end."),
    ] = None,
    server: Server = "",
    json: Json = False,
) -> None:
    """Verify recordings: signature, digests, lengths. Each fault that is found is printed.

    A folder (with its subfolders) or one .manifest file is verified offline, including the
    payloads. For a call id, only the manifest is fetched from the server, verified and compared
    with the index, the ledger of calls and the audit: a row that was changed, deleted or exchanged
    is named. To verify the payload too, copy the archive and verify the copy. With
    --identity, each recording is also decrypted and decoded to its final byte. This finds even
    changes that a thief signed with the node's key.
    """
    # These load numpy, and the help of the command must not wait for it.
    from galwad.cli.recordings import verification  # noqa: PLC0415
    from recording.archive.rewrap import UNPROVEN  # noqa: PLC0415

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
    bad = sum(1 for verdict in verdicts if verdict.has_unexplained_damage)
    if not verdicts:
        raise CliError(
            "there is no recording to verify", "give a folder that holds .manifest files"
        )
    if bad:
        unknown = all(
            UNPROVEN in "".join(each.problems) for each in verdicts if each.has_unexplained_damage
        )
        hint = (
            "give the officer's key with --officer-key"
            if unknown
            else "restore them from another copy; docs/operations/audit.md says what to do about "
            "a row that was changed"
        )
        raise CliError(f"{bad} of {len(verdicts)} not whole", hint)
