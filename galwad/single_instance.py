"""A lock that allows only one process of each kind for a state folder.

It does not matter who starts the process: systemd, `galwad serve` or a person. Two finalisers would
overwrite each other's recordings, and two switches would continue the same calls.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderLockedError(Exception):
    """Another process holds the folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a process's own folder until the end of the `with` block or of the process (flock(2)).

    A folder that is missing, or that the disk refuses, is not locked and does not prevent the
    process from working: calls are still answered, and the process itself reports what it cannot
    do.

    Raises:
        FolderLockedError: Another process holds the folder.
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
