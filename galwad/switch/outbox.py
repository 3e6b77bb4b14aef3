"""Ends of calls that the desk's ledger must have, kept until the desk says that it has them.

In memory, and what waits longer than a moment in a file of the state folder too, so that neither a
desk that is away nor a switch that dies meanwhile makes an answered call unknown. A thread writes;
no call waits for it. While the desk is there, hardly anything is ever written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import msgspec
import structlog

from galwad.messages import CallEnded
from recording.files.atomic import write_whole

MOST: Final = 20_000
"""So many calls may wait; then the oldest are forgotten. A busy centre's long weekend."""
PATIENCE_S: Final = 1.0
"""What the desk enters within this is not written; what gathers is written at once."""
_MOST_BYTES: Final = 512 * MOST
log = structlog.get_logger()


class Outbox:
    """The calls that wait. One file; a line may be there twice, or of a call that is entered."""

    def __init__(self, path: Path, on_forgotten: Callable[[], None]) -> None:
        """Take up what an earlier life left; `on_forgotten`: there are too many (told once)."""
        self._path = path
        self._on_forgotten = on_forgotten
        self._told = self._silent = False
        self._waiting: dict[str, CallEnded] = {}
        self._unwritten: dict[str, CallEnded] = {}
        self._news = asyncio.Event()
        data = _read(path)
        self._written = len(data)
        """Bytes in the file."""
        for call in _calls_in(data):
            self._waiting[call.call_id] = call
        self._cut()
        if self._written and not self._waiting:
            self._news.set()

    def keep(self, ended: CallEnded) -> None:
        """A call is over, and the ledger must have it."""
        self._waiting[ended.call_id] = self._unwritten[ended.call_id] = ended
        self._cut()
        self._news.set()

    def entered(self, call_ids: Collection[str]) -> None:
        """The ledger has these."""
        for call_id in call_ids:
            self._waiting.pop(call_id, None)
            self._unwritten.pop(call_id, None)
        if self._written and not self._waiting:
            self._news.set()

    @property
    def waiting(self) -> tuple[CallEnded, ...]:
        """Every call that the ledger may not have, the oldest first."""
        return tuple(self._waiting.values())

    async def run(self) -> None:
        """Write what waits, and empty the file when nothing does, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PATIENCE_S)
            self._news.clear()
            if not await self._settle():
                self._news.set()

    async def _settle(self) -> bool:
        """Bring the file up to date; whether the disk took it."""
        fresh = tuple(self._unwritten.values())
        try:
            if not self._waiting or self._written > _MOST_BYTES:
                whole = _lines(self._waiting.values())
                if self._written or whole:
                    await asyncio.to_thread(write_whole, self._path, whole)
                self._written = len(whole)
            elif fresh:
                self._written += await asyncio.to_thread(_append, self._path, _lines(fresh))
        except OSError as error:
            self._refused(error)
            return False
        self._silent = False
        for call in fresh:
            if self._unwritten.get(call.call_id) is call:
                del self._unwritten[call.call_id]
        return True

    def close(self) -> None:
        """Hand what is not written to the kernel: the process ends, and the machine goes on."""
        try:
            if self._unwritten:
                _append(self._path, _lines(self._unwritten.values()), sync=False)
        except OSError as error:
            self._refused(error)

    def _refused(self, error: OSError) -> None:
        """Say once that the disk takes nothing; what waits stays in memory."""
        if not self._silent:
            self._silent = True
            log.error("outbox.not_written", reason=error.strerror)

    def _cut(self) -> None:
        """Forget the oldest of too many."""
        while len(self._waiting) > MOST:
            oldest = next(iter(self._waiting))
            self.entered((oldest,))
            if not self._told:
                self._told = True
                self._on_forgotten()


def _lines(calls: Collection[CallEnded]) -> bytes:
    """A line feed before each: what a crash cut short spoils no other."""
    return b"".join(b"\n" + msgspec.json.encode(call) for call in calls)


def _calls_in(data: bytes) -> list[CallEnded]:
    found = []
    for line in data.split(b"\n"):
        try:
            found.append(msgspec.json.decode(line, type=CallEnded))
        except msgspec.DecodeError:
            if line:
                log.warning("outbox.line_unreadable")
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        log.error("outbox.not_read", reason=error.strerror)  # noqa: TRY400 - it says what
        return b""


def _append(path: Path, lines: bytes, *, sync: bool = True) -> int:
    """How many bytes were added. What is refused leaves no part behind. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        before = os.fstat(descriptor).st_size
        view = memoryview(lines)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
            if sync:
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
    return len(lines)
