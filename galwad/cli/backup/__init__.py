"""`galwad backup`: copy the server's data that cannot be made again, and restore this data."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class BackupGroup(LazyGroup):
    """The commands of `galwad backup`."""

    package = __name__
    summaries: ClassVar = {
        "make": "Back up this server.",
        "restore": "Restore a server that lost its database.",
    }


app = new_group(BackupGroup)


@app.callback()
def backup() -> None:
    """Back up this server, or restore it from a backup. Run the commands on the server, as root."""
