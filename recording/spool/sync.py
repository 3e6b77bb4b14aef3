"""Syncs all open spools to the disk with one `syncfs` a second.

A separate thread makes the call, which releases the interpreter lock. Linux reports a write-back
error once, to descriptors that were open before it happened. So the folder is opened when the
object is made, before the first spool, and a failed round counts for every open spool.
"""

import asyncio
import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from recording.errors import SpoolSyncError
from recording.spool.intervals import FLUSH_S


class SyncListener(Protocol):
    """The interface of an object that is notified of failed syncs: each open `Recorder`."""

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Take the error of a failed round. It is called on the loop after each failed round."""

    def sync_succeeded(self) -> None:
        """Note that a round succeeded after a failed one. It is called on the loop."""


def syncfs(fd: int) -> None:
    """Sync the file system of `fd` to the disk with `syncfs(2)`. Raises `OSError`."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = [ctypes.c_int]
_libc.syncfs.restype = ctypes.c_int


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class SpoolSync:
    """The thread that calls `syncfs`, and its listeners.

    Attributes:
        folder: The folder whose file system it syncs.
        rounds: The number of rounds so far.
        last_round_s: The duration of the last round, in seconds.
        error: The error of the last round, or None.
    """

    def __init__(
        self, folder: Path, *, interval_s: float = FLUSH_S, call: Callable[[int], None] = syncfs
    ) -> None:
        """Open `folder` at once; errors of earlier writes are not reported.

        Args:
            folder: The folder of the spools.
            interval_s: The seconds from the start of one round to the start of the next.
            call: Syncs the file system of a descriptor.
        """
        self.last_round_s = 0.0
        self.error: SpoolSyncError | None = None
        self.folder = folder
        self._fd = _open_folder(folder)
        self._interval_s = interval_s
        self._call = call
        self._listeners: dict[SyncListener, None] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def attach(self, listener: SyncListener) -> None:
        """Notify `listener` from now on."""
        self._listeners[listener] = None

    def detach(self, listener: SyncListener) -> None:
        """Stop notifying `listener`."""
        self._listeners.pop(listener, None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; listeners are called on `loop`."""
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="spool-sync", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Make one last round, then end the thread. Blocks until both are done."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(self._rest_s())
            error = self._round()
            if error is None and self.error is None:
                continue
            self.error = error
            try:
                loop.call_soon_threadsafe(self._notify, error)
            except RuntimeError:  # the loop is closed: there are no listeners left
                return

    def _rest_s(self) -> float:
        """Return the seconds to wait for the next round.

        Rounds start one interval apart, but a slow disk gets a quarter of it as rest.
        """
        return max(self._interval_s - self.last_round_s, self._interval_s / 4)

    def _round(self) -> SpoolSyncError | None:
        began = time.monotonic()
        try:
            self._reopen_if_remounted()
            self._call(self._fd)
        except OSError as error:
            failed = SpoolSyncError(f"syncfs: {error.strerror}")
            failed.__cause__ = error
            return failed
        finally:
            self.last_round_s = time.monotonic() - began
        return None

    def _reopen_if_remounted(self) -> None:
        """Open the folder again if another disk was mounted or unmounted there.

        New spools are then on that other disk. Spools on the old one find out by themselves
        (`SpoolWriter.check_path`).
        """
        there, ours = self.folder.stat(), os.fstat(self._fd)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            old, self._fd = self._fd, _open_folder(self.folder)
            os.close(old)

    def _notify(self, error: SpoolSyncError | None) -> None:
        for listener in list(self._listeners):
            if error is None:
                listener.sync_succeeded()
            else:
                listener.sync_failed(error)
