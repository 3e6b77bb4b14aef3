"""`galwad calls`: list the calls in progress, and check every second of the answered calls.

Each second must be recorded, or there must be a reason why it is not recorded.
"""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class CallsGroup(LazyGroup):
    """The commands of `galwad calls`."""

    package = __name__
    names = ("list", "coverage")


app = new_group(CallsGroup)


@app.callback()
def calls() -> None:
    """List calls in progress, and check that every second of the answered calls is explained."""
