"""`galwad directory`: manage the people in the embedded directory, on the server."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class DirectoryGroup(LazyGroup):
    """The commands of `galwad directory`."""

    package = __name__
    summaries: ClassVar = {
        "import": "Import people from a CSV file.",
        "import-folder": "Import the CSV files in a folder.",
        "test": "Look a number up in each directory.",
    }


app = new_group(DirectoryGroup)


@app.callback()
def directory() -> None:
    """Manage the directory of the people whom Galwad can identify when they call."""
