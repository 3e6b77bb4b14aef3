"""Events on their way into a spool: in order, and kept in memory while the disk refuses them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from recording.gate import FAILURES
from recording.spool_preamble import Preamble
from recording.spool_records import Field
from recording.spool_rescue import Behind
from recording.spool_writer import SpoolWriter

_MAX_WAITING = 10_000
"""Holds of a whole day's fault; only facts wait here, never media."""


class SpoolOutbox:
    """Owns the spool of one call, and opens it when the disk lets it.

    Attributes:
        writer: the spool; None while none could be opened.
    """

    def __init__(self, open_spool: Callable[[], SpoolWriter]) -> None:
        self.writer: SpoolWriter | None = None
        self._open_spool = open_spool
        self._preamble = Preamble()
        self._behind = Behind()
        self._waiting: deque[tuple[str, Mapping[str, Field], int]] = deque(maxlen=_MAX_WAITING)

    @property
    def waiting(self) -> bool:
        """Whether something was said that the kernel does not have yet."""
        return bool(self._waiting)

    def put(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Queue an event behind those that wait."""
        self._waiting.append((kind, fields, at_us))

    def drain(self) -> SpoolWriter:
        """Open the spool if need be and write what waits. Raises as `SpoolWriter` does."""
        if self.writer is None:
            self.writer = self._open_spool()
        while self._waiting:
            self.writer.event(*self._waiting[0])
            self._preamble.note(*self._waiting.popleft())
        return self.writer

    def move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        """Go on in a new spool, wherever that is made; the old one stays as it is.

        The new one first tells what the old one knows and still holds, so that it can be read
        alone; copies of those before it follow. Raises as `SpoolWriter` does; the old one is then
        still ours.
        """
        old, new = self.writer, (open_spool or self._open_spool)()
        try:
            for fact in self._preamble:
                new.event(*fact)
            if old is not None and not old.closed:
                self._behind.add(old.duplicate(), old.path.name)
                self._behind.bring(new.duplicate(), new.path.parent)
                new.event("goes-on", {"life": old.header.life, "after": old.last_index}, 0)
                new.take_on(old.hand_on())
        except FAILURES:
            new.withdraw()
            raise
        self.writer = new

    def erase_back_to(self, at_us: int) -> None:
        """Make what arrived at or after `at_us` unreadable."""
        if self.writer is not None and not self.writer.closed:
            self.writer.erase_back_to(at_us)

    def sync_soon(self) -> "asyncio.Future[None] | None":
        """Bring it all to the disk in a thread; None when there is nothing that could be."""
        if self.writer is None or self.writer.closed or self._waiting:
            return None
        job, threads = self.writer.sync_job(), self.writer.threads
        return asyncio.get_running_loop().run_in_executor(threads, job)

    def close(self, at_us: int) -> None:
        """Close the spool properly, unless facts are missing from it: then it is interrupted.

        If the disk hangs, that is done when it goes on; nothing else may be asked of us any more.
        """
        self._behind.close()
        writer = self.writer
        if writer is None:
            return
        if writer.hangs:
            writer.when_it_goes_on(lambda: self._end(writer, at_us))
        else:
            self._end(writer, at_us)

    def _end(self, writer: SpoolWriter, at_us: int) -> None:
        try:
            self.drain()
        except Exception:
            writer.abandon()
            raise
        writer.close(at_us)
