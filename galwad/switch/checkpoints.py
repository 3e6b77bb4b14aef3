"""What a switch that was killed leaves behind, so that the next one can hang up for it.

One small file a call in the runtime folder (memory, not disk), replaced whenever the call's
dialogs change. It holds what a BYE needs (RFC 3261 12.2.1.1); it goes when the call ends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger()


class Checkpoints:
    """The checkpoint files of the live calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._last: dict[str, bytes] = {}

    def save(self, call_id: str, state: Mapping[str, object]) -> None:
        """Keep the state of a call; nothing is written when it has not changed."""
        data = msgspec.json.encode(state)
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

    def left_behind(self) -> Iterator[tuple[str, dict[str, object]]]:
        """Calls of an earlier life, each with its state; a file that is damaged is dropped."""
        for path in sorted(self._folder.glob("*.call")):
            try:
                state = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
            except msgspec.DecodeError:
                log.warning("checkpoint.damaged", call_id=path.stem)
                path.unlink()
                continue
            yield path.stem, state
