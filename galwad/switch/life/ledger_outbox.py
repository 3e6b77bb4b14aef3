"""The ended calls that the desk's ledger must contain, stored until the desk confirms them.

All these calls are stored in memory. A call that waits longer than a second is also written to a
file in the state folder, so that it is not lost if the switch dies while the desk does not run. A
thread writes the file, so calls in progress do not wait for the disk. While the desk is connected,
very few calls wait longer than that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from galwad.messages import CallEnded
from galwad.switch.call.appended_file import (
    AppendedFile,
    append,
    lines_of,
    read_file,
    write_at_end,
    write_later,
)
from recording.files.atomic import write_atomic

MAX_WAITING: Final = 20_000
"""The maximum number of calls that wait for the desk. Above it, the oldest calls are dropped.

This is enough for a long weekend of a busy centre.
"""
_MAX_FILE_BYTES: Final = 512 * MAX_WAITING
log = structlog.get_logger()


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
        self._unwritten: dict[str, CallEnded] = {}
        data = read_file(path)
        self._written = len(data)
        """The size of the file in bytes."""
        for call in _calls_in(data):
            self._waiting[call.call_id] = call
        self._cut()
        if self._written and not self._waiting:
            self._news.set()

    def keep(self, ended: CallEnded) -> None:
        """Store a call that has ended, until `remove` removes it after the desk's confirmation."""
        self._waiting[ended.call_id] = self._unwritten[ended.call_id] = ended
        self._cut()
        self._news.set()

    def remove(self, call_ids: Collection[str]) -> None:
        """Remove the calls with these ids, because the ledger now contains them."""
        for call_id in call_ids:
            self._waiting.pop(call_id, None)
            self._unwritten.pop(call_id, None)
        if self._written and not self._waiting:
            self._news.set()

    @property
    def waiting(self) -> tuple[CallEnded, ...]:
        """The calls that the desk has not confirmed, with the oldest call first."""
        return tuple(self._waiting.values())

    async def _write(self) -> bool:
        fresh = tuple(self._unwritten.values())
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
        self._silent = False
        for call in fresh:
            if self._unwritten.get(call.call_id) is call:
                del self._unwritten[call.call_id]
        return True

    def close(self) -> None:
        """Write the calls that are not in the file yet, at the end of the process.

        The file is not synced to the disk, because written data is not lost when the process ends.
        """
        try:
            if self._unwritten:
                lines = lines_of(self._unwritten.values())
                write_at_end(partial(append, self._path, lines, sync=False))
        except OSError as error:
            self._refused(error)

    def _cut(self) -> None:
        """Drop the oldest calls while more than `MAX_WAITING` calls wait."""
        while len(self._waiting) > MAX_WAITING:
            oldest = next(iter(self._waiting))
            self.remove((oldest,))
            if not self._reported:
                self._reported = True
                self._on_dropped()


def _calls_in(data: bytes) -> list[CallEnded]:
    found = []
    for line in data.split(b"\n"):
        try:
            found.append(msgspec.json.decode(line, type=CallEnded))
        except msgspec.DecodeError:
            if line:
                log.warning("outbox.line_unreadable")
    return found
