"""`galwad backup make`: copy the data of this server that cannot be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from galwad.cli.backup.errors import backup_errors
from galwad.cli.support.administration import on_the_server
from galwad.cli.support.console import print_json
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, Json, load_settings

app = new_command()


@app.command(epilog="Example: galwad backup make /srv/backup/galwad-2026-11-25")
def make(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Back up database, headers, manifests, certificates, signed recipient set and node key.

    The backup is signed with a key of root, which is beside the settings file and not in the
    backup. The command prints the public half of this key. Keep it away from the backups: to
    restore this server on another machine, you need it.

    The service continues to run. Payloads are not in the backup: copy them with rsync, as the
    operations guide says. The backup contains callers' numbers and the node's signing key, so
    encrypt the folder. Keep the backup for weeks, not for years: with a header from the backup, a
    recording can be opened even after its disposal.
    """
    # These take a second to load, and the help of the command must not wait.
    from galwad.desk.maintenance import backup as node_backup  # noqa: PLC0415
    from galwad.desk.maintenance.backup_proof import backup_key_file  # noqa: PLC0415
    from recording.keys.keyring import load_or_create_backup_key, public_text  # noqa: PLC0415

    settings = load_settings(config)
    with (
        on_the_server(settings),
        backup_errors(folder, "the backup is not complete: remove the folder"),
    ):
        made = node_backup.make(settings, config, folder)
        key = public_text(load_or_create_backup_key(backup_key_file(config)).public_key())
    if json:
        print_json({"folder": str(folder), **msgspec.to_builtins(made), "backup_key": key})
        return
    print(f"{folder}: {made.recordings} recordings, {made.headers} headers, made {made.made}")
    print(f"audit: entry {made.audit.seq}, {made.audit.hash}")
    print(f"backup key: {key}")
