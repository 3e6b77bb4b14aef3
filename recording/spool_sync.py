"""One `syncfs` a second brings all open spools to the disk.

A thread of its own makes the call, which releases the interpreter lock. Linux tells an error of
writing back once, to descriptors that were open before it happened; so the folder is opened when
the object is made, before the first spool, and a failing round counts for every open spool.
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
from recording.rhythm import FLUSH_S


class SyncListener(Protocol):
    """Who wants to know whether the spools reach the disk (each open `Recorder`)."""

    def sync_failed(self, error: SpoolSyncError) -> None:
        """The last round failed; called on the loop after each failing round."""

    def sync_succeeded(self) -> None:
        """A round succeeded after one that failed; called on the loop."""


def syncfs(fd: int) -> None:
    """`syncfs(2)`: bring the file system of `fd` to the disk. Raises OSError."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = [ctypes.c_int]
_libc.syncfs.restype = ctypes.c_int


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class SpoolSync:
    """The thread that calls `syncfs`, and whom it tells.

    Attributes:
        folder: whose disk it brings up to date.
        rounds: how many rounds were made.
        last_round_s: how long the last one took, in seconds.
        error: why the last one failed, or None.
    """

    def __init__(
        self, folder: Path, *, interval_s: float = FLUSH_S, call: Callable[[int], None] = syncfs
    ) -> None:
        """`folder` is opened at once: errors of writes made before are not reported."""
        self.rounds = 0
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
        """Tell `listener` from now on."""
        self._listeners[listener] = None

    def detach(self, listener: SyncListener) -> None:
        """Tell `listener` no longer."""
        self._listeners.pop(listener, None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; listeners are called on `loop`."""
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="spool-sync", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """One last round, then end the thread. Blocks while it lasts."""
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
                loop.call_soon_threadsafe(self._tell, error)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                return

    def _rest_s(self) -> float:
        """From start to start it is the interval, but a slow disk has some rest as well."""
        return max(self._interval_s - self.last_round_s, self._interval_s / 4)

    def _round(self) -> SpoolSyncError | None:
        began = time.monotonic()
        try:
            self._go_where_the_folder_is()
            self._call(self._fd)
        except OSError as error:
            failed = SpoolSyncError(f"syncfs: {error.strerror}")
            failed.__cause__ = error
            return failed
        finally:
            self.rounds += 1
            self.last_round_s = time.monotonic() - began
        return None

    def _go_where_the_folder_is(self) -> None:
        """A disk was mounted there, or taken away: new spools lie on another one.

        Those on the old one find out by themselves (`SpoolWriter.check_place`).
        """
        there, ours = self.folder.stat(), os.fstat(self._fd)
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            old, self._fd = self._fd, _open_folder(self.folder)
            os.close(old)

    def _tell(self, error: SpoolSyncError | None) -> None:
        for listener in list(self._listeners):
            if error is None:
                listener.sync_succeeded()
            else:
                listener.sync_failed(error)
