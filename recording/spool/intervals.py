"""The intervals at which spools are written and flushed. They limit what a power cut destroys.

A *tick* writes the waiting packets of a spool into a new frame, and writes the keys of older frames
into the spool file. A *flush* syncs all spools to the disk. A packet survives a power cut if both
its frame and the frame's key are on the disk. From its arrival until then, a packet waits:

- until a tick writes the frame: `tick_for(lookback)` at most
- until a tick writes the frame's key: the lookback and `_MARGIN_S`. This sum is a whole number of
  ticks, so a tick comes at the end of this wait
- until a flush has ended: at most `FLUSH_S` until the flush begins, and the duration of the flush

With a lookback of 5 s, `tick_for` returns 0.84 s. A packet then waits at most 0.84 + 5.04 + 1 s
and the duration of one flush. With any lookback, a packet waits at most lookback + 2 s, if a flush
takes at most `FLUSH_MAY_LAST_S`.
"""

import math
from typing import Final

TICK_S: Final = 0.9
"""The longest time in seconds from one tick to the next.

When the process crashes, the packets that arrived after the most recent tick are lost. These are
the packets of less than a second.
"""
FLUSH_S: Final = 1.0
"""The time in seconds from the start of one flush to the start of the next flush."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""A margin in seconds for ticks that come late.

One tick writes a frame. A later tick writes the frame's key, if the frame is then older than the
lookback. If the first tick is late and the second tick is on time, the frame may not be old enough
at the second tick. Because of this margin, it is old enough if the first tick is up to 0.04 s late.
"""


def tick_for(lookback_s: float) -> float:
    """Return the time in seconds between two ticks of a spool with this lookback (in seconds)."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))
