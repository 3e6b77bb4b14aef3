"""The outbox of one call's spool: stores events in memory while they cannot be written to the disk.

When the disk works again, it writes them to the spool, the oldest first. Packets never wait here.
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
"""The most events in memory: enough for all pauses in one day without a working disk.

Above it, the oldest event whose kind is not in `_NEVER_DROPPED` is dropped.
"""
_MOST_IN_ONE_WRITE = 100
"""In events. After a long fault, a disk with little space can thus take a part of them."""
_NEVER_DROPPED = frozenset({"call", "caller", "answered"})
"""A recording gets its callers, its advisor and its beginning from these kinds of events."""


class SpoolOutbox:
    """Opens the spool of one call as soon as the disk works, and writes the call's events to it.

    The `writer` is None until then.
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
        """Add an event after the waiting events."""
        self._waiting.append((kind, fields, at_us))
        if len(self._waiting) > _MAX_WAITING:
            kinds = (waiting for waiting, _, _ in self._waiting)
            oldest = next((i for i, each in enumerate(kinds) if each not in _NEVER_DROPPED), 0)
            del self._waiting[oldest]

    def drain(self) -> SpoolWriter:
        """Open the spool if necessary, write the waiting events, and return the writer.

        Raises the errors of `SpoolWriter`; then what was not written continues to wait.
        """
        writer = self._opened()
        if self._waiting:
            self._write_last(writer, writer.events)
        return writer

    def tick(self, now_us: int) -> SpoolWriter:
        """Write the waiting events, as `drain` does, together with `SpoolWriter.tick`."""
        writer = self._opened()
        self._write_last(writer, partial(writer.tick, now_us))
        return writer

    def _opened(self) -> SpoolWriter:
        if self.writer is None:
            self.writer = self._open_spool()
        return self.writer

    def _write_last(self, writer: SpoolWriter, write: Callable[[Sequence[Event]], None]) -> None:
        while len(self._waiting) > _MOST_IN_ONE_WRITE:
            self._write(writer.events)
        self._write(write)

    def _write(self, write: Callable[[Sequence[Event]], None]) -> None:
        """Give the oldest waiting events to `write`; they wait no more if it succeeds."""
        events = tuple(islice(self._waiting, _MOST_IN_ONE_WRITE))
        write(events)
        for event in events:
            self._waiting.popleft()
            self._preamble.note(*event)

    def move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        """Continue the call in a new spool. The file of the old spool is not changed.

        The new spool begins with copies of some events, such as those about the caller and the
        present pause holders, so it can be read even if the old spool is lost. A thread copies the
        earlier spools into its folder. If the new spool cannot be written, the call continues in
        the old one, and the error from `SpoolWriter` is raised. Without `open_spool`, the new spool
        is made like the first one.
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
        """Erase the packets from `at_us` on, as far as `SpoolWriter.erase_back_to` can."""
        if self.writer is not None and not self.writer.closed:
            self.writer.erase_back_to(at_us)

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Start a sync of the spool in a thread and return its future.

        None if no spool is open, or if events still wait. Raises as `SpoolWriter.sync_job`.
        """
        if self.writer is None or self.writer.closed or self._waiting:
            return None
        job, threads = self.writer.sync_job(), self.writer.threads
        return asyncio.get_running_loop().run_in_executor(threads, job)

    def close(self, at_us: int) -> None:
        """Write the waiting events and close the spool with an END frame, at the call's end.

        If the events cannot be written, there is no END frame, so that `SpoolReader` reports the
        spool as interrupted. On a hanging disk, this happens when the disk works again.
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
        """Remove the spool; on a hanging disk, when it works again."""
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
