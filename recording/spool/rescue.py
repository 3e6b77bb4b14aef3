"""Copies a call's earlier spools into the folder of its current spool when their disk is gone.

The disk was unmounted while a spool was open, or another one was mounted on the same folder. The
open file can still be read, and the disk may never be mounted again.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from recording.files.atomic import sync_folder, write_all

_PIECE: Final = 1 << 20
_LEAVE: Final = 2
"""The free space on the disk for a copy, as a multiple of the spool's size.

So at least half of the free space remains for the spools of live calls.
"""
_thread = ThreadPoolExecutor(1, thread_name_prefix="spool-rescue")


class EarlierSpools:
    """The open files of a call's spools that can no longer be opened by their paths."""

    def __init__(self) -> None:
        self._spools: list[tuple[int, str]] = []

    def add(self, fd: int, name: str) -> None:
        """Add an earlier spool. `close` will close its descriptor `fd`."""
        self._spools.append((fd, name))

    def copy_to(self, beside: int, folder: Path) -> None:
        """Let a thread copy the earlier spools into `folder`, one after another.

        An incomplete copy is removed, so that it is never used in place of the complete spool,
        whose disk may be mounted again later. `beside` is a descriptor of the current spool, which
        keeps it locked until all are copied, so that the finaliser does not seal the call too
        early.

        Raises `OSError` if there are too few descriptors; then no spool is copied, and `beside` is
        closed.
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
        """Close the descriptors of the earlier spools, at the end of the call."""
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
