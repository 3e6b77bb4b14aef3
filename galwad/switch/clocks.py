"""The clock reading of the switch, made once for each event.

The clocks are read where an event enters the switch: a message, a timer, a command or the disk's
answer. Everything that the event causes uses this one reading, which is passed as `now`.
"""

from __future__ import annotations

import time

from recording.spool import Clock


def read_clocks() -> Clock:
    """Return the present time on the wall clock and on the monotonic clock, both in seconds."""
    return Clock(time.time(), time.monotonic())
