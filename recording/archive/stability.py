"""Checks recordings that another process may be changing at the same time.

Between two steps of sealing, rewrapping or disposing, a recording is incomplete, but not damaged.
So a check that finds a problem is repeated until the files no longer change, at most ten times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")
QUIET_S = 2.0
"""The seconds without a change after which a recording's files count as stable.

One step of sealing, rewrapping or disposing takes less time, unless the disk is very slow.
"""
_MAX_CHECKS: Final = 10


def check_when_stable(
    check: Callable[[], Found], has_problem: Callable[[Found], object], folder: Path, call_id: str
) -> Found:
    """Call `check` until its result can be trusted, at most ten times; return the last result.

    A problem (`has_problem`) is checked again if the files changed meanwhile or in the `QUIET_S`
    before.
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
    """Return the Unix time of the most recent change of any file of this recording, or 0.

    Staged and unfinished files are included. It is the ctime, because a program can set the mtime.
    """
    newest = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if call_id in entry.name:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_ctime)
    except FileNotFoundError:  # a file was renamed or unlinked just now
        return time.time()
    except OSError:  # `check` reads the same folder, and has already reported this error
        return 0.0
    return newest
