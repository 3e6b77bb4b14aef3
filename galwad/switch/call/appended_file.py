"""A file of JSON lines to which the switch appends, and its reading and writing.

A line feed precedes each line. So a line is readable even if a crash interrupted the writing of the
line before it.

Files are written in daemon threads. If the disk hangs, the process can therefore still end and hand
over its calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

T = TypeVar("T")
PATIENCE_S: Final = 1.0
"""The time in seconds for which changes are collected before they are written to the file."""
_CLOSE_S = 1.0
"""The time in seconds for which the end of the process waits for the disk."""
log = structlog.get_logger()


class AppendedFile(ABC):
    """A file that follows a set of calls in memory.

    All changes of about a second are written together.
    """

    def __init__(self, path: Path, fault: str) -> None:
        """`fault` is the event that is logged at the first disk error after a successful write."""
        self._path = path
        self._fault = fault
        self._silent = False
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Write the changes to the file, until this method's task is cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(PATIENCE_S)
            self._news.clear()
            if not await self._write():
                self._news.set()

    @abstractmethod
    async def _write(self) -> bool:
        """Write the changes; return False after a disk error."""

    def _refused(self, error: OSError) -> None:
        if not self._silent:
            self._silent = True
            log.error(self._fault, reason=error.strerror)


async def write_later(job: Callable[[], T]) -> T:
    """Run `job` in a daemon thread, and return its result or raise its error."""
    return await asyncio.wrap_future(_start(job))


def write_at_end(job: Callable[[], object]) -> None:
    """Run `job`, which writes to the disk, at the end of the process. Raise its error.

    Raises:
        TimeoutError: The disk hangs. `job` is not finished after one second.
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
    """Append the lines to the file, and return the number of bytes written.

    If an error occurs, the file is cut back to its previous length. If `sync` is false, the file is
    not synced to the disk.

    Raises:
        OSError: The lines cannot be written.
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
