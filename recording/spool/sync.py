"""Syncs all open spools to the disk with one `syncfs` system call a second, called a *round*.

A separate thread makes the system call, which does not hold Python's interpreter lock. If written
data cannot be stored, Linux reports the error once, and only to descriptors that were open before
the error. So `SpoolSync` opens the folder before the first spool is created. The error does not
name a file, so a failed round is reported for every open spool.
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
    """The interface of an object that is notified of failed syncs, such as an open `Recorder`.

    Its methods are called in the event loop's thread.
    """

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Receive the error of a failed round. `SpoolSync` calls it after each failed round."""

    def sync_succeeded(self) -> None:
        """Receive the notice that the first round after a failed round has succeeded."""


def syncfs(fd: int) -> None:
    """Sync the file system of the open file `fd` to the disk with `syncfs(2)`.

    Raises `OSError`.
    """
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = [ctypes.c_int]
_libc.syncfs.restype = ctypes.c_int


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class SpoolSync:
    """The thread that calls `syncfs`, and the listeners that are notified of failed rounds.

    Attributes:
        folder: The folder whose file system the thread syncs.
        last_round_s: The duration of the last round, in seconds.
        error: The error of the last round; None if the round succeeded.
    """

    def __init__(
        self, folder: Path, *, interval_s: float = FLUSH_S, call: Callable[[int], None] = syncfs
    ) -> None:
        """Open the folder of the spools. Only errors of later writes will be reported.

        Args:
            folder: The folder of the spools.
            interval_s: The time in seconds from the start of one round to the start of the next.
            call: The function that syncs the file system of a descriptor.
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
        """Notify `listener` of failed rounds from now on."""
        self._listeners[listener] = None

    def detach(self, listener: SyncListener) -> None:
        """Stop notifying `listener` of failed rounds."""
        self._listeners.pop(listener, None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread. The listeners are called in the thread of the event loop `loop`."""
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="spool-sync", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Let the thread make one last round and end. Blocks until the thread has ended."""
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
            except RuntimeError:  # the loop is closed, so there are no listeners any more
                return

    def _rest_s(self) -> float:
        """Return the time in seconds to wait before the next round.

        Rounds start `interval_s` apart. If the disk is slow, the thread still waits a quarter of
        `interval_s` between the end of a round and the start of the next round.
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
        """Open the folder again if a disk was mounted on it or unmounted from it.

        The path of the folder then leads to another disk, on which new spools are created. The
        writer of a spool on the former disk notices the change itself (`SpoolWriter.check_path`).
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
