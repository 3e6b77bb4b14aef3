"""The time for which the switch was ready to run and the kernel let other programs run instead."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
"""The kernel's file with three numbers about the thread that opens it (CONFIG_SCHED_INFO).

They are the nanoseconds on a processor, those of waiting for a processor, and a count. See
Documentation/scheduler/sched-stats.rst of Linux.
"""


class CpuWait:
    """Measures how long this thread waits for a processor. Create it in the thread."""

    def __init__(self, path: Path = SCHEDSTAT) -> None:
        """Start measuring. If the kernel does not count, every result is 0."""
        self._file = None
        with contextlib.suppress(OSError):
            self._file = path.open("rb", buffering=0)
        self._before = self._read()

    def since_last(self) -> float:
        """Return the seconds of waiting since the previous call, or since the start."""
        before, self._before = self._before, self._read()
        return self._before - before

    def close(self) -> None:
        """Close the kernel's file."""
        if self._file is not None:
            self._file.close()

    def _read(self) -> float:
        if self._file is None:
            return 0.0
        self._file.seek(0)
        return int(self._file.read(100).split()[1]) / 1e9
