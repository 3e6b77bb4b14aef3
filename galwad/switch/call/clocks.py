"""The present time of the switch, read from two clocks: the wall clock and the monotonic clock.

Both clocks are read when an event enters the switch: a message, a timer, a command or the end of a
disk operation. The result is passed as `now` to the functions that handle the event.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from recording.spool import Clock


@dataclass(frozen=True, slots=True)
class Now(Clock):
    """The present time, and the arrival time of the event that is being handled.

    A message can be read long after it arrived, for example if the machine was suspended. Timers
    start at the present time. A message takes effect on a recording from its arrival.
    """

    arrived: float
    """The arrival of the event, in monotonic seconds; not later than `mono`."""

    @property
    def at_arrival(self) -> Clock:
        """The time of the arrival on both clocks."""
        return Clock(self.wall - (self.mono - self.arrived), self.arrived)


def read_clocks(arrived: float | None = None) -> Now:
    """Read both clocks, in seconds. `arrived` None means that the event arrives now."""
    mono = time.monotonic()
    return Now(time.time(), mono, mono if arrived is None else min(arrived, mono))
