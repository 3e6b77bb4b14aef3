"""One process of a kind for a state folder, whoever starts it: systemd, `galwad serve`, a person.

Two finalisers would write one recording over the other, two switches take up the same calls.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AtWorkError(Exception):
    """Another process holds the folder."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a process's own folder, and let go of it at the end, however that comes (flock(2)).

    A folder that is missing, or that the disk refuses, is held by nobody and keeps nobody from
    working: calls are answered all the same, and the process itself says what it cannot do.

    Raises:
        AtWorkError: another process holds it.
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
        raise AtWorkError(f"another process is at work in {folder}") from None
