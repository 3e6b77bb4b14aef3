"""The share of the calls that one worker process of the finaliser follows and seals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from zlib import crc32


@dataclass(frozen=True, slots=True)
class Share:
    """The calls of the worker `number`, from 0; a call always belongs to the same worker."""

    number: int
    workers: int

    def has(self, call_id: str) -> bool:
        """Return whether a call belongs to this share."""
        return number_of(call_id, self.workers) == self.number


def number_of(call_id: str, workers: int) -> int:
    """Return the number of the worker that follows and seals a call."""
    return crc32(call_id.encode()) % workers


WHOLE: Final = Share(0, 1)
"""The share of a worker without others."""
