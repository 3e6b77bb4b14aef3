"""`galwad backup`: copy what cannot be made again, and restore it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from galwad.cli.console import CliError, one_line, print_json
from galwad.cli.options import DEFAULT_PATH, Config, Json, load_settings
from galwad.cli.proof import public_key
from galwad.cli.server import on_the_server
from galwad.desk import backup as node_backup

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def backup() -> None:
    """Back up this server, and restore it. Run on the server, as root."""


@contextmanager
def _told(where: Path, again: str) -> Iterator[None]:
    """Turn failures into `CliError`s.

    `where` is the place named if an error has no file name; `again` is the hint on what to do next.
    """
    try:
        yield
    except node_backup.BackupError as error:
        raise CliError(str(error), error.hint) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CliError(f"{error.filename or where}: {reason}", f"it is not done; {again}") from None


@app.command(epilog="Example: galwad backup make /srv/backup/galwad-2026-11-25")
def make(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    *,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Back up database, headers, manifests, certificates, the signed set and the node's key.

    The service continues to run. Payloads are not in the backup: copy them with rsync, as the
    operations guide says. Callers' numbers and the node's signing key are in it: encrypt the
    folder. Keep it for weeks, not for years: it has the headers of recordings that are disposed of
    later.
    """
    settings = load_settings(config)
    with on_the_server(settings), _told(folder, "what is in it is no backup: remove it"):
        made = node_backup.make(settings, config, folder)
    if json:
        print_json({"folder": str(folder), **msgspec.to_builtins(made)})
        return
    print(f"{folder}: {made.recordings} recordings, {made.headers} headers, made {made.made}")
    print(f"audit: entry {made.audit.seq}, {made.audit.hash}")


@app.command(
    epilog="Example: galwad backup restore /srv/backup/galwad-2026-11-25 "
    "--certificates ~/certificates"
)
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder that `backup make` made.")],
    *,
    certificates: Annotated[
        list[Path] | None,
        typer.Option(help="More certificates of disposals: a file, or a folder with some."),
    ] = None,
    node_key: Annotated[
        list[str] | None,
        typer.Option(help="A public key that the node had before, or a file with it."),
    ] = None,
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    """Restore a server that lost its database, and destroy again what was disposed of since.

    First copy the payloads back: the certificates of later disposals come with them. No process of
    Galwad may be running. A header that a certificate names is not restored, and is destroyed where
    it exists. Files that are in the archive already stay as they are. If the command is
    interrupted, run it again.
    """
    settings = load_settings(config)
    missing = [place for place in certificates or () if not place.exists()]
    if missing:
        raise CliError(f"{missing[0]} is not there", "name a file or a folder", status=2)
    keys = [public_key(text, "--node-key") for text in node_key or ()]
    with on_the_server(settings), _told(settings.node.state, "run it again, once that is mended"):
        done = node_backup.restore(settings, folder, certificates or (), keys)
    if json:
        facts = msgspec.to_builtins(done.description)
        audit = msgspec.to_builtins(done.audit)
        told = {"backup": facts, **_counts(done), "problems": list(done.problems), "audit": audit}
        print_json(told)
    else:
        print(f"restored the backup of {done.description.made}: {done.headers} headers put back")
        print(f"disposed of: {done.disposals}, of which destroyed again: {len(done.destroyed)}")
        print(f"audit: entry {done.audit.seq}, {done.audit.hash}")
        print(f"whoever verifies it: galwad audit verify --restored {done.audit.hash}")
        if done.missing:
            print(f"MISSING: {done.missing} of the {done.description.headers} headers")
        for problem in done.problems:
            print(f"NOT BELIEVED: {one_line(problem)}")
    if done.missing:
        raise CliError(
            f"the backup's folder has lost {done.missing} headers: those recordings do not open",
            "copy it anew from where it was made, and restore once more before the start",
        )
    if done.problems:
        raise CliError(
            "not every certificate was believed", "its header may lie here: see --node-key"
        )


def _counts(done: node_backup.Restored) -> dict[str, object]:
    return {
        "headers": done.headers,
        "disposals": done.disposals,
        "destroyed": list(done.destroyed),
        "missing": done.missing,
    }
