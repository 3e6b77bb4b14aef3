"""Two files of JSON lines in the switch's state folder: live dialogs, and ended calls.

`dialogs.jsonl` has the dialogs of the answered calls. A reboot destroys the checkpoints, so the
calls cannot continue. The next switch then ends the dialogs with BYEs, because the parties would
otherwise wait in silence. The file contains phone numbers, but no session descriptions and no keys.
A call that was answered less than about `PATIENCE_S` before a power cut may be missing.

`LedgerOutbox` keeps ended calls in memory until the desk confirms that its ledger has them. A call
that waits longer than about a second is also written to a file, in case the switch dies while the
desk does not run.

A line feed precedes each line. So a line is readable even if a crash interrupted the writing of the
line before it. Daemon threads write the files, so that a disk that hangs does not delay the calls,
and delays the end of the process only by about `_CLOSE_S` for each file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Container, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog

from galwad.messages import CallEnded
from recording.files.atomic import write_atomic

T = TypeVar("T")
log = structlog.get_logger()
PATIENCE_S: Final = 1.0
"""The time in seconds for which changes are collected before they are written to the file."""
_CLOSE_S = 1.0
"""The longest time in seconds for which the ending process waits for a write to the disk."""


class AppendedFile(ABC):
    """A file that follows a set of calls in memory.

    All changes of about a second are written together.
    """

    def __init__(self, path: Path, fault: str) -> None:
        """`fault` is the event that is logged at the first of several disk errors in a row."""
        self._path = path
        self._fault = fault
        self.fault_reported = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Write the changes to the file, until this method's task is cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PATIENCE_S)
            self._news.clear()
            if not await self.write():
                self._news.set()

    @abstractmethod
    async def write(self) -> bool:
        """Write the changes; return False after a disk error."""

    def _refused(self, error: OSError) -> None:
        if not self.fault_reported:
            self.fault_reported = True
            log.error(self._fault, reason=error.strerror)


async def write_later(job: Callable[[], T]) -> T:
    """Run `job` in a daemon thread, and return its result or raise its error."""
    return await asyncio.wrap_future(_start(job))


def write_at_end(job: Callable[[], object]) -> None:
    """At the end of the process, run `job` in a daemon thread and wait for it. Raise its error.

    Raises `TimeoutError` if `job` is not finished after `_CLOSE_S` seconds.
    """
    try:
        _start(job).result(_CLOSE_S)
    except TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, "the disk does not answer") from None


def _start(job: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def work() -> None:
        # The awaiting task may have been cancelled, and its event loop closed.
        with contextlib.suppress(InvalidStateError, RuntimeError):
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - raised again where the result is awaited
                future.set_exception(error)
            else:
                future.set_result(result)

    threading.Thread(target=work, name="state-file", daemon=True).start()
    return future


def lines_of(values: Iterable[msgspec.Struct]) -> bytes:
    """Return one line of JSON for each value, with a line feed before each line."""
    return b"".join(b"\n" + msgspec.json.encode(value) for value in values)


def read_file(path: Path) -> bytes:
    """Return the content of the file; empty if there is no file, or if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        log.error("outbox.not_read", file=path.name, reason=error.strerror)  # noqa: TRY400 - no traceback needed
        return b""


def append(path: Path, lines: bytes, *, mode: int = 0o640, sync: bool = True) -> int:
    """Append lines to the file, and return the number of bytes; raise OSError if that fails.

    After an error, the file is cut back to its earlier length. If `sync` is false, the file is not
    synced to the disk.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
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


_LARGE_BYTES: Final = 64 * 1024
"""The size in bytes above which `dialogs.jsonl` is rewritten without the calls that have ended.

The file must also have become twice as large as it was after the previous rewriting.
"""
_MODE: Final = 0o600
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class LastingCall(msgspec.Struct, frozen=True, kw_only=True):
    """One answered call in the file. A call without dialogs has ended."""

    call_id: str
    answered_at: float = 0.0
    """The time of the answer in Unix seconds."""
    recorded: bool = False
    dialogs: tuple[dict[str, Any], ...] = ()
    """The dialog of each leg, as `Dialog.checkpoint` returned it."""


class _Leg(msgspec.Struct):
    dialog: dict[str, Any]


class _Legs(msgspec.Struct):
    legs: tuple[_Leg, ...] = ()


class LastingDialogs(AppendedFile):
    """The answered calls, and the file in which they are stored."""

    def __init__(self, path: Path) -> None:
        """Load the calls of an earlier process from the file `path`."""
        super().__init__(path, "dialogs.not_written")
        self._calls: dict[str, LastingCall] = {}
        """The answered calls that have not ended."""
        self._changed: dict[str, None] = {}
        """The ids of the calls whose change is not in the file yet, in order of the change."""
        data = read_file(path)
        self._size = self._whole_size = len(data)
        for call in _calls_in(data):
            if call.dialogs:
                self._calls[call.call_id] = call
            else:
                self._calls.pop(call.call_id, None)
        if self._size and not self._calls:
            self._news.set()

    def keep(self, call_id: str, legs: msgspec.Raw, *, answered_at: float, recorded: bool) -> None:
        """Store an answered call's dialogs if they changed. `legs` is as in `Checkpoint.legs`."""
        dialogs = _dialogs_in(legs)
        if not dialogs:
            return
        call = LastingCall(
            call_id=call_id, answered_at=answered_at, recorded=recorded, dialogs=dialogs
        )
        if self._calls.get(call_id) != call:
            self._calls[call_id] = call
            self._changed[call_id] = None
            self._news.set()

    def remove(self, call_id: str) -> None:
        """Remove a call that has ended."""
        if self._calls.pop(call_id, None) is not None:
            self._changed[call_id] = None
            self._news.set()

    def find(self, call_id: str) -> LastingCall | None:
        """Return the stored call with this id; None if there is no such call."""
        return self._calls.get(call_id)

    def lost(self, live: Container[str]) -> tuple[LastingCall, ...]:
        """Return the stored calls whose ids are not in `live`."""
        return tuple(call for call_id, call in self._calls.items() if call_id not in live)

    async def write(self) -> bool:
        """Write the dialogs that changed; return False after a disk error."""
        changed, self._changed = self._changed, {}
        lines = self._lines_of(changed)
        is_large = self._size + len(lines) > max(_LARGE_BYTES, 2 * self._whole_size)
        try:
            if is_large or not self._calls:
                lines = lines_of(self._calls.values())
                if self._size or lines:
                    await write_later(partial(write_atomic, self._path, lines, _MODE))
                self._size = self._whole_size = len(lines)
            elif lines:
                self._size += await write_later(partial(append, self._path, lines, mode=_MODE))
        except OSError as error:
            self._changed = changed | self._changed
            self._refused(error)
            return False
        self.fault_reported = False
        return True

    def close(self) -> None:
        """Write the last changes, at the end of the process. If no call is left, empty the file.

        The file is not synced to the disk, because written data is not lost when the process ends.
        """
        try:
            if not self._calls:
                if self._size:
                    write_at_end(partial(os.truncate, self._path, 0))
            elif self._changed:
                lines = self._lines_of(self._changed)
                write_at_end(partial(append, self._path, lines, mode=_MODE, sync=False))
        except OSError as error:
            self._refused(error)

    def _lines_of(self, call_ids: dict[str, None]) -> bytes:
        calls = (self._calls.get(each) or LastingCall(call_id=each) for each in call_ids)
        return lines_of(calls)


