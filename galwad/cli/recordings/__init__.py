"""`galwad recordings`: find, show, fetch and verify recordings, through the server's API."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class RecordingsGroup(LazyGroup):
    """The commands of `galwad recordings`."""

    package = __name__
    names = (
        "list",
        "show",
        "fetch",
        "verify",
        "recover",
        "hold",
        "release",
        "purge",
        "reindex",
    )


app = new_group(RecordingsGroup)


@app.callback()
def recordings() -> None:
    """Find, show, fetch, verify, retain and dispose of recordings."""
