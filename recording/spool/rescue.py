"""Copies a call's earlier spools from a disk that went away to the folder of the current spool.

If a disk is unmounted under a spool, or another one is mounted over it, the file can still be read
while a process has it open, and the recorder has. The disk may never come back.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from recording.files.atomic import sync_folder, write_all

_PIECE: Final = 1 << 20
_LEAVE: Final = 2
"""A copy may take at most one part in this many of the free space: live calls come first."""
_thread = ThreadPoolExecutor(1, thread_name_prefix="spool-rescue")


class EarlierSpools:
    """The earlier spools of one call, on disks that went away. They are kept open."""

    def __init__(self) -> None:
        self._spools: list[tuple[int, str]] = []

    def add(self, fd: int, name: str) -> None:
        """Keep a spool open; this object will close the descriptor."""
        self._spools.append((fd, name))

    def copy_to(self, beside: int, folder: Path) -> None:
        """Copy the spools into `folder` in a thread, one after another.

        A spool that cannot be copied completely is left out: a part of it would be taken for the
        whole when its disk is back.

        Args:
            beside: A descriptor of the current spool in `folder`. It is closed after the last copy;
                until then its lock is held, so that the finaliser does not take the call for
                finished.
            folder: The folder of the current spool.

        Raises:
            OSError: There are no more descriptors; nothing is copied, and `beside` is closed.
        """
        spools: list[tuple[int, str]] = []
        try:
            for fd, name in self._spools:
                spools.append((os.dup(fd), name))
        except OSError:
            for fd in (*(fd for fd, _ in spools), beside):
                os.close(fd)
            raise
        _thread.submit(_copy_all, spools, beside, folder)

    def close(self) -> None:
        """Close the spools at the end of the call."""
        for fd, _ in self._spools:
            os.close(fd)
        self._spools.clear()


def _copy_all(spools: list[tuple[int, str]], beside: int, folder: Path) -> None:
    for fd, name in spools:
        with contextlib.suppress(OSError):
            _copy_spool(fd, beside, folder / name)
        os.close(fd)
    os.close(beside)


def _copy_spool(fd: int, beside: int, path: Path) -> None:
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