def _dialogs_in(legs: msgspec.Raw) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(leg.dialog for leg in msgspec.json.decode(legs, type=_Legs).legs)
    except _UNREADABLE:
        return ()


def _calls_in(data: bytes) -> Iterator[LastingCall]:
    for line in data.split(b"\n"):
        try:
            yield msgspec.json.decode(line, type=LastingCall)
        except _UNREADABLE:
            if line:
                log.warning("dialogs.line_unreadable")


MAX_WAITING: Final = 20_000
"""The maximum number of calls that wait for the desk. Above it, the oldest calls are dropped.

This is enough for a long weekend of a busy centre.
"""
_MAX_FILE_BYTES: Final = 512 * MAX_WAITING


class LedgerOutbox(AppendedFile):
    """The ended calls that wait for the desk's confirmation, and the file with these calls.

    The file can contain a call twice, or a call that the desk has already confirmed. This does no
    harm.
    """

    def __init__(self, path: Path, on_dropped: Callable[[], None]) -> None:
        """Load the waiting calls of an earlier process from the file `path`.

        `on_dropped` is called once, when the first call is dropped because too many calls wait.
        """
        super().__init__(path, "outbox.not_written")
        self._on_dropped = on_dropped
        self._reported = False
        self._waiting: dict[str, CallEnded] = {}
        self.unwritten: dict[str, CallEnded] = {}
        data = read_file(path)
        self._written = len(data)
        """The size of the file in bytes."""
        for call in _ended_calls_in(data):
            self._waiting[call.call_id] = call
        self._cut()
        if self._written and not self._waiting:
            self._news.set()

    def keep(self, ended: CallEnded) -> None:
        """Store a call that has ended, until `remove` removes it after the desk's confirmation."""
        self._waiting[ended.call_id] = self.unwritten[ended.call_id] = ended
        self._cut()
        self._news.set()

    def remove(self, call_ids: Collection[str]) -> None:
        """Remove the calls with these ids, because the ledger now contains them."""
        for call_id in call_ids:
            self._waiting.pop(call_id, None)
            self.unwritten.pop(call_id, None)
        if self._written and not self._waiting:
            self._news.set()

    @property
    def waiting(self) -> tuple[CallEnded, ...]:
        """The calls that the desk has not confirmed, with the oldest call first."""
        return tuple(self._waiting.values())

    async def write(self) -> bool:
        """Write the calls that have ended; return False after a disk error."""
        fresh = tuple(self.unwritten.values())
        try:
            if not self._waiting or self._written > _MAX_FILE_BYTES:
                whole = lines_of(self._waiting.values())
                if self._written or whole:
                    await write_later(partial(write_atomic, self._path, whole))
                self._written = len(whole)
            elif fresh:
                self._written += await write_later(partial(append, self._path, lines_of(fresh)))
        except OSError as error:
            self._refused(error)
            return False
        self.fault_reported = False
        for call in fresh:
            if self.unwritten.get(call.call_id) is call:
                del self.unwritten[call.call_id]
        return True

    def close(self) -> None:
        """Write the calls that are not in the file yet, at the end of the process.

        The file is not synced to the disk, because written data is not lost when the process ends.
        """
        try:
            if self.unwritten:
                lines = lines_of(self.unwritten.values())
                write_at_end(partial(append, self._path, lines, sync=False))
        except OSError as error:
            self._refused(error)

    def _cut(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            oldest = next(iter(self._waiting))
            self.remove((oldest,))
            if not self._reported:
                self._reported = True
                self._on_dropped()


def _ended_calls_in(data: bytes) -> list[CallEnded]:
    found = []
    for line in data.split(b"\n"):
        try:
            found.append(msgspec.json.decode(line, type=CallEnded))
        except msgspec.DecodeError:
            if line:
                log.warning("outbox.line_unreadable")
    return found
