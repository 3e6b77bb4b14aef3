"""The delay of the switch's event loop, measured in its process without a change of the switch.

The switch runs as usual, but on an event loop that also wakes up every 10 ms and stores how late
each wake-up is. All the switch's work is in the same loop, so this is the time that a packet or a
message may have to wait. The times go to a file in memory as they are measured.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _histogram import Histogram

EVERY_S = 0.01
SAMPLED = """
import array, os, time, uvloop
from galwad.cli.main import main

class Sampled(uvloop.Loop):
    def run_until_complete(self, future):
        if not hasattr(self, "due"):
            self.file = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            self.samples = array.array("d")
            self.due = time.perf_counter() + {every}
            self.call_later({every}, self.sample)
        return super().run_until_complete(future)

    def sample(self):
        now = time.perf_counter()
        self.samples.extend((now, (now - self.due) * 1e3))
        if len(self.samples) == 40:
            os.write(self.file, self.samples)
            del self.samples[:]
        self.due = time.perf_counter() + {every}
        self.call_later({every}, self.sample)

uvloop.Loop = Sampled
main()
"""
SETTLE_S = 0.5
"""The seconds until the file has all samples of a time: 20 are written together, after 0.2 s."""


def sampled(samples: Path) -> Sequence[str]:
    """Return the arguments of Python that run `galwad` on a loop that is measured."""
    return "-c", SAMPLED.format(path=str(samples), every=EVERY_S)


def every(late_ms: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    """Return the delays as if a wake-up had been due every 10 ms, also while the loop was late.

    The next wake-up is due 10 ms after the previous one, so a delay of a second is one sample. But
    it is what a packet meets that arrives at any time of that second. Without this, percentiles
    would look best when the loop is at its worst ("coordinated omission").
    """
    step = EVERY_S * 1e3
    return [float(part) for late in late_ms for part in np.arange(max(late, 0.0), -1e-9, -step)]


def lag(samples: Path, begun: float, ended: float) -> Histogram:
    """Return the delays in ms of wake-ups between two times of `time.perf_counter`; see `every`.

    Raises:
        SystemExit: There are no samples of that time.
    """
    time.sleep(SETTLE_S)
    stored = np.fromfile(samples, np.float64)
    when, late = stored[: len(stored) // 2 * 2].reshape(-1, 2).T
    found = Histogram()
    found.add(every(late[(when >= begun) & (when < ended)]))
    if not found.count:
        raise SystemExit("the switch's loop was not measured")
    return found
