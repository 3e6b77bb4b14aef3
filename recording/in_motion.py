"""Recordings that somebody works on while another looks at them.

Sealing, rewrapping and disposing of one take several steps, each on the disk before the next.
Between two of them it is not whole, though nobody has harmed it: so what is not whole is looked
at again until its files rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

Found = TypeVar("Found")
REST_S = 2.0
"""The longest that one step of such work takes, but on a disk that hardly works."""
_MOST_LOOKS: Final = 10


def at_rest(
    look: Callable[[], Found], wrong: Callable[[Found], object], folder: Path, call_id: str
) -> Found:
    """What `look` finds of this recording, when nobody works on it; `wrong` is looked at again."""
    for _ in range(_MOST_LOOKS):
        began = time.time()
        found = look()
        changed = _last_changed(folder, call_id) if wrong(found) else 0.0
        if not began - REST_S < changed <= time.time():
            break
        time.sleep(max(0.0, changed + REST_S - time.time()))
    return found


def _last_changed(folder: Path, call_id: str) -> float:
    """When the last change came to its files, staged and unfinished ones too (Unix seconds).

    It is the time of the inode's change, which nobody can set.
    """
    newest = 0.0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if call_id in entry.name:
                    newest = max(newest, entry.stat(follow_symlinks=False).st_ctime)
    except FileNotFoundError:  # one of them was renamed or unlinked this moment
        return time.time()
    except OSError:  # what cannot be read, `look` has named
        return 0.0
    return newest
