"""`galwad calls`: calls in progress, and the account of every call's seconds."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class CallsGroup(LazyGroup):
    """The commands of `galwad calls`."""

    package = __name__
    names = ("list", "coverage")


app = new_group(CallsGroup)


@app.callback()
def calls() -> None:
    """Calls in progress, and every call's seconds."""
