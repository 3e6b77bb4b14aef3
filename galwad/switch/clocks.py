"""The switch's reading of the clocks, once for each event.

The clocks are read where an event enters the switch: with a message, a timer, a command or the
disk's answer. What the event causes is then all at that one instant, which is passed on as `now`.
"""

from __future__ import annotations

import time

from recording.spool import Clock


def read_clocks() -> Clock:
    """Return the present instant on the wall clock and on the monotonic clock, both in seconds."""
    return Clock(time.time(), time.monotonic())
