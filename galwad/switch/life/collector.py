"""The rule for when Python's garbage collector runs in the switch process.

Reference counting does not free objects that refer to each other in a circle. The tests of ended
calls show that the switch leaves no circles. A library may leave some, so the collector cannot stay
off for ever.

A collection looks at every object of all calls, which stops the event loop: media and payment
pauses wait for about a tenth of a second with 200 calls. Python would run one after each burst of
new calls, and would find nothing. Here, a collection runs only

- while no call is in progress, if `MOST_NEW_WHEN_IDLE` objects were added since the previous one;
- at any time, if `MOST_NEW` objects were added, and `MOST_OF_A_CALL` for each call in progress.

The rule does not use Python's generations and thresholds, because their meaning differs between
its versions.
"""

from __future__ import annotations

import gc
import time

import structlog

MOST_NEW_WHEN_IDLE = 10_000
"""The number of new objects after which the garbage is collected while there are no calls."""
MOST_NEW = 800_000
"""The number of new objects after which the garbage is collected even during calls.

An ended call has about 85 objects for 32 s, so 290 new calls a second have this many. Otherwise,
only circles of a library can add so many. They then take about 270 MB, and the collection stops the
switch once, for nearly a second.
"""
MOST_OF_A_CALL = 700
"""The number of objects that a call in progress may have. Most calls have about 450."""
log = structlog.get_logger()


class Collector:
    """Runs the garbage collector. After `start`, Python itself no longer runs it."""

    def __init__(
        self, most_new: int = MOST_NEW, most_new_when_idle: int = MOST_NEW_WHEN_IDLE
    ) -> None:
        self._most_new = most_new
        self._most_new_when_idle = most_new_when_idle

    @staticmethod
    def start() -> None:
        """Leave all present objects out of later collections, and stop Python's own collections."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def tick(self, calls: int) -> None:
        """Collect garbage if necessary, with `calls` in progress. Call this once a second."""
        new = gc.get_count()[0]  # The objects that were made minus those that were freed.
        most = self._most_new + MOST_OF_A_CALL * calls if calls else self._most_new_when_idle
        if new >= most:
            began = time.perf_counter()
            found = gc.collect()
            took = round((time.perf_counter() - began) * 1000)
            log.info("garbage.collected", new=new, found=found, calls=calls, ms=took)
