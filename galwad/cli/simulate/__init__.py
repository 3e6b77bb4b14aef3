"""`galwad simulate`: test an installation with simulated calls.

To the server, a simulated call looks like a real call.
"""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class SimulateGroup(LazyGroup):
    """The commands of `galwad simulate`."""

    package = __name__
    names = ("call", "payments", "transfers")


app = new_group(SimulateGroup)


@app.callback()
def simulated() -> None:
    """Test an installation with simulated calls."""
