"""`galwad alarms`: list, take or close alarms."""

from __future__ import annotations

from galwad.cli.support.lazy import LazyGroup, new_group


class AlarmsGroup(LazyGroup):
    """The commands of `galwad alarms`."""

    package = __name__
    names = ("list", "take", "close")


app = new_group(AlarmsGroup)


@app.callback()
def alarms() -> None:
    """List alarms and who handles them; take an alarm, or close it."""
