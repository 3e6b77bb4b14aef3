"""`galwad simulate`: test an installation with calls that look real to the server."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class SimulateGroup(LazyGroup):
    """The commands of `galwad simulate`."""

    package = __name__
    summaries: ClassVar = {
        "call": "Place a call to a running Galwad, and judge the result.",
        "payments": "Try each trigger of a payment pause.",
        "transfers": "Try each kind of transfer that phones can make.",
    }


app = new_group(SimulateGroup)


@app.callback()
def simulated() -> None:
    """Test an installation with simulated calls."""
