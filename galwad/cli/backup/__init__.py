"""`galwad backup`: copy the server's data that cannot be made again, and restore this data."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class BackupGroup(LazyGroup):
    """The commands of `galwad backup`."""

    package = __name__
    names = ("make", "restore")


app = new_group(BackupGroup)


@app.callback()
def backup() -> None:
    """Back up this server, or restore it from a backup. Run the commands on the server, as root."""
