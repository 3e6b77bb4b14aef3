"""The queue in which sign-ins wait until their passwords are checked, one at a time.

The check of a password takes tens of milliseconds of computing on several cores.
`galwad.people.sign_in.order` decides which sign-in is next, and which is turned away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from galwad.people.sign_in.order import SignInAttempt, SignInOrder
from galwad.people.sign_in.throttle import Throttle


class TurnedAwayError(Exception):
    """A sign-in had to make room or has waited too long. Its password was not checked."""


class Turn:
    """The turn of a sign-in. Set `right` to True if its password is right."""

    def __init__(self) -> None:
        self.right = False


class SignInQueue:
    """Gives turns to sign-ins."""

    def __init__(self, throttle: Throttle) -> None:
        self._order = SignInOrder(throttle)
        self._turns: dict[SignInAttempt, asyncio.Future[None]] = {}
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, attempt: SignInAttempt) -> AsyncIterator[Turn]:
        """Wait for the turn of a sign-in. The block then has the turn until its end.

        The throttle counts the sign-in as failed when its turn begins. Raises `TurnedAwayError`.
        """
        await self._wait(attempt)
        turn, began = Turn(), time.monotonic()
        try:
            yield turn
        finally:
            self._order.checked(attempt, began, time.monotonic(), right=turn.right)
            self._busy = False
            self._pass_on()

    async def _wait(self, attempt: SignInAttempt) -> None:
        self._turns[attempt] = turn = asyncio.get_running_loop().create_future()
        self._turn_away(self._order.add(attempt, time.monotonic()))
        self._pass_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._busy = False  # the client left just after it had got the turn
                self._pass_on()
            raise
        finally:
            self._order.remove(attempt)
            self._turns.pop(attempt, None)

    def _turn_away(self, attempt: SignInAttempt | None) -> None:
        turn = self._turns.get(attempt) if attempt is not None else None
        if turn is not None and not turn.done():
            turn.set_exception(TurnedAwayError())

    def _pass_on(self) -> None:
        """Turn late sign-ins away. Give the turn to the next sign-in as soon as it may begin."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = time.monotonic()
        for late in self._order.overdue(now):
            self._turn_away(late)
        while not self._busy and (chosen := self._order.next(now)) is not None:
            turn = self._turns[chosen]
            if not turn.done():
                turn.set_result(None)
                self._busy = True
        at = self._order.next_timer(now)
        if at is not None and not self._busy:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(at - now, 0.0), self._pass_on)
