"""How often a spool is written and flushed, and what a power cut costs by that.

A packet is safe when its frame and the frame's key are on the disk. It waits, at most,

- `tick_for(lookback)` for its frame to be sealed,
- from there `lookback` and a margin for the tick at which the key is due: the lookback is a whole
  number of ticks, so none waits for one more,
- `FLUSH_S` for the next flush of all spools to begin, and then for as long as that lasts.

That is lookback + 0.84 + 0.04 + 1 s and one flush for a lookback of 5 s, and never more than
lookback + 2 s while a flush lasts no longer than `FLUSH_MAY_LAST_S`.
"""

import math
from typing import Final

TICK_S: Final = 0.9
"""The longest. A crash of the process costs what arrived since its last tick, under a second."""
FLUSH_S: Final = 1.0
"""From the start of one flush to the start of the next."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""By so much a loop that lags may be later with the first of these ticks than with the last."""


def tick_for(lookback_s: float) -> float:
    """Seconds between ticks of a spool that holds keys back for `lookback_s`."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))
