"""`Streams`: the event streams that are open, and how they are woken.

The streams are woken in groups. Between two groups, the event loop has time for other work. So a
request to pause does not wait until a thousand streams have sent an event.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict

WAKEN_AT_ONCE = 32
_REST = 2.0
"""The rest after a group of streams, as a multiple of the time that the group took."""
_LONGEST_REST_S = 0.05
"""The longest rest in seconds after a group."""
MAX_STREAMS_PER_SESSION = 8
"""The most open streams of one session. A browser opens at most six connections to one host."""


class Follower:
    """One open event stream."""

    __slots__ = ("replaced", "stale", "user", "woken")

    def __init__(self, user: str) -> None:
        self.user = user
        self.stale: set[str] = set()
        """The ids of the calls whose present state the stream must send (`Streams.refresh`)."""
        self.replaced = False
        """True if the stream must end, because its session has opened too many newer ones."""
        self.woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Let the stream continue if it waits."""
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class Streams:
    """The open event streams of one desk, by their session and by their user."""

    def __init__(self) -> None:
        self._followers: dict[str, OrderedDict[Follower, None]] = {}
        """The open streams by their session, the oldest first."""
        self._by_user: dict[str, set[Follower]] = {}
        self._waiting: OrderedDict[Follower, int] = OrderedDict()
        """The streams that wait, with the value of `wake_count` that each has seen."""
        self._sweeping = False
        self.closed = False
        self.wake_count = 0

    def follow(self, session: str, user: str) -> Follower:
        """Register a stream. If the session has too many, end its oldest one."""
        followers = self._followers.setdefault(session, OrderedDict())
        if len(followers) >= MAX_STREAMS_PER_SESSION:
            oldest, _ = followers.popitem(last=False)
            oldest.replaced = True
            oldest.wake()
        follower = Follower(user)
        followers[follower] = None
        self._by_user.setdefault(user, set()).add(follower)
        return follower

    def unfollow(self, session: str, follower: Follower) -> None:
        """Forget a stream that has ended."""
        followers = self._followers.get(session, OrderedDict())
        followers.pop(follower, None)
        if not followers:
            self._followers.pop(session, None)
        streams = self._by_user.get(follower.user, set())
        streams.discard(follower)
        if not streams:
            self._by_user.pop(follower.user, None)

    def refresh(self, user: str, call_id: str) -> None:
        """Let a user's streams send the present state of a call that changed only for this user."""
        for follower in self._by_user.get(user, ()):
            follower.stale.add(call_id)
            follower.wake()

    async def wait(self, follower: Follower, wake_count: int, seconds: float) -> None:
        """Wait for `wake` or `refresh`, or until the stream is replaced, but at most `seconds`.

        To miss no event, first read `Streams.wake_count`, then look for events, and then pass that
        count here: if `wake` was called since, this returns at once.
        """
        if wake_count != self.wake_count or follower.replaced or follower.stale:
            return
        loop = asyncio.get_running_loop()
        follower.woken = loop.create_future()
        self._waiting[follower] = wake_count
        timer = loop.call_later(seconds, follower.wake)
        try:
            await follower.woken
        finally:
            timer.cancel()
            self._waiting.pop(follower, None)

    def wake(self) -> None:
        """Wake every stream. Each stream then looks for events and checks its session again."""
        self.wake_count += 1
        if self._waiting and not self._sweeping:
            self._sweep()

    def _sweep(self) -> None:
        for _ in range(WAKEN_AT_ONCE):
            follower = next(iter(self._waiting), None)
            if follower is None or self._waiting[follower] == self.wake_count:
                self._sweeping = False
                return
            del self._waiting[follower]
            follower.wake()
        self._sweeping = True
        asyncio.get_running_loop().call_soon(self._rest, time.monotonic())

    def _rest(self, began: float) -> None:
        """Wake the next group after a rest. `began` is when the last group was woken."""
        rest = min(_REST * (time.monotonic() - began), _LONGEST_REST_S)
        asyncio.get_running_loop().call_later(rest, self._sweep)

    def close(self) -> None:
        """Let all streams end. A stream that is opened later also ends."""
        self.closed = True
        self.wake()
