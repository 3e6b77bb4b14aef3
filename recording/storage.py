"""The disk under one call's recorder: whether it takes what is written, and when it does again.

Three things end a fault, each by itself: the file is written to and has room again; a sync
succeeds after one that failed; or the file's disk stayed away, and the call goes on in a new file
on what lies in its place now. A full disk is the same disk: nothing new is opened on it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from recording.errors import RecordingError, SpoolGoneError, SpoolSyncError
from recording.gate import FAILURES
from recording.spool_outbox import SpoolOutbox
from recording.spool_writer import SpoolWriter

ROOM_TO_RESUME: Final = 64 * 1024
"""Bytes that must be free after a fault: enough for seconds, so that it does not come and go."""
AWAY_US: Final = 10_000_000
"""How long a spool may be gone before its call goes on in another, in microseconds.

A disk that is mounted anew, with a check of its journal, is back within seconds, and hides what
was written below its mount point meanwhile; longer than this, and what is said counts for more.
"""


class Storage:
    """Owns the spool of one call. All methods belong to the loop's thread, and none waits.

    Attributes:
        outbox: the events on their way into the spool.
        error: the last that went wrong, or None.
    """

    def __init__(
        self,
        open_spool: Callable[[], SpoolWriter],
        now: Callable[[], int],
        failed: Callable[[RecordingError | OSError], None],
    ) -> None:
        """`open_spool` makes the next spool of the call; `failed` hears of a sync that failed."""
        self.outbox = SpoolOutbox(open_spool)
        self.error: RecordingError | OSError | None = None
        self._now = now
        self._failed = failed
        self._synced = True
        self._probe: asyncio.Future[None] | None = None
        self._gone_since: int | None = None

    @property
    def writer(self) -> SpoolWriter | None:
        """The spool; None while none could be opened."""
        return self.outbox.writer

    def note(self, error: RecordingError | OSError) -> None:
        """Something went wrong."""
        self.error = error
        if isinstance(error, SpoolSyncError):
            self._synced = False
        if isinstance(error, SpoolGoneError) and self._gone_since is None:
            self._gone_since = self._now()

    def sync_succeeded(self) -> None:
        """What was written before reached the disk."""
        self._synced = True

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Bring the spool to the disk in a thread; None when it cannot be.

        `failed` hears of it if that fails. Raises as `SpoolWriter` does.
        """
        job, writer = self.outbox.sync_soon(), self.writer

        def done(job: "asyncio.Future[None]") -> None:
            if writer is self.writer:
                self._sync_done(job)

        if job is not None:
            job.add_done_callback(done)
        return job

    def works_again(self) -> bool:
        """After a fault: write what waits, and say whether the fault is over.

        Raises `FAILURES` while the disk refuses.
        """
        self._mind_the_place()
        writer = self.outbox.drain()
        if not self._synced:
            self._try_sync()
            return False
        if writer.room < ROOM_TO_RESUME:
            return False
        writer.event("fault", {"why": "over"}, self._now())
        return True

    def _mind_the_place(self) -> None:
        """A spool that is gone takes nothing more; if it stays away, another goes on for it."""
        if self.writer is None:
            return
        try:
            self.writer.check_place()
        except SpoolGoneError as error:
            self.note(error)
            if self._gone_since is None or self._now() - self._gone_since < AWAY_US:
                raise
            self.outbox.move()
            self._synced, self._probe = True, None
        self._gone_since = None

    def _try_sync(self) -> None:
        """After a failed sync, only one that succeeds ends the fault."""
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
