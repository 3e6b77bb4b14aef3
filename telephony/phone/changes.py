"""A class by which a phone's coroutines wait until a condition is true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes all waiting coroutines after a change in a call; each checks its own condition."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()` returns true; return at once if it does already."""
        while not holds():
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def notify(self) -> None:
        """Wake every waiting coroutine, so that it checks its condition again."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
