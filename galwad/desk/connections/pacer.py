"""Begins the requests of strangers a few at a time, so that the event loop has time for others.

A request takes about a millisecond of computing. A thousand connections of strangers could each
have a request ready at the same moment, and a request to pause would come after all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque

AT_ONCE = 4


class Pacer:
    """Lets at most `AT_ONCE` callers of `turn` continue in each round of the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Wait for a round of the event loop with a turn left, in order of arrival."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._round)
        self._waiting.append(turn)
        await turn

    def _round(self) -> None:
        given = 0
        while self._waiting and given < AT_ONCE:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                given += 1
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
