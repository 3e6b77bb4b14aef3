"""The intervals at which spools are written and flushed. They limit what a power cut destroys.

A *tick* writes the waiting packets of a spool into a new frame, and writes the keys of older frames
into the spool file. A *flush* syncs all spools to the disk. A packet survives a power cut if both
its frame and the frame's key are on the disk. From its arrival until then, a packet waits:

- until a tick writes the frame: at most `tick_for(lookback)`
- until a later tick writes the frame's key: lookback + `_MARGIN_S` (a whole number of ticks)
- until the next flush begins: at most `FLUSH_S`
- until this flush has ended

For example, with a lookback of 5 s, `tick_for` returns 0.84 s. A packet then waits at most 0.84 +
5.04 + 1 s and the duration of one flush. With any lookback, a packet waits at most lookback + 2 s,
if a flush takes at most `FLUSH_MAY_LAST_S`.
"""

import math
from typing import Final

TICK_S: Final = 0.9
"""The longest time in seconds from one tick to the next: the most audio that a crash loses."""
FLUSH_S: Final = 1.0
"""The seconds between the starts of two flushes."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""The time in seconds by which a tick may be late.

A frame's key must not be written before the frame is older than the lookback. So the tick that
writes the key is due after the lookback plus `_MARGIN_S`.
"""


def tick_for(lookback_s: float) -> float:
    """Return the seconds from one tick to the next."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))
