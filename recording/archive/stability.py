"""Checks recordings that another process may be changing at the same time.

Sealing, rewrapping and disposing of a recording take several steps, and each is on the disk before
the next begins. Between two steps a recording is incomplete without being damaged. So an incomplete
one is checked again until its files no longer change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")
QUIET_S = 2.0
"""The longest time (s) that one such step takes, except on a disk that hardly works."""
_MAX_CHECKS: Final = 10


def check_when_stable(
    check: Callable[[], Found], has_problem: Callable[[Found], object], folder: Path, call_id: str
) -> Found:
    """Return what `check` finds of a recording when its files no longer change.

    If `has_problem` returns a true value for it and the files changed recently, `check` is called
    again; ten times at most.
    """
    for _ in range(_MAX_CHECKS):
        began = time.time()
        found = check()
        changed = _last_changed(folder, call_id) if has_problem(found) else 0.0
        if not began - QUIET_S < changed <= time.time():
            break
        time.sleep(max(0.0, changed + QUIET_S - time.time()))
    return found


def _last_changed(folder: Path, call_id: str) -> float:
    """Return when its files changed last, staged and unfinished ones included (Unix seconds).

    It is the time of the inode's change, which no program can set.
    """
    newest = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if call_id in entry.name:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_ctime)
    except FileNotFoundError:  # a file was renamed or unlinked just now
        return time.time()
    except OSError:  # `check` has already reported what cannot be read
        return 0.0
    return newest
