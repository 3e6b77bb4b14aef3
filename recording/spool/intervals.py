"""The intervals at which spools are written and flushed, and what a power cut costs.

A packet is safe when its frame and the frame's key are on the disk. At most, it waits

- `tick_for(lookback)` until its frame is sealed,
- then the lookback and a margin until the tick that releases the key. The lookback and the margin
  are a whole number of ticks, so the key does not wait for one tick more,
- then `FLUSH_S` until the next flush of all spools begins, and for the duration of that flush.

With a lookback of 5 s this is lookback + 0.84 + 0.04 + 1 s and one flush. It never exceeds
lookback + 2 s while a flush takes no longer than `FLUSH_MAY_LAST_S`.
"""

import math
from typing import Final

TICK_S: Final = 0.9
"""The longest tick. A crash loses what arrived since the last tick, which is less than a second."""
FLUSH_S: Final = 1.0
"""Seconds from the start of one flush to the start of the next."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""Seconds by which the tick that seals a frame may lag more than the tick that releases its key."""


def tick_for(lookback_s: float) -> float:
    """Return the seconds between two ticks of a spool that holds keys back for `lookback_s`."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))
