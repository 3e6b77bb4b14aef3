"""The disk under one call's recorder: notes its faults and finds out when they are over.

What ends a fault depends on the fault:

- After a failed write, the file accepts writes and the disk has room again.
- After a failed sync, a sync also succeeds.
- If the file's disk stays away, the call continues in a new file on the disk now in its place.
- If the disk keeps failing, the call continues in a new file on another disk.

A full disk is not a failing one, so no new file is opened for it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from recording.errors import RecordingError, SpoolGoneError, SpoolSyncError, has_failed
from recording.spool.gate import FAILURES
from recording.spool.outbox import SpoolOutbox
from recording.spool.writer import SpoolWriter

ROOM_TO_RESUME: Final = 64 * 1024
"""The bytes that must be free to end a fault.

They are enough for some seconds, so that the fault does not return at once.
"""
MOVE_AFTER_US: Final = 10_000_000
"""The time in µs for which a spool may be gone, or its disk fail, before a new spool is begun.

A disk that is mounted again is back within seconds, even with a check of its journal. It then hides
all files that were written below its mount point in the meantime, so a new spool is not begun
earlier. After this time, recording the conversation is more important.
"""


class SpoolStorage:
    """Owns the spool of one call. Its methods run in the event loop's thread and do not wait.

    Attributes:
        outbox: The spool, with the events that are not written yet.
        error: The last error, or None.
    """

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        now: Callable[[], int],
        failed: Callable[[RecordingError | OSError], None],
        open_on_other_disk: Callable[[], SpoolWriter] | None = None,
        synced: Path | None = None,
    ) -> None:
        """Set up the storage; no spool is opened yet.

        Args:
            open_spool: Creates the next spool of the call.
            now: Returns the µs since the spool's start.
            failed: Is called with the error of a failed sync.
            open_on_other_disk: Creates the next spool on another disk; it is used once at most.
                None if there is no other disk.
            synced: The folder whose spools `SpoolSync` syncs each second; None means that all
                spools are synced by it.
        """
        self.outbox = SpoolOutbox(open_spool)
        self.error: RecordingError | OSError | None = None
        self._now = now
        self._failed = failed
        self._synced = True
        self._probe: asyncio.Future[None] | None = None
        self._gone_since: int | None = None
        self._failing_since: int | None = None
        self._open_on_other_disk = open_on_other_disk
        self._synced_folder = synced

    @property
    def writer(self) -> SpoolWriter | None:
        """The spool; None until one could be opened."""
        return self.outbox.writer

    @property
    def is_synced_by_thread(self) -> bool:
        """True if `SpoolSync` syncs the spool, or if there is no spool yet."""
        writer = self.writer
        return writer is None or self._synced_folder in {None, writer.path.parent}

    def record_error(self, error: RecordingError | OSError) -> None:
        """Note an error, and since when the spool is gone or its disk fails."""
        self.error = error
        if isinstance(error, SpoolSyncError):
            self._synced = False
        if isinstance(error, SpoolGoneError):
            self._gone_since = self._now() if self._gone_since is None else self._gone_since
        elif has_failed(error) and self._failing_since is None:
            self._failing_since = self._now()

    def sync_succeeded(self) -> None:
        """Note that all data written so far reached the disk."""
        self._synced = True

    def sync_if_needed(self) -> None:
        """Start a sync of a spool that `SpoolSync` does not sync. Raises as `SpoolWriter` does."""
        if not self.is_synced_by_thread and (self._probe is None or self._probe.done()):
            self._probe = self.sync_soon()

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Start a sync of the spool in a thread; return its future, or None if none is possible.

        If the sync fails, `failed` is called with its error. Raises as `SpoolWriter` does.
        """
        job, writer = self.outbox.sync_soon(), self.writer

        def done(job: "asyncio.Future[None]") -> None:
            if writer is self.writer:
                self._sync_done(job)

        if job is not None:
            job.add_done_callback(done)
        return job

    def try_recovery(self) -> bool:
        """Write the waiting events after a fault; return whether the fault is over.

        If the spool is gone or the disk fails for too long, continue in a new spool. Raises
        `FAILURES` while the disk refuses.
        """
        try:
            self._check_path()
            works = self._takes_writes()
        except SpoolGoneError:
            raise
        except FAILURES as error:
            self.record_error(error)
            if not self._must_move:
                raise
            works = False
        if works or not self._must_move:
            return works
        self._move(self._open_on_other_disk)
        self._open_on_other_disk = None
        return self._takes_writes()

    def _takes_writes(self) -> bool:
        writer = self.outbox.drain()
        if not self._synced:
            self._try_sync()
            return False
        if writer.free_bytes < ROOM_TO_RESUME:
            return False
        writer.event("fault", {"why": "over"}, self._now())
        self._failing_since = None
        return True

    @property
    def _must_move(self) -> bool:
        """True if the disk failed for `MOVE_AFTER_US` and the call can continue on another one."""
        return self._open_on_other_disk is not None and self._is_overdue(self._failing_since)

    def _is_overdue(self, since: int | None) -> bool:
        return since is not None and self._now() - since >= MOVE_AFTER_US

    def _check_path(self) -> None:
        """Check that the spool is in its place; if it is gone for too long, continue in a new one.

        Raises:
            SpoolGoneError: The spool is gone, but not for `MOVE_AFTER_US` yet.
        """
        if self.writer is None:
            return
        try:
            self.writer.check_path()
        except SpoolGoneError as error:
            self.record_error(error)
            if not self._is_overdue(self._gone_since):
                raise
            self._move()
        self._gone_since = None

    def _move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        self.outbox.move(open_spool)
        self._synced, self._probe = True, None
        self._failing_since = None

    def _try_sync(self) -> None:
        """Start a sync unless one is running: only a successful sync ends this fault."""
        if self._probe is None or self._probe.done():
            self._probe = self.sync_soon()

    def _sync_done(self, job: "asyncio.Future[None]") -> None:
        if job.cancelled():
            return
        error = job.exception()
        if error is None:
            self._synced = True
        elif isinstance(error, FAILURES):
            self._failed(error)
