"""The disk under one call's recorder: whether it takes what is written, and when it does again.

Four things end a fault, each by itself: the file is written to and has room again; a sync
succeeds after one that failed; the file's disk stayed away, and the call goes on in a new file
on what lies in its place now; or the disk fails and goes on failing, and the call goes on in a new
file on another. A full disk is the same disk: nothing new is opened on it.
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
"""Bytes that must be free after a fault: enough for seconds, so that it does not come and go."""
AWAY_US: Final = 10_000_000
"""How long a spool may be gone, or its disk fail, before its call goes on in another; in µs.

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
        open_elsewhere: Callable[[], SpoolWriter] | None = None,
        synced: Path | None = None,
    ) -> None:
        """`open_spool` makes the next spool of the call; `failed` hears of a sync that failed.

        `open_elsewhere` makes it on another disk, once. `synced`: the folder whose spools
        somebody brings to the disk each second; None: all of them.
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
        """The spool; None while none could be opened."""
        return self.outbox.writer

    @property
    def synced_by_others(self) -> bool:
        """Whether the spool lies where somebody brings it to the disk."""
        writer = self.writer
        return writer is None or self._synced_folder in {None, writer.path.parent}

    def note(self, error: RecordingError | OSError) -> None:
        """Something went wrong."""
        self.error = error
        if isinstance(error, SpoolSyncError):
            self._synced = False
        if isinstance(error, SpoolGoneError):
            self._gone_since = self._now() if self._gone_since is None else self._gone_since
        elif has_failed(error) and self._failing_since is None:
            self._failing_since = self._now()

    def sync_succeeded(self) -> None:
        """What was written before reached the disk."""
        self._synced = True

    def keep_up(self) -> None:
        """Bring it to the disk, where nobody else does. Raises as `SpoolWriter` does."""
        if not self.synced_by_others and (self._probe is None or self._probe.done()):
            self._probe = self.sync_soon()

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
        """Whether the disk has failed for so long that the call goes on without it."""
        return self._open_elsewhere is not None and self._lasts(self._failing_since)

    def _lasts(self, since: int | None) -> bool:
        return since is not None and self._now() - since >= AWAY_US

    def _mind_the_place(self) -> None:
        """A spool that is gone takes nothing more; if it stays away, another goes on for it."""
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
