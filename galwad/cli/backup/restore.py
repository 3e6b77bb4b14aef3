"""`galwad backup restore`: restore a server that lost its database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from galwad.cli.backup.errors import backup_errors
from galwad.cli.support.administration import on_the_server
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.support.public_keys import public_key
from galwad.desk.maintenance import backup as node_backup

app = new_command()


@app.command(
    epilog="Example: galwad backup restore /srv/backup/galwad-2026-11-25 "
    "--certificates ~/certificates"
)
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `backup make` made.")],
    *,
    certificates: Annotated[
        list[Path] | None,
        typer.Option(help="More certificates of disposal: a file, or a folder of them."),
    ] = None,
    node_key: Annotated[
        list[str] | None,
        typer.Option(help="An earlier public key of the node, or a file with it."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Restore a server that lost its database, and repeat the disposals made since the backup.

    Before you run this command, stop all processes of Galwad. Copy the payloads back to the
    archive, from your copy of the archive. Your copy also has the certificates of the disposals
    that were made after the backup: copy these back too. If a recording has a certificate of
    disposal, its header is not restored; if the header is in the archive, it is destroyed. All
    other files that are already in the archive stay as they are. If the command is interrupted, run
    it again.
    """
    settings = load_settings(config)
    missing = [place for place in certificates or () if not place.exists()]
    if missing:
        raise CliError(f"{missing[0]} does not exist", "give a file or a folder", status=2)
    keys = [public_key(text, "--node-key") for text in node_key or ()]
    with (
        on_the_server(settings),
        backup_errors(
            settings.node.state, "the restore is not complete: correct that, then run it again"
        ),
    ):
        done = node_backup.restore(settings, folder, certificates or (), keys)
    if json:
        facts = msgspec.to_builtins(done.description)
        audit = msgspec.to_builtins(done.audit)
        output = {"backup": facts, **_counts(done), "problems": list(done.problems), "audit": audit}
        print_json(output)
    else:
        print(f"restored the backup of {done.description.made}: {done.headers} headers put back")
        print(f"disposed of: {done.disposals}, of which destroyed again: {len(done.destroyed)}")
        print(f"audit: entry {done.audit.seq}, {done.audit.hash}")
        print(f"to verify the audit: galwad audit verify --restored {done.audit.hash}")
        if done.missing:
            print(f"MISSING: {done.missing} of the {done.description.headers} headers")
        for problem in done.problems:
            print(f"NOT ACCEPTED: {one_line(problem)}")
    if done.missing:
        raise CliError(
            f"{done.missing} headers are missing from the backup: their recordings do not open",
            "copy the backup again, and restore it again before you start Galwad",
        )
    if done.problems:
        raise CliError(
            "some certificates were not accepted", "their headers may exist here: see --node-key"
        )


def _counts(done: node_backup.Restored) -> dict[str, object]:
    return {
        "headers": done.headers,
        "disposals": done.disposals,
        "destroyed": list(done.destroyed),
        "missing": done.missing,
    }
