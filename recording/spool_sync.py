"""One `syncfs` a second brings all open spools to the disk."""

import asyncio
from pathlib import Path
from typing import Protocol

from recording.errors import SpoolSyncError


class SyncListener(Protocol):
    """Who wants to know whether the spools reach the disk (each open `Recorder`)."""

    def sync_failed(self, error: SpoolSyncError) -> None:
        """The last round failed; called on the loop, once a failing round."""

    def sync_succeeded(self) -> None:
        """A round succeeded after one that failed; called on the loop."""


class SpoolSync:
    """The thread that calls `syncfs`, and whom it tells."""

    def __init__(self, folder: Path, *, interval_s: float = 1.0) -> None:
        """`folder` is opened at once: errors of writes made before are not reported."""

    def attach(self, listener: SyncListener) -> None:
        """Tell `listener` from now on."""

    def detach(self, listener: SyncListener) -> None:
        """Tell `listener` no longer."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; listeners are called on `loop`."""

    def stop(self) -> None:
        """One last round, then end the thread."""
