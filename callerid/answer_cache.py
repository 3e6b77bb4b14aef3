"""Keeps the recent answers of a directory in memory, so that it is asked less often."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from callerid.number import PhoneNumber
from callerid.source import AnswerState, SourceAnswer

_MOST: Final = 10_000
"""The most answers that are kept. The one that was not used for the longest time leaves first."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """For how long answers are kept, in seconds; 0 keeps none."""

    found_s: float = 300.0
    not_found_s: float = 60.0


class AnswerCache:
    """The recent answers of one directory. Times are in monotonic seconds."""

    def __init__(self, limits: CacheLimits) -> None:
        self._seconds = {
            AnswerState.FOUND: limits.found_s,
            AnswerState.NOT_FOUND: limits.not_found_s,
        }
        self._kept: OrderedDict[PhoneNumber, tuple[float, SourceAnswer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: PhoneNumber, now: float) -> SourceAnswer | None:
        """Return the answer to a search for this number; None if no answer is kept."""
        until, answer = self._kept.get(number, (0.0, None))
        if answer is None:
            return None
        if now >= until:
            del self._kept[number]
            return None
        self._kept.move_to_end(number)
        return answer

    def put(self, number: PhoneNumber, answer: SourceAnswer, now: float) -> None:
        """Keep the answer to a search, if it says whether the directory has the number."""
        seconds = self._seconds.get(answer.state, 0.0)
        if seconds <= 0:
            return
        self._kept[number] = now + seconds, answer
        self._kept.move_to_end(number)
        if len(self._kept) > _MOST:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all answers, because people were changed or erased."""
        self._kept.clear()
