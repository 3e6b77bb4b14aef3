"""`galwad backup`: copy the data of a server that cannot be made again, and restore it."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class BackupGroup(LazyGroup):
    """The commands of `galwad backup`."""

    package = __name__
    names = ("make", "restore")


app = new_group(BackupGroup)


@app.callback()
def backup() -> None:
    """Back up this server, and restore it. Run on the server, as root."""
