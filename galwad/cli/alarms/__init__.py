"""`galwad alarms`: list, take or close alarms."""

from __future__ import annotations

from typing import ClassVar

from galwad.cli.support.lazy import LazyGroup, new_group


class AlarmsGroup(LazyGroup):
    """The commands of `galwad alarms`."""

    package = __name__
    summaries: ClassVar = {
        "list": "List the alarms that are not closed.",
        "take": "Take an alarm: all supervisors see it.",
        "close": "Close an alarm.",
    }


app = new_group(AlarmsGroup)


@app.callback()
def alarms() -> None:
    """List alarms and who handles them; take an alarm, or close it."""
