"""Brings a spool to the disk that took its own disk's place, so that a call lies in one folder.

A disk that was unmounted under a spool, or that another was mounted over, can be read for as long
as somebody has the file open; the recorder has. Nobody knows whether it will be seen again.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from recording.spool_file import sync_folder, write_all

_PIECE: Final = 1 << 20
_LEAVE: Final = 2
"""One part in so many of the free room may be taken: what is being said comes first."""
_thread = ThreadPoolExecutor(1, thread_name_prefix="spool-rescue")


class Behind:
    """The spools of one call that lie where nobody looks for them any more, held open."""

    def __init__(self) -> None:
        self._spools: list[tuple[int, str]] = []

    def add(self, fd: int, name: str) -> None:
        """Hold this one; the descriptor is ours from now on."""
        self._spools.append((fd, name))

    def bring(self, beside: int, folder: Path) -> None:
        """Copy them into `folder`, in a thread, one after another; what cannot be is left.

        `beside` is of the spool that goes on in `folder`. It is closed at the end: until then its
        lock is held, so that nobody takes the call for finished. All of a spool or nothing: a part
        of it would pass for the whole when the first disk is back.
        """
        _thread.submit(_bring, [(os.dup(fd), name) for fd, name in self._spools], beside, folder)

    def close(self) -> None:
        """The call is over."""
        for fd, _ in self._spools:
            os.close(fd)
        self._spools.clear()


def _bring(spools: list[tuple[int, str]], beside: int, folder: Path) -> None:
    for fd, name in spools:
        with contextlib.suppress(OSError):
            _rescue(fd, beside, folder / name)
        os.close(fd)
    os.close(beside)


def _rescue(fd: int, beside: int, path: Path) -> None:
    disk = os.fstatvfs(beside)
    too_big = os.fstat(fd).st_size * _LEAVE > disk.f_bavail * disk.f_frsize
    if too_big or path.exists():
        return
    hidden = path.with_name(f".{path.name}.new")
    try:
        _copy(fd, hidden)
        os.link(hidden, path)
        sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def _copy(old: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        at = 0
        while piece := os.pread(old, _PIECE, at):
            write_all(fd, piece)
            at += len(piece)
        os.fsync(fd)
    finally:
        os.close(fd)
