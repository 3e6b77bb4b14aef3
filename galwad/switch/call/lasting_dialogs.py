"""The dialogs of the answered calls on the disk, with which both parties get a BYE after a reboot.

The checkpoints of the calls are in memory, so a reboot or a power cut destroys them. Then the calls
cannot continue, but the parties would wait in silence. So the file `dialogs.jsonl` in the state
folder has, for each answered call, what a BYE needs: the dialogs, without session descriptions and
keys. The dialogs contain phone numbers. When no call is in progress, the file is empty.

A thread writes the file, so calls do not wait for the disk. A call that was answered less than
about `PATIENCE_S` before a power cut may not be in the file.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from galwad.switch.call.appended_file import (
    AppendedFile,
    append,
    lines_of,
    read_file,
    write_at_end,
    write_later,
)
from recording.files.atomic import write_atomic

_LARGE_BYTES: Final = 64 * 1024
"""A file that is larger is written again without the calls that have ended.

This is done once the file is also twice as large as it was after the last such writing.
"""
_MODE: Final = 0o600
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
log = structlog.get_logger()


class LastingCall(msgspec.Struct, frozen=True, kw_only=True):
    """One answered call in the file. A call without dialogs has ended."""

    call_id: str
    answered_at: float = 0.0
    """The time of the answer in Unix seconds."""
    recorded: bool = False
    """True if the call must be recorded."""
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
        """Store the dialogs of an answered call, if they have changed.

        `legs` has them in the JSON of the call's checkpoint.
        """
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
        """Return the stored calls of an earlier process whose ids are not in `live`."""
        return tuple(call for call_id, call in self._calls.items() if call_id not in live)

    async def _write(self) -> bool:
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
        self._silent = False
        return True

    def close(self) -> None:
        """Write the last changes, at the end of the process. Without a call, empty the file.

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
    """Return the dialog of each leg; empty if `legs` cannot be read."""
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
