"""`galwad calls`: list calls in progress, show figures, and check that calls are fully explained.

Each second of an answered call must be explained: it is recorded, or there is a reason why it is
not recorded.
"""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class CallsGroup(LazyGroup):
    """The commands of `galwad calls`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List the calls in progress.",
        "coverage": "Check that each second of each call is explained.",
        "figures": "Show the figures of the calls that ended.",
    }


app = new_group(CallsGroup)


@app.callback()
def calls() -> None:
    """List calls in progress; show figures; check that each second of the calls is explained."""
