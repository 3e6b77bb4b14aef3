"""Checks recordings that another process may be changing at the same time.

Sealing, rewrapping and disposing of a recording take several steps. Between two steps the recording
is incomplete, but not damaged. Therefore, if a check finds a problem, this module repeats the check
until the recording's files no longer change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")
QUIET_S = 2.0
"""The time in seconds without a change after which the files of a recording are stable.

One step of sealing, rewrapping or disposing is faster than this, unless the disk is very slow.
"""
_MAX_CHECKS: Final = 10


def check_when_stable(
    check: Callable[[], Found], has_problem: Callable[[Found], object], folder: Path, call_id: str
) -> Found:
    """Check a recording when its files no longer change, and return the result of `check`.

    `check` is called again while `has_problem(result)` is true and the files of the recording
    changed less than `QUIET_S` seconds before the check, or during it. It is called ten times at
    most.
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
    """Return the Unix time in seconds at which a file of this recording changed last.

    Staged and unfinished files are included. It is the time at which the inode changed (ctime),
    because a program cannot set this time.
    """
    newest = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if call_id in entry.name:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_ctime)
    except FileNotFoundError:  # a file was renamed or unlinked just now
        return time.time()
    except OSError:  # `check` has already reported this error
        return 0.0
    return newest
