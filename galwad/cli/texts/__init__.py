"""`galwad texts`: list and change the lists of texts in both languages."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class TextsGroup(LazyGroup):
    """The commands of `galwad texts`."""

    package = __name__
    names = ("list", "set", "reset")


app = new_group(TextsGroup)


@app.callback()
def texts() -> None:
    """List and change purposes, reasons, and the names of lines, in English and in Welsh."""
