"""`galwad texts`: list and change the lists of texts in both languages."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class TextsGroup(LazyGroup):
    """The commands of `galwad texts`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List the texts, with where each list is from.",
        "set": "Set a list from a JSON file.",
        "reset": "Use the list of the settings again.",
    }


app = new_group(TextsGroup)


@app.callback()
def texts() -> None:
    """List and change purposes, reasons, and the names of lines, in English and in Welsh."""
