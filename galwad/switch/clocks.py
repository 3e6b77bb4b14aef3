"""The present time of the switch, read from two clocks: the wall clock and the monotonic clock.

Both clocks are read once for each event that enters the switch: a message, a timer, a command or
the end of a disk operation. The result is passed as `now` to all functions that handle the event.
"""

from __future__ import annotations

import time

from recording.spool import Clock


def read_clocks() -> Clock:
    """Return the present time on the wall clock and on the monotonic clock, both in seconds."""
    return Clock(time.time(), time.monotonic())
