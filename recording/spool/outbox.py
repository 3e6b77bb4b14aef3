"""The outbox of one call's spool: keeps events in order in memory while the disk refuses them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from recording.spool.gate import FAILURES
from recording.spool.preamble import Preamble
from recording.spool.records import Field
from recording.spool.rescue import EarlierSpools
from recording.spool.writer import SpoolWriter

_MAX_WAITING = 10_000
"""The most events that wait: enough for the pauses of a fault that lasts a day.

Above this number the oldest are dropped, except for `_NEVER_DROPPED`. Only events wait here, never
packets.
"""
_NEVER_DROPPED = frozenset({"call", "answered"})
"""The events without which the recording has no caller, no advisor or no beginning."""


class SpoolOutbox:
    """Owns the spool of one call, and opens it as soon as the disk permits.

    Attributes:
        writer: The spool; None until one could be opened.
    """

    def __init__(self, open_spool: Callable[[], SpoolWriter]) -> None:
        self.writer: SpoolWriter | None = None
        self._open_spool = open_spool
        self._preamble = Preamble()
        self._earlier = EarlierSpools()
        self._waiting: deque[tuple[str, Mapping[str, Field], int]] = deque()

    @property
    def waiting(self) -> bool:
        """True if there are events that the kernel does not have yet."""
        return bool(self._waiting)

    def put(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Queue an event behind the waiting ones; `drain` writes it."""
        self._waiting.append((kind, fields, at_us))
        if len(self._waiting) > _MAX_WAITING:
            kinds = (waiting for waiting, _, _ in self._waiting)
            oldest = next((i for i, each in enumerate(kinds) if each not in _NEVER_DROPPED), 0)
            del self._waiting[oldest]

    def drain(self) -> SpoolWriter:
        """Open the spool if it is not open yet, and write the waiting events.

        Returns the spool. Raises as `SpoolWriter` does; events that were not written still wait.
        """
        if self.writer is None:
            self.writer = self._open_spool()
        while self._waiting:
            self.writer.event(*self._waiting[0])
            self._preamble.note(*self._waiting.popleft())
        return self.writer

    def move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        """Continue in a new spool and leave the old file as it is.

        The new spool begins with the facts from the old one that still apply, so that it can be
        read alone. A thread copies the earlier spools into the new one's folder. Raises as
        `SpoolWriter` does; the old spool is then still in use.

        Args:
            open_spool: Makes the new spool; None means the function that made the first one.
        """
        old, new = self.writer, (open_spool or self._open_spool)()
        try:
            for fact in self._preamble:
                new.event(*fact)
            if old is not None and not old.closed:
                self._earlier.add(old.duplicate(), old.path.name)
                self._earlier.copy_to(new.duplicate(), new.path.parent)
                new.event("goes-on", {"life": old.header.life, "after": old.last_index}, 0)
                new.adopt_open_frame(old.detach_open_frame())
        except FAILURES:
            new.discard()
            raise
        self.writer = new

    def erase_back_to(self, at_us: int) -> None:
        """Make packets from `at_us` on unreadable (`SpoolWriter.erase_back_to`)."""
        if self.writer is not None and not self.writer.closed:
            self.writer.erase_back_to(at_us)

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Start a sync of the spool in a thread and return its future.

        Returns None if there is no open spool, or if events still wait. Raises as `SpoolWriter`
        does.
        """
        if self.writer is None or self.writer.closed or self._waiting:
            return None
        job, threads = self.writer.sync_job(), self.writer.threads
        return asyncio.get_running_loop().run_in_executor(threads, job)

    def close(self, at_us: int) -> None:
        """Write the waiting events and close the spool with END.

        If the events cannot be written, the spool stays without END, as interrupted. If the disk
        hangs, all this is done when it answers again. Use no other method after this one.
        """
        self._earlier.close()
        writer = self.writer
        if writer is None:
            return
        if writer.is_hanging:
            writer.run_when_disk_recovers(lambda: self._end(writer, at_us))
        else:
            self._end(writer, at_us)

    def _end(self, writer: SpoolWriter, at_us: int) -> None:
        try:
            self.drain()
        except Exception:
            writer.abandon()
            raise
        writer.close(at_us)
