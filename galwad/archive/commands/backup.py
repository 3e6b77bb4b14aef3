"""`galwad backup`: back up the server's data, except the payloads, and restore this data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from galwad.cli.support.administration import on_the_server
from galwad.cli.support.console import CliError, one_line, print_json
from galwad.cli.support.identities import public_key
from galwad.cli.support.lazy import new_command
from galwad.cli.support.options import DEFAULT_PATH, Config, EarlierNodeKeys, Json, load_settings
from recording.errors import KeyFileError

if TYPE_CHECKING:
    from galwad.archive.backup import Restored
    from galwad.archive.backup_proof import RestoreTrust


app = new_command()


@app.command(epilog="Example: galwad backup make /srv/backup/galwad-2026-11-25")
def make(
    folder: Annotated[Path, typer.Argument(help="A new folder for the backup.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Back up database, directory, headers, manifests, certificates, recipient set and node key.

    The backup is signed with a key of root, which is beside the settings file and not in the
    backup. The command prints the public half of this key. Keep it away from the backups: to
    restore this server on another machine, you need it.

    The service continues to run. Payloads are not in the backup: copy them with rsync, as the
    operations guide says. The backup contains callers' numbers and the node's signing key, so
    encrypt the folder. Keep the backup for weeks, not for years: with a header from the backup, a
    recording can be opened even after its disposal.
    """
    # These take a second to load, and the help of the command must not wait.
    from galwad.archive import backup as node_backup  # noqa: PLC0415
    from galwad.archive.backup_proof import backup_key_file  # noqa: PLC0415
    from recording.keys.keyring import load_or_create_signing_key, public_text  # noqa: PLC0415

    settings = load_settings(config)
    with (
        on_the_server(settings),
        _backup_errors(folder, "the backup is not complete: remove the folder"),
    ):
        made = node_backup.make(settings, config, folder)
        key = public_text(load_or_create_signing_key(backup_key_file(config)).public_key())
    if json:
        print_json({"folder": str(folder), **msgspec.to_builtins(made), "backup_key": key})
        return
    print(f"{folder}: {made.recordings} recordings, {made.headers} headers, made {made.made}")
    print(f"audit: entry {made.audit.seq}, {made.audit.hash}")
    print(f"backup key: {key}")


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
    node_key: EarlierNodeKeys = None,
    backup_key: Annotated[
        list[str] | None,
        typer.Option(
            help="The public key that `backup make` printed, or a file with it. The key of this "
            "machine, which is beside the settings file, is trusted too."
        ),
    ] = None,
    unsigned: Annotated[
        bool,
        typer.Option(
            "--unsigned", help="Accept a backup of an earlier release, which is not signed."
        ),
    ] = False,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Restore a server that lost its database, and repeat the disposals made since the backup.

    The command verifies the signature of the backup and the digest of each of its files before it
    writes anything. A backup of an earlier release (--unsigned) has only the digests of database
    and directory. The command prints the administrators that the backup has: compare them with
    those that you know.

    Before you run this command, stop all processes of Galwad. Copy the payloads back to the
    archive, from your copy of the archive. Your copy also has the certificates of the disposals
    that were made after the backup: copy these back too. If a recording has a certificate of
    disposal, its header is not restored. If the header is in the archive, it is destroyed. All
    other files that are already in the archive stay as they are. If the command is interrupted, run
    it again.
    """
    # This takes a second to load, and the help of the command must not wait.
    from galwad.archive import backup as node_backup  # noqa: PLC0415

    settings = load_settings(config)
    missing = [place for place in certificates or () if not place.exists()]
    if missing:
        raise CliError(f"{missing[0]} does not exist", "give a file or a folder", status=2)
    trust = _trust(config, backup_key or (), node_key or (), accepts_unsigned=unsigned)
    with (
        on_the_server(settings),
        _backup_errors(
            settings.node.state, "the restore is not complete: correct this, then run it again"
        ),
    ):
        done = node_backup.restore(settings, folder, certificates or (), trust)
    if json:
        facts = msgspec.to_builtins(done.description)
        audit = msgspec.to_builtins(done.audit)
        output = {"backup": facts, **_counts(done), "problems": list(done.problems), "audit": audit}
        print_json(output)
    else:
        print(f"restored the backup of {done.description.made}: {done.headers} headers put back")
        print(f"disposed of: {done.disposals}, of which destroyed again: {len(done.destroyed)}")
        print(f"audit: entry {done.audit.seq}, {done.audit.hash}")
        print(f"administrators: {one_line(', '.join(done.administrators)) or 'none'}")
        print(f"to verify the audit: galwad audit verify --restored {done.audit.hash}")
        if done.missing:
            print(f"MISSING: {done.missing} of the {done.description.headers} headers")
        for problem in done.problems:
            print(f"NOT ACCEPTED: {one_line(problem)}")
    if done.missing:
        raise CliError(
            f"{done.missing} headers are missing from the backup: no one can open these recordings",
            "copy the backup again, and restore it again before you start Galwad",
        )
    if done.problems:
        raise CliError(
            "some certificates of disposal were not accepted, so their headers may still exist",
            "before you start Galwad, restore again, with the node's earlier keys: --node-key",
        )


def _trust(
    config: Path, backup_keys: Sequence[str], node_keys: Sequence[str], *, accepts_unsigned: bool
) -> RestoreTrust:
    from galwad.archive.backup_proof import RestoreTrust, backup_key_file  # noqa: PLC0415
    from recording.keys.keyring import load_signing_key, public_text  # noqa: PLC0415

    given = [public_key(text, "--backup-key") for text in backup_keys]
    try:
        own = load_signing_key(backup_key_file(config))
    except KeyFileError as error:
        raise CliError(str(error), error.hint) from None
    if own is not None:
        given.append(public_text(own.public_key()))
    nodes = frozenset(public_key(text, "--node-key") for text in node_keys)
    return RestoreTrust(frozenset(given), nodes, accepts_unsigned)


def _counts(done: Restored) -> dict[str, object]:
    return {
        "headers": done.headers,
        "disposals": done.disposals,
        "destroyed": list(done.destroyed),
        "missing": done.missing,
        "administrators": list(done.administrators),
    }


@contextmanager
def _backup_errors(where: Path, hint: str) -> Iterator[None]:
    """Turn an error of a backup or a restore into a `CliError`.

    `where` is named if an `OSError` names no file. `hint` says what the user can do about it.
    """
    from galwad.archive.backup_proof import BackupError  # noqa: PLC0415 - it loads much

    try:
        yield
    except BackupError as error:
        raise CliError(str(error), error.hint) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CliError(f"{error.filename or where}: {reason}", hint) from None
