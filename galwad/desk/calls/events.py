"""The event hub: numbered events for the pages, with a short memory for replays.

An event holds the call before and after a change, as immutable values. Each viewer's own view is
made from them when it is sent, so one ring serves all viewers, and a replay shows what that viewer
was allowed to see then. The numbers continue to rise over restarts of the desk.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from galwad.desk.auth.users import User
from galwad.desk.calls.live_calls import DeskCall
from galwad.desk.models.calls import AlarmEvent, Closed, Pop

MEMORY = 2000
Sent: TypeAlias = tuple[Literal["call", "closed", "alarm"], Pop | Closed | AlarmEvent]


Audience: TypeAlias = Literal["own", "supervisors", "everybody"]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a call, or an alarm.

    `before` is `None` for a new call, `after` for one that was removed. An alarm's `audience` is
    the call's own advisor ("own"), also the supervisors ("supervisors"), or every user
    ("everybody").
    """

    id: int
    before: DeskCall | None = None
    after: DeskCall | None = None
    alarm: AlarmEvent | None = None
    audience: Audience = "supervisors"

    def view_for(self, user: User) -> Sent | None:
        """Return what this viewer receives; None if they may not see it."""
        if self.alarm is not None:
            return ("alarm", self.alarm) if self._alarms(user) else None
        if self.after is not None and self.after.visible(user):
            return "call", self.after.view(user)
        if self.before is not None and self.before.visible(user):
            return "closed", Closed(call_id=self.before.call_id)
        return None

    def _alarms(self, user: User) -> bool:
        own = self.after is not None and self.after.concerns(user)
        return {
            "own": own,
            "supervisors": own or user.supervises,
            "everybody": True,
        }[self.audience]


class EventHub:
    """Publishes events; each stream reads the ring at its own pace and never delays the others."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._ring: deque[Event] = deque(maxlen=memory)
        self._last = int(time.time() * 1000)
        self._woken = asyncio.Event()
        self.closed = False
        self.wake_count = 0

    @property
    def last(self) -> int:
        """The newest event's number."""
        return self._last

    def call(self, before: DeskCall | None, after: DeskCall | None) -> None:
        """Publish a call's change."""
        self._publish(Event(self._last + 1, before, after))

    def alarm(
        self,
        kind: str,
        call: DeskCall | None = None,
        call_id: str | None = None,
        audience: Audience = "supervisors",
    ) -> None:
        """Publish an alarm."""
        named = call.call_id if call is not None else call_id
        alarm = AlarmEvent(kind=kind, call_id=named, since=time.time())
        self._publish(Event(self._last + 1, after=call, alarm=alarm, audience=audience))

    def since(self, position: int) -> list[Event] | None:
        """Return the events after `position`; None if it is too old or not this hub's."""
        if position == self._last:
            return []
        if position > self._last or not self._ring or position < self._ring[0].id - 1:
            return None
        return [event for event in self._ring if event.id > position]

    async def wait(self, wake_count: int, seconds: float) -> None:
        """Wait until the hub has woken since `wake_count`, but at most `seconds`.

        A reader notes `wake_count` before it reads any state, so that it misses no waking between
        its reading and its wait.
        """
        if wake_count != self.wake_count:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """Wake every stream so that it checks again, as when a session was revoked."""
        self.wake_count += 1
        self._woken.set()
        self._woken = asyncio.Event()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self.wake()

    def _publish(self, event: Event) -> None:
        self._last = event.id
        self._ring.append(event)
        self.wake()
