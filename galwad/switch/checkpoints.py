"""What a switch that was killed leaves behind, so that the next one can go on with its calls.

One small file a call in the runtime folder (memory, not disk), replaced whenever what it holds
changes: a `Memo`. It goes when the call ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from galwad.switch.memo import Memo

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
        """Keep what is to be known of a call; nothing is written when it has not changed."""
        data = msgspec.json.encode(memo)
        if self._last.get(call_id) == data:
            return
        fresh = self._folder / f"{call_id}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        fresh.replace(self._folder / f"{call_id}.call")
        self._last[call_id] = data

    def remove(self, call_id: str) -> None:
        """The call is over."""
        self._last.pop(call_id, None)
        (self._folder / f"{call_id}.call").unlink(missing_ok=True)

    def left_behind(self) -> Iterator[tuple[str, Memo | Unreadable]]:
        """Calls of an earlier life, each once: a file that cannot be read goes when it is told."""
        for path in sorted(self._folder.glob("*.call")):
            data = path.read_bytes()
            try:
                yield path.stem, msgspec.json.decode(data, type=Memo)
            except msgspec.MsgspecError:
                log.warning("checkpoint.unreadable", call_id=path.stem)
                path.unlink()
                yield path.stem, Unreadable(_legs_in(data))


def _legs_in(data: bytes) -> dict[str, Any]:
    """The legs of a checkpoint that another release wrote, for a last BYE."""
    try:
        return msgspec.json.decode(data, type=_Legs).legs
    except msgspec.MsgspecError:
        return {}


class _Legs(msgspec.Struct):
    legs: dict[str, Any]
