"""The outbox of one call's spool: stores events in memory while they cannot be written to the disk.

When the disk works again, the outbox writes these events to the spool, the oldest event first.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice

from recording.spool.gate import FAILURES
from recording.spool.preamble import Preamble
from recording.spool.records import Event, Field
from recording.spool.rescue import EarlierSpools
from recording.spool.writer import SpoolWriter

_MAX_WAITING = 10_000
"""The maximum number of events that wait in memory.

10,000 events are enough for all pauses in one day without a working disk. If there are more events,
the oldest event whose kind is not in `_NEVER_DROPPED` is dropped. Packets never wait in the outbox.
"""
_MOST_IN_ONE_WRITE = 100
"""The maximum number of events in one write.

After a long fault, a disk with little space can thus take a part of the events.
"""
_NEVER_DROPPED = frozenset({"call", "caller", "answered"})
"""The kinds of events that stay if there are too many waiting events.

A recording gets its callers, its advisor and its beginning from these events.
"""


class SpoolOutbox:
    """Opens the spool of one call as soon as the disk works, and writes the call's events to it.

    Attributes:
        writer: The writer of the spool; None until a spool was opened.
    """

    def __init__(self, open_spool: Callable[[], SpoolWriter]) -> None:
        self.writer: SpoolWriter | None = None
        self._open_spool = open_spool
        self._preamble = Preamble()
        self._earlier = EarlierSpools()
        self._waiting: deque[Event] = deque()

    @property
    def waiting(self) -> bool:
        """True if there are events that are not written to the spool yet."""
        return bool(self._waiting)

    def put(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Add an event after the waiting events. `drain` will write all waiting events."""
        self._waiting.append((kind, fields, at_us))
        if len(self._waiting) > _MAX_WAITING:
            kinds = (waiting for waiting, _, _ in self._waiting)
            oldest = next((i for i, each in enumerate(kinds) if each not in _NEVER_DROPPED), 0)
            del self._waiting[oldest]

    def drain(self) -> SpoolWriter:
        """Write the waiting events to the spool, and return the spool's writer.

        If the spool is not open yet, it is opened first. If the disk does not work, an error of
        `SpoolWriter` is raised, and the events that were not written continue to wait.
        """
        writer = self._opened()
        if self._waiting:
            self._write_last(writer, writer.events)
        return writer

    def tick(self, now_us: int) -> SpoolWriter:
        """Write the waiting events and packets and the keys that are due; return the writer.

        A spool that is not open yet is opened first. `now_us` and the errors are those of
        `SpoolWriter.tick`; after an error, the events continue to wait.
        """
        writer = self._opened()
        self._write_last(writer, partial(writer.tick, now_us))
        return writer

    def _opened(self) -> SpoolWriter:
        if self.writer is None:
            self.writer = self._open_spool()
        return self.writer

    def _write_last(self, writer: SpoolWriter, write: Callable[[Sequence[Event]], None]) -> None:
        """Write the waiting events: the last of them with `write`, those before with `events`."""
        while len(self._waiting) > _MOST_IN_ONE_WRITE:
            self._write(writer.events)
        self._write(write)

    def _write(self, write: Callable[[Sequence[Event]], None]) -> None:
        """Give the oldest waiting events to `write`; they do not wait any more if it succeeds."""
        events = tuple(islice(self._waiting, _MOST_IN_ONE_WRITE))
        write(events)
        for event in events:
            self._waiting.popleft()
            self._preamble.note(*event)

    def move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        """Continue the call in a new spool. The file of the old spool is not changed.

        The new spool begins with copies of some events, such as those about the caller and the
        present pause holders. So the new spool can be read even if the old spool is lost. A thread
        copies the call's earlier spools into the folder of the new spool. If the new spool cannot
        be written, the call continues in the old spool, and the error from `SpoolWriter` is raised.

        Args:
            open_spool: The function that makes the new spool. If None, the function that made the
                call's first spool is used.
        """
        old, new = self.writer, (open_spool or self._open_spool)()
        try:
            new.events(tuple(self._preamble))
            if old is not None and not old.closed:
                self._earlier.add(old.duplicate(), old.path.name)
                self._earlier.copy_to(new.duplicate(), new.path.parent)
                new.event("goes-on", {"life": old.header.life, "after": old.last_index}, 0)
                new.adopt_open_frame(old.detach_open_frame())
        except FAILURES:
            new.discard()
            raise
        if old is not None:
            new.counts = old.counts
        self.writer = new

    def erase_back_to(self, at_us: int) -> None:
        """Make packets unreadable that arrived at the time `at_us` or later.

        `at_us` is in microseconds since the spool's start. `SpoolWriter.erase_back_to` describes
        which packets can still be erased.
        """
        if self.writer is not None and not self.writer.closed:
            self.writer.erase_back_to(at_us)

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Start a sync of the spool in a thread and return the future of the sync.

        Return None if no spool is open, or if events still wait to be written. This method raises
        the errors of `SpoolWriter.sync_job`.
        """
        if self.writer is None or self.writer.closed or self._waiting:
            return None
        job, threads = self.writer.sync_job(), self.writer.threads
        return asyncio.get_running_loop().run_in_executor(threads, job)

    def close(self, at_us: int) -> None:
        """Write the waiting events and close the spool with an END frame.

        If the events cannot be written, no END frame is written, so that `SpoolReader` reports the
        spool as interrupted. If the disk hangs, the spool is closed as soon as the disk works
        again. After `close`, do not call any method. `at_us` is the time of the call's end, in
        microseconds since the spool's start.
        """
        self._earlier.close()
        writer = self.writer
        if writer is None:
            return
        if writer.is_hanging:
            writer.run_when_disk_recovers(lambda: self._end(writer, at_us))
        else:
            self._end(writer, at_us)

    def discard(self) -> None:
        """Remove the spool. If the disk hangs, it is removed as soon as the disk works again.

        After `discard`, do not call any method.
        """
        self._earlier.close()
        writer = self.writer
        if writer is not None and writer.is_hanging:
            writer.run_when_disk_recovers(writer.discard)
        elif writer is not None:
            writer.discard()

    def _end(self, writer: SpoolWriter, at_us: int) -> None:
        try:
            self._write_last(writer, partial(writer.close, at_us))
        except Exception:
            writer.abandon()
            raise
