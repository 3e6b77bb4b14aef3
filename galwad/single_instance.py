"""A lock on a state folder, so that only one process uses the folder.

The switch, the desk and the finaliser each have their own state folder. The lock works for a
process that systemd, `galwad serve` or a person has started. Without the lock, two finalisers would
overwrite each other's recordings, and two switches would continue the same calls.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderLockedError(Exception):
    """Another process has locked the folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder until the `with` block or the process ends (flock(2)).

    `folder` is the state folder of this process. If the folder is missing or cannot be opened, no
    lock is set and no error is raised here, because the process must answer calls even then. The
    parts of the process that need the folder report the error.

    Raises:
        FolderLockedError: Another process has locked the folder.
    """
    descriptor = _opened(folder)
    if descriptor is None:
        yield
        return
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderLockedError(f"another process is at work in {folder}") from None
