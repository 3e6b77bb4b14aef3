"""The clock of a check of a recording that other processes work on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


class Clock:
    """A moment after the last change in a folder. While its owner waits, `work` is done.

    In place of the module `time`.
    """

    strptime = staticmethod(time.strptime)

    def __init__(self, folder: Path) -> None:
        self.work: Callable[[], object] = lambda: None
        self._folder = folder
        self._waited = 0.0

    def time(self) -> float:
        changes = [each.lstat().st_ctime for each in self._folder.iterdir()]
        return max(changes) + 0.1 + self._waited

    def sleep(self, seconds: float) -> None:
        self._waited += seconds + 0.001  # no process wakes too early
        self.work()
