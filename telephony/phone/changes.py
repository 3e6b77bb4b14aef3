"""Waiting for a condition to become true, as a phone's coroutines do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes all waiting coroutines after a change; each then checks its condition."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds()` is true; at once if it already is."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def notify(self) -> None:
        """Let every waiting coroutine check its condition again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
