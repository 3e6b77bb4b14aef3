"""Syncs all open spools to the disk with one `syncfs` system call a second, called a *round*.

A separate thread makes the call, so the event loop does not wait for the disk. The folder is opened
before the first spool is created, because `syncfs` reports a failed write only for a descriptor
that was opened before the failure. It reports each failure only once, and does not say which file
is affected, so the recorders of all open spools are notified.

The intervals here limit what a power cut destroys. A *tick* writes the waiting packets of a spool
into a new frame, and writes the keys of older frames into the spool file. A *flush* is a round of
`SpoolSync`. A packet survives a power cut if both its frame and the frame's key are on the disk.
From its arrival until then, a packet waits:

- until a tick writes the frame: at most `tick_for(lookback)`
- until a later tick writes the frame's key: lookback + `_MARGIN_S` (a whole number of ticks)
- until the next flush begins: at most `FLUSH_S`
- until this flush has ended

If a flush takes at most `FLUSH_MAY_LAST_S`, a packet waits at most lookback + 2 s.
"""

import asyncio
import ctypes
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from recording.errors import SpoolSyncError

TICK_S: Final = 0.9
"""The longest time in seconds from one tick to the next: the most audio that a crash loses."""
FLUSH_S: Final = 1.0
"""The seconds between the starts of two flushes."""
FLUSH_MAY_LAST_S: Final = 0.06
_MARGIN_S: Final = 0.04
"""The time in seconds by which a tick may be late.

A frame's key must not be written before the frame is older than the lookback. So the tick that
writes the key is due after the lookback plus `_MARGIN_S`.
"""


def tick_for(lookback_s: float) -> float:
    """Return the seconds from one tick to the next, for a lookback in seconds."""
    due = lookback_s + _MARGIN_S
    return max(TICK_S / 2, due / math.ceil(due / TICK_S))


class SyncListener(Protocol):
    """An object, such as a `Recorder`, that is notified of failed syncs in the loop's thread."""

    def sync_failed(self, error: SpoolSyncError) -> None:
        """Handle the error of a failed sync; called after each failure."""

    def sync_succeeded(self) -> None:
        """Handle the first successful sync after one or more failed syncs."""


def syncfs(fd: int) -> None:
    """Sync the file system of an open file with `syncfs(2)`. Raises `OSError`."""
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syncfs.argtypes = [ctypes.c_int]
_libc.syncfs.restype = ctypes.c_int


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class SpoolSync:
    """The thread that calls `syncfs`, and the listeners that are notified of failed syncs.

    `last_round_s` is the duration of the most recent sync in seconds, and `error` its error or
    None.
    """

    def __init__(
        self, folder: Path, *, interval_s: float = FLUSH_S, call: Callable[[int], None] = syncfs
    ) -> None:
        """Open the folder. A sync reports only writes that failed after this opening.

        `interval_s` is the time in seconds from the start of one sync to that of the next.
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
        """From now on, notify `listener` of each failed sync, and when syncs succeed again."""
        self._listeners[listener] = None

    def detach(self, listener: SyncListener) -> None:
        """Stop notifying `listener`."""
        self._listeners.pop(listener, None)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread that syncs. The listeners are called in the thread of `loop`."""
        self._thread = threading.Thread(
            target=self._run, args=(loop,), name="spool-sync", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after one more sync; block until it has ended."""
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
            except RuntimeError:  # the event loop is closed, so no listener needs the result
                return

    def _rest_s(self) -> float:
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
        """Open the folder again if a disk was mounted on the folder or unmounted from it.

        New spools are then created on the other disk. The open spools are on the earlier disk, and
        their paths no longer lead to them, which `SpoolWriter.check_path` detects.
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
