"""The outbox of one call's spool: stores events in memory while they cannot be written to the disk.

When the disk works again, it writes them to the spool, the oldest first. Packets never wait here.
"""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from recording.files.atomic import sync_folder, write_all
from recording.spool.format import Event, Field
from recording.spool.gate import FAILURES
from recording.spool.writer import SpoolWriter

_PIECE: Final = 1 << 20
_LEAVE: Final = 2
"""The free space that a copy needs on the disk, as a multiple of the spool's size.

So at least half of the free space remains for the spools of live calls.
"""
_thread = ThreadPoolExecutor(1, thread_name_prefix="spool-rescue")
_GAP = ("gap-start", None)
_MAX_WAITING = 10_000
"""The most events in memory: enough for all pauses in one day without a working disk.

Above it, the oldest event whose kind is not in `_NEVER_DROPPED` is dropped.
"""
_MOST_IN_ONE_WRITE = 100
"""The most events in one write, so that a disk with little space can take some of them."""
_NEVER_DROPPED = frozenset({"call", "caller", "answered"})
"""A recording gets its callers, its advisor and its beginning from these kinds of events."""


class EarlierSpools:
    """The open files of a call's earlier spools, whose disk is gone or has failed.

    If the disk was unmounted, or another disk was mounted on the same folder, the open files can
    still be read, but not opened again by their paths. So they are copied into the folder of the
    call's current spool.
    """

    def __init__(self) -> None:
        self._spools: list[tuple[int, str]] = []

    def add(self, fd: int, name: str) -> None:
        """Add an earlier spool. `close` will close its descriptor `fd`."""
        self._spools.append((fd, name))

    def copy_to(self, beside: int, folder: Path) -> None:
        """Let a thread copy the earlier spools into `folder`, one after another.

        An incomplete copy is removed. `beside` is a descriptor of the current spool, which the
        caller must not close. It keeps the current spool locked until all spools are copied, so
        that the finaliser does not seal the call too early. Raises `OSError` if there are too few
        descriptors; then no spool is copied.
        """
        spools: list[tuple[int, str]] = []
        try:
            for fd, name in self._spools:
                spools.append((os.dup(fd), name))
        except OSError:
            for fd in (*(fd for fd, _ in spools), beside):
                os.close(fd)
            raise
        _thread.submit(_copy_all, spools, beside, folder)

    def close(self) -> None:
        """Close the descriptors of the earlier spools, at the end of the call."""
        for fd, _ in self._spools:
            os.close(fd)
        self._spools.clear()


def _copy_all(spools: list[tuple[int, str]], beside: int, folder: Path) -> None:
    for fd, name in spools:
        with contextlib.suppress(OSError):
            _copy_spool(fd, beside, folder / name)
        os.close(fd)
    os.close(beside)


def _copy_spool(fd: int, beside: int, path: Path) -> None:
    disk = os.fstatvfs(beside)
    too_big = os.fstat(fd).st_size * _LEAVE > disk.f_bavail * disk.f_frsize
    if too_big or path.exists():
        return
    hidden = path.with_name(f".{path.name}.new")
    try:
        _copy(fd, hidden)
        os.link(hidden, path)
        sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def _copy(old: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        at = 0
        while piece := os.pread(old, _PIECE, at):
            write_all(fd, piece)
            at += len(piece)
        os.fsync(fd)
    finally:
        os.close(fd)


class Preamble:
    """The events with which the next spool of a call must begin: those that still apply.

    The new spool (`SpoolOutbox.move`) must be readable even if the old spool is lost. If the old
    spool is not lost, these events are read twice. This makes no difference.
    """

    def __init__(self) -> None:
        self._facts: dict[tuple[str, Field], Event] = {}

    def note(self, kind: str, fields: Mapping[str, Field], at_us: int) -> None:
        """Add an event that was written to the spool. Remove events that it ends or replaces."""
        fact = kind, fields, at_us
        match kind:
            case "call":
                self._facts[kind, None] = fact
            case "caller":
                self._facts[kind, at_us] = fact
            case "answered":
                self._facts.setdefault((kind, None), fact)
            case "media":
                self._facts[kind, fields.get("track")] = fact
            case "holder":
                self._facts[kind, fields.get("holder")] = fact
            case "release":
                self._facts.pop(("holder", fields.get("holder")), None)
            case "gap-start":
                self._facts.pop(_GAP, None)
                self._facts[_GAP] = fact
            case "gap-end" | "segment":
                self._facts.pop(_GAP, None)

    def __iter__(self) -> Iterator[Event]:
        yield from list(self._facts.values())


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

        Raises the errors of `SpoolWriter`. Then the events that were not written continue to wait.
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
        """Give the oldest waiting events to `write`. If it succeeds, they no longer wait."""
        events = tuple(islice(self._waiting, _MOST_IN_ONE_WRITE))
        write(events)
        for event in events:
            self._waiting.popleft()
            self._preamble.note(*event)

    def move(self, open_spool: Callable[[], SpoolWriter] | None = None) -> None:
        """Continue the call in a new spool. The file of the old spool is not changed.

        The new spool begins with copies of the events that still apply (`Preamble`). A thread
        copies the earlier spools into the folder of the new spool. If the new spool cannot be
        written, the call continues in the old spool, and the error from `SpoolWriter` is raised.
        Without `open_spool`, the new spool is made like the first one.
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

        None if no spool is open, or if events still wait. Raises `OSError`. The future raises
        `SpoolSyncError` if the sync fails.
        """
        if self.writer is None or self.writer.closed or self._waiting:
            return None
        job, threads = self.writer.sync_job(), self.writer.threads
        return asyncio.get_running_loop().run_in_executor(threads, job)

    def close(self, at_us: int) -> None:
        """Write the waiting events and close the spool with an END frame.

        If the events cannot be written, there is no END frame, so that `SpoolReader` reports the
        spool as interrupted. On a hanging disk, the spool is closed when the disk works again.
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
        """Remove the newest spool. If the disk hangs, this happens when it works again."""
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
