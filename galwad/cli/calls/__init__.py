"""`galwad calls`: list calls in progress, show figures, and check that calls are fully explained.

Each second of an answered call must be explained: it is recorded, or there is a reason why it is
not recorded.
"""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class CallsGroup(LazyGroup):
    """The commands of `galwad calls`."""

    package = __name__
    names = ("list", "coverage", "figures")


app = new_group(CallsGroup)


@app.callback()
def calls() -> None:
    """List calls in progress; show figures; check that each second of the calls is explained."""
