"""The intervals at which spools are written and flushed, and the audio that a power cut destroys.

A *tick* seals the packets of a spool into a frame and publishes the keys of older frames. A *flush*
syncs all spools to the disk. A packet survives a power cut when its frame and the frame's key are
on the disk. Before that, it waits at most

- `tick_for(lookback)` until its frame is sealed,
- then the lookback and a margin until the tick that publishes the key. The lookback and the margin
  are together a whole number of ticks, so the key does not wait for one more tick,
- then `FLUSH_S` until the next flush of all spools begins, and the duration of that flush.

With a lookback of 5 s, the sum is lookback + 0.84 + 0.04 + 1 s and the duration of one flush. With
any lookback, the sum is at most lookback + 2 s if a flush takes at most `FLUSH_MAY_LAST_S`.
"""

import math
from typing import Final

TICK_S: Final = 0.9
"""The longest time in seconds from one tick to the next.

A crash of the process loses the packets that arrived since the last tick: less than a second.
"""
FLUSH_S: Final = 1.0
"""The time in seconds from the start of one flush to the start of the next flush."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""The allowed difference in seconds between the delays of two ticks.

One tick seals a frame, and a later tick should publish the frame's key. If the first tick has at
most this much more delay than the second, the key does not wait for one more tick.
"""


def tick_for(lookback_s: float) -> float:
    """Return the time in seconds between two ticks of a spool with this lookback (in seconds)."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))
