"""`galwad directory`: manage the people in the embedded directory, on the server."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class DirectoryGroup(LazyGroup):
    """The commands of `galwad directory`."""

    package = __name__
    names = ("import", "import-folder", "test")


app = new_group(DirectoryGroup)


@app.callback()
def directory() -> None:
    """Manage the directory of the people whom Galwad can identify when they call."""
