"""The queue of sign-ins, of which one checks its password at a time.

The check of a password takes tens of milliseconds of computing on several cores. So clients that
are known to the account go first, strangers have few places in the queue, and after the check of a
stranger the next stranger waits `REST` times as long as this check took.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_STRANGERS = 32
MAX_STRANGERS_PER_NETWORK = 4
MAX_KNOWN = 256
REST = 3.0


class SignInQueue:
    """Gives turns to sign-ins: first to those of known clients, then in order of arrival."""

    def __init__(self) -> None:
        self._busy = False
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: deque[asyncio.Future[None]] = deque()
        self._of_network: Counter[str] = Counter()
        """The number of strangers that wait, by network."""
        self._rest_until = 0.0
        """The monotonic time before which no stranger gets a turn."""
        self._timer: asyncio.TimerHandle | None = None

    def has_room(self, network: str, *, known: bool) -> bool:
        """Return whether one more sign-in from this network may wait."""
        if known:
            return len(self._known) < MAX_KNOWN
        return (
            self._of_network.total() < MAX_STRANGERS
            and self._of_network[network] < MAX_STRANGERS_PER_NETWORK
        )

    @asynccontextmanager
    async def turn(self, network: str, *, known: bool) -> AsyncIterator[None]:
        """Wait for the turn of a sign-in. The block then has the turn until its end."""
        if self._busy or not (known or time.monotonic() >= self._rest_until):
            await self._wait(network, known=known)
        self._busy = True
        began = time.monotonic()
        try:
            yield
        finally:
            if not known:
                now = time.monotonic()
                self._rest_until = now + REST * (now - began)
            self._pass_on()

    async def _wait(self, network: str, *, known: bool) -> None:
        queue = self._known if known else self._strangers
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        if not known:
            self._of_network[network] += 1
        if not self._busy:
            self._pass_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # the client left just after it had got the turn
            elif turn in queue:
                queue.remove(turn)
            raise
        finally:
            if not known:
                self._of_network[network] -= 1
                self._of_network += Counter()  # forget the networks without a waiting stranger

    def _pass_on(self) -> None:
        """Give the turn to the next sign-in, or wait until a stranger may have it."""
        self._busy = self._give(self._known)
        if self._busy or not self._strangers:
            return
        rest = self._rest_until - time.monotonic()
        if rest <= 0:
            self._busy = self._give(self._strangers)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(rest, self._rested)

    def _rested(self) -> None:
        self._timer = None
        if not self._busy:
            self._pass_on()

    @staticmethod
    def _give(queue: deque[asyncio.Future[None]]) -> bool:
        while queue:
            turn = queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False
