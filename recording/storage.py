"""The disk under one call's recorder: whether it takes writes, and when a fault is over.

A fault ends in one of four ways:

- The file takes writes and has room again.
- A sync succeeds after one that failed.
- The file's disk stayed away, and the call continues in a new file on what is mounted there now.
- The disk goes on failing, and the call continues in a new file on another disk.

A full disk is still the same disk: no new file is opened on it.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from recording.errors import RecordingError, SpoolGoneError, SpoolSyncError, has_failed
from recording.gate import FAILURES
from recording.spool_outbox import SpoolOutbox
from recording.spool_writer import SpoolWriter

ROOM_TO_RESUME: Final = 64 * 1024
"""Free bytes required to end a fault. They last for seconds, so that the fault does not flap."""
AWAY_US: Final = 10_000_000
"""Time (µs) for which a spool may be gone, or its disk fail, until the call uses a new spool.

A disk that is mounted again, with a check of its journal, is back within seconds, and then hides
what was written below its mount point. After this time it matters more to record what is said.
"""


class Storage:
    """Owns the spool of one call. Call every method in the loop's thread; none of them waits.

    Attributes:
        outbox: The events on their way into the spool.
        error: The last error, or None.
    """

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        now: Callable[[], int],
        failed: Callable[[RecordingError | OSError], None],
        open_elsewhere: Callable[[], SpoolWriter] | None = None,
        synced: Path | None = None,
    ) -> None:
        """Prepare to open the spool.

        Args:
            open_spool: Makes the call's next spool.
            now: Returns microseconds since the recording's start.
            failed: Receives the error of a failed sync.
            open_elsewhere: Makes a spool on another disk; used once. None: there is no other disk.
            synced: The folder whose spools another thread syncs each second; None: all of them.
        """
        self.outbox = SpoolOutbox(open_spool)
        self.error: RecordingError | OSError | None = None
        self._now = now
        self._failed = failed
        self._synced = True
        self._probe: asyncio.Future[None] | None = None
        self._gone_since: int | None = None
        self._failing_since: int | None = None
        self._open_elsewhere = open_elsewhere
        self._synced_folder = synced

    @property
    def writer(self) -> SpoolWriter | None:
        """The spool; None until one could be opened."""
        return self.outbox.writer

    @property
    def synced_by_others(self) -> bool:
        """True if another thread syncs the spool's folder."""
        writer = self.writer
        return writer is None or self._synced_folder in {None, writer.path.parent}

    def note(self, error: RecordingError | OSError) -> None:
        """Record an error, and since when the spool is gone or its disk fails."""
        self.error = error
        if isinstance(error, SpoolSyncError):
            self._synced = False
        if isinstance(error, SpoolGoneError):
            self._gone_since = self._now() if self._gone_since is None else self._gone_since
        elif has_failed(error) and self._failing_since is None:
            self._failing_since = self._now()

    def sync_succeeded(self) -> None:
        """Record that earlier writes have reached the disk."""
        self._synced = True

    def keep_up(self) -> None:
        """Sync the spool if no other thread does. Raises as `SpoolWriter` does."""
        if not self.synced_by_others and (self._probe is None or self._probe.done()):
            self._probe = self.sync_soon()

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Sync the spool in a thread; return None when there is nothing that can be synced.

        `failed` receives the error if the sync fails. Raises as `SpoolWriter` does.
        """
        job, writer = self.outbox.sync_soon(), self.writer

        def done(job: "asyncio.Future[None]") -> None:
            if writer is self.writer:
                self._sync_done(job)

        if job is not None:
            job.add_done_callback(done)
        return job

    def works_again(self) -> bool:
        """Write the events that wait after a fault; return whether the fault is over.

        Raises `FAILURES` while the disk refuses.
        """
        try:
            self._mind_the_place()
            works = self._takes_writes()
        except SpoolGoneError:
            raise
        except FAILURES as error:
            self.note(error)
            if not self._has_to_leave:
                raise
            works = False
        if works or not self._has_to_leave:
            return works
        self._move(self._open_elsewhere)
        self._open_elsewhere = None
        return self._takes_writes()

    def _takes_writes(self) -> bool:
        writer = self.outbox.drain()
        if not self._synced:
            self._try_sync()
            return False
        if writer.room < ROOM_TO_RESUME:
            return False
        writer.event("fault", {"why": "over"}, self._now())
        self._failing_since = None
        return True

    @property
    def _has_to_leave(self) -> bool:
        """True if the disk has failed for so long that the call must continue on another disk."""
        return self._open_elsewhere is not None and self._lasts(self._failing_since)

    def _lasts(self, since: int | None) -> bool:
        return since is not None and self._now() - since >= AWAY_US

    def _mind_the_place(self) -> None:
        """Check that the spool is in its place; move to a new spool if it stays away.

        Raises:
            SpoolGoneError: The spool is gone, but not yet for `AWAY_US`.
        """
        if self.writer is None:
            return
        try:
            self.writer.check_place()
        except SpoolGoneError as error:
            self.note(error)
            if not self._lasts(self._gone_since):
                raise
            self._move()
        self._gone_since = None

    def _move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        self.outbox.move(open_spool)
        self._synced, self._probe = True, None
        self._failing_since = None

    def _try_sync(self) -> None:
        """Start a sync: after one has failed, only one that succeeds ends the fault."""
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
