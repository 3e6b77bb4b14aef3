"""The storage of one call's spool. It remembers a fault of the disk until the fault is over.

A fault after a failed write ends when a write succeeds and the disk has enough free bytes. After a
failed sync, a sync must succeed too. In two other cases, the fault ends because the call continues
in a new file:

- The spool file is missing for `MOVE_AFTER_US`, usually because its disk was unmounted. The new
  file is in the folder with the same path, which may now be on another disk.
- The disk fails for `MOVE_AFTER_US`, and there is another disk. The new file is in a folder on that
  disk. A disk that is only full does not count as a disk that fails.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from recording.errors import RecordingError, SpoolGoneError, SpoolSyncError, has_failed
from recording.spool.file import ROOM_TO_RESUME
from recording.spool.gate import FAILURES
from recording.spool.outbox import SpoolOutbox
from recording.spool.writer import SpoolWriter

MOVE_AFTER_US: Final = 10_000_000
"""A new spool begins if the spool file is missing, or its disk fails, for this time in µs.

An unmounted disk is usually mounted again within seconds, and then hides the files that were
written to its mount point meanwhile. So a new spool should not begin too early.
"""


class SpoolStorage:
    """The spool of one call, and the state of its disk; `error` is the most recent error or None.

    All methods run in the event loop's thread. They wait for a `WatchedDisk` up to its time limit.
    """

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        now: Callable[[], int],
        failed: Callable[[RecordingError | OSError], None],
        open_on_other_disk: Callable[[], SpoolWriter] | None = None,
        *,
        synced: Path | None = None,
        has_other_disk: Callable[[], bool] = lambda: True,
    ) -> None:
        """Set up the storage; no spool is opened yet.

        `failed` gets the error of a failed sync. If the disk has failed and `has_other_disk`
        returns True, `open_on_other_disk` is called until it succeeds. `SpoolSync` syncs the spools
        in the folder `synced`, or all spools if it is None.
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
        self._has_other_disk = has_other_disk
        self._synced_folder = synced

    @property
    def writer(self) -> SpoolWriter | None:
        """The writer of the spool; None until a spool was opened."""
        return self.outbox.writer

    @property
    def is_synced_by_thread(self) -> bool:
        """True if `SpoolSync` syncs the spool, or if no spool was opened yet."""
        writer = self.writer
        return writer is None or self._synced_folder in {None, writer.path.parent}

    def record_error(self, error: RecordingError | OSError) -> None:
        """Remember an error, and since when the file is missing or the disk fails."""
        self.error = error
        if isinstance(error, SpoolSyncError):
            self._synced = False
        if isinstance(error, SpoolGoneError):
            self._gone_since = self._now() if self._gone_since is None else self._gone_since
        elif has_failed(error) and self._failing_since is None:
            self._failing_since = self._now()

    def sync_succeeded(self) -> None:
        """Note that the data written before a sync is on the disk."""
        self._synced = True

    def sync_if_needed(self) -> None:
        """Start a sync if `SpoolSync` does not sync the spool and no sync is running.

        Raises `OSError`.
        """
        if not self.is_synced_by_thread and (self._probe is None or self._probe.done()):
            self._probe = self.sync_soon()

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Start a sync in a thread and return its future, as `SpoolOutbox.sync_soon` does.

        `failed` (of the constructor) gets the error of the sync.
        """
        job, writer = self.outbox.sync_soon(), self.writer

        def done(job: "asyncio.Future[None]") -> None:
            if writer is self.writer:
                self._sync_done(job)

        if job is not None:
            job.add_done_callback(done)
        return job

    def try_recovery(self) -> bool:
        """Write the waiting events, and return whether the fault is over.

        This method can continue the call in a new spool, as the module's docstring says. Raises one
        of `FAILURES` if no spool can be written yet.
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

    def close(self, at_us: int) -> None:
        """Close the spool. The error of a sync that is still running is not reported."""
        self._failed = _ignore
        try:
            self.outbox.close(at_us)
        except FAILURES as error:
            self.record_error(error)

    def discard(self) -> None:
        """Remove the newest spool."""
        self._failed = _ignore
        try:
            self.outbox.discard()
        except FAILURES as error:
            self.record_error(error)

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
        return (
            self._open_on_other_disk is not None
            and self._is_overdue(self._failing_since)
            and self._has_other_disk()
        )

    def _is_overdue(self, since: int | None) -> bool:
        return since is not None and self._now() - since >= MOVE_AFTER_US

    def _check_path(self) -> None:
        """Check the path. If the file is missing for `MOVE_AFTER_US`, continue in a new spool.

        Raises `SpoolGoneError` if it is missing for a shorter time.
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


def _ignore(error: RecordingError | OSError) -> None:
    """Ignore the error of a sync that ends after the spool was closed."""
