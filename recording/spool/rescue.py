"""Copies a call's earlier spools into the folder of its current spool when their disk is gone.

A disk is gone if it was unmounted while a spool was open, or if another disk was mounted on the
same folder. The spool's file is still open, so the spool can still be read. The spool is copied
because its disk may never be mounted again.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from recording.files.atomic import sync_folder, write_all

_PIECE: Final = 1 << 20
_LEAVE: Final = 2
"""The minimum free space on the disk for the copy of a spool, as a multiple of the spool's size.

After the copy, at least half of the free space remains for the spools of live calls.
"""
_thread = ThreadPoolExecutor(1, thread_name_prefix="spool-rescue")


class EarlierSpools:
    """The spools of one call that can no longer be opened by their paths. Their files stay open."""

    def __init__(self) -> None:
        self._spools: list[tuple[int, str]] = []

    def add(self, fd: int, name: str) -> None:
        """Add an earlier spool: its open descriptor and its file name.

        `close` will close the descriptor.
        """
        self._spools.append((fd, name))

    def copy_to(self, beside: int, folder: Path) -> None:
        """Let a thread copy the earlier spools into `folder`, one after another.

        An incomplete copy of a spool is removed, so that it is never used in place of the complete
        spool. The complete spool can be used if its disk is mounted again later.

        Args:
            beside: A descriptor of the current spool in `folder`. The thread closes this descriptor
                when all spools are copied. The current spool stays locked until then, so that the
                finaliser does not seal the call's spools too early.
            folder: The folder of the current spool.

        Raises:
            OSError: The process cannot open more descriptors. No spool is copied, and `beside` is
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
