"""Checks that all three processes are running and answer, or that none of them is running."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.process_state import State, states

if TYPE_CHECKING:
    from galwad.settings import Settings

CONSEQUENCES = {
    "switch": "no call is answered",
    "desk": "the page and the API are down",
    "finaliser": "no recording is sealed",
}
"""The effect of each process that is down, in the words of the reports."""


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check the processes. If none is running, Galwad was not started yet: that is a warning."""
    found = states(settings)
    if all(each.state is State.STOPPED for each in found):
        yield warning("processes", "none is running", "systemctl start galwad.target")
        return
    for each in found:
        if each.state is State.RUNNING:
            yield fine("processes", f"the {each.name} is running")
        else:
            verb = "start" if each.state is State.STOPPED else "restart"
            yield fault(
                "processes",
                f"the {each.name} is not running: {CONSEQUENCES[each.name]}"
                if each.state is State.STOPPED
                else f"the {each.name} does not answer: {CONSEQUENCES[each.name]}",
                f"journalctl -u galwad-{each.name}; systemctl {verb} galwad-{each.name}",
            )
