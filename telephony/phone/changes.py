"""Waiting for a condition to come true: what a phone's coroutines do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes those who wait whenever something changed; they look for themselves."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds()` is true; at once if it is already."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def tell(self) -> None:
        """Let everyone look again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
