"""What a switch that was killed leaves behind, so that the next one can go on with its calls.

One small file a call in the runtime folder (memory, not disk), replaced whenever what it holds
changes: a `Memo`. It goes when the call ends.

A change that cannot be kept (the folder is full) must not leave an older truth behind, in which
a recording's gate may still be open: the older file is spoilt, which needs no room, and what it
tells of the legs is good for a BYE alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from galwad.switch.memo import Memo

_SPOILT = b"!"
"""In the place of the first octet, `{`: what the file holds is not so any more."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A call whose checkpoint is damaged, or of another release."""

    legs: dict[str, Any]
    """What can be read of its legs."""


class Checkpoints:
    """The checkpoint files of the live calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._last: dict[str, bytes] = {}

    def save(self, call_id: str, memo: Memo) -> None:
        """Keep what is to be known of a call; nothing is written when it has not changed.

        Nothing is raised: a call goes on whether or not it would outlive the process.
        """
        data = msgspec.json.encode(memo)
        if self._last.get(call_id) == data:
            return
        fresh, path = self._folder / f"{call_id}.new", self._folder / f"{call_id}.call"
        try:
            _write(fresh, data)
            fresh.replace(path)
        except OSError as error:
            log.error("checkpoint.not_kept", call_id=call_id, reason=error.strerror)  # noqa: TRY400 - no traceback needed
            self._last.pop(call_id, None)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                _spoil(path)
            return
        self._last[call_id] = data

    def remove(self, call_id: str) -> None:
        """The call is over."""
        self._last.pop(call_id, None)
        (self._folder / f"{call_id}.call").unlink(missing_ok=True)

    def left_behind(self) -> Iterator[tuple[str, Memo | Unreadable]]:
        """Calls of an earlier life, each once: a file that cannot be read goes when it is told."""
        for half_written in self._folder.glob("*.new"):
            half_written.unlink(missing_ok=True)
        for path in sorted(self._folder.glob("*.call")):
            data = path.read_bytes()
            try:
                yield path.stem, msgspec.json.decode(data, type=Memo)
            except msgspec.MsgspecError:
                log.warning("checkpoint.unreadable", call_id=path.stem)
                path.unlink()
                yield path.stem, Unreadable(_legs_in(data))


def _write(path: Path, data: bytes) -> None:
    """All of it, or an OSError: a folder that is nearly full takes a part without complaint."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


def _spoil(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, _SPOILT)
    finally:
        os.close(descriptor)


def _legs_in(data: bytes) -> dict[str, Any]:
    """The legs of a spoilt checkpoint, or one that another release wrote, for a last BYE."""
    if data.startswith(_SPOILT):
        data = b"{" + data[1:]
    try:
        return msgspec.json.decode(data, type=_Legs).legs
    except msgspec.MsgspecError:
        return {}


class _Legs(msgspec.Struct):
    legs: dict[str, Any]
