"""The event hub: it stores numbered events and wakes the streams that send them to the pages.

The hub stores the newest `MEMORY` events. So a page that was disconnected can receive the events
that it missed. Event numbers continue to rise after a restart of the desk.

An event about a change of a call has two immutable values: the call before the change, and the call
after the change. A user's view of the call is made from these two values when the event is sent to
the user. So all users share one list of events. An event may be sent late, but it still shows only
those facts that the user was allowed to see at the time of the change.
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

    For a change, `before` is None if the call is new, and `after` is None if the call is removed.
    For an alarm, `after` is the live call that the alarm concerns, or None. `audience` says which
    users receive an alarm: "own" means the users whom the call concerns, "supervisors" means these
    users and all supervisors, and "everybody" means every user.
    """

    id: int
    before: DeskCall | None = None
    after: DeskCall | None = None
    alarm: AlarmEvent | None = None
    audience: Audience = "supervisors"

    def view_for(self, user: User) -> Sent | None:
        """Return the event's kind and body; None if this user may not see the event."""
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
    """Stores the newest events, up to `memory`, and wakes the streams that send them to the pages.

    Each stream reads the stored events at its own speed, so a slow stream does not delay another
    stream.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._ring: deque[Event] = deque(maxlen=memory)
        self._last = int(time.time() * 1000)
        self._woken = asyncio.Event()
        self.closed = False
        self.wake_count = 0

    @property
    def last(self) -> int:
        """The number of the newest event.

        Before the first event, it is the time of the desk's start in Unix milliseconds. So event
        numbers continue to rise after a restart.
        """
        return self._last

    def call(self, before: DeskCall | None, after: DeskCall | None) -> None:
        """Publish a change of a call.

        `before` and `after` are the call before and after the change. `before` is None for a new
        call, and `after` is None for a removed call.
        """
        self._publish(Event(self._last + 1, before, after))

    def alarm(
        self,
        kind: str,
        call: DeskCall | None = None,
        call_id: str | None = None,
        audience: Audience = "supervisors",
    ) -> None:
        """Publish an alarm of the kind `kind` to the users in `audience`.

        For an alarm about a live call, `call` is that call. For an alarm about a call that is not
        live, `call_id` is the call's id. For an alarm about no call, both are None.
        """
        named = call.call_id if call is not None else call_id
        alarm = AlarmEvent(kind=kind, call_id=named, since=time.time())
        self._publish(Event(self._last + 1, after=call, alarm=alarm, audience=audience))

    def since(self, position: int) -> list[Event] | None:
        """Return the events with numbers above `position`.

        Return None if some of these events are no longer stored, or if `position` is above the
        number of the newest event.
        """
        if position == self._last:
            return []
        if position > self._last or not self._ring or position < self._ring[0].id - 1:
            return None
        return [event for event in self._ring if event.id > position]

    async def wait(self, wake_count: int, seconds: float) -> None:
        """Wait until `wake` is called, but at most `seconds`.

        To miss no event, a stream must first read the hub's attribute `wake_count`, then look for
        new events, and then pass the value of `wake_count` to this method. If `wake` was called
        since the stream read the attribute, this method returns immediately.
        """
        if wake_count != self.wake_count:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """Wake every stream. Each stream then looks for events and checks its session again."""
        self.wake_count += 1
        self._woken.set()
        self._woken = asyncio.Event()

    def close(self) -> None:
        """Mark the hub as closed and wake all streams, which then end."""
        self.closed = True
        self.wake()

    def _publish(self, event: Event) -> None:
        self._last = event.id
        self._ring.append(event)
        self.wake()
