"""The event hub: it stores numbered events and wakes the streams that send them to the pages.

A page that was disconnected receives the events that it missed, if they are still among the newest
`MEMORY` events. An event about a call has the call before and after the change, as immutable
values: all users share it, and an event that is sent late shows the call as it was at the time.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, TypeAdapter

from galwad.calls.alarms.kinds import Audience, may_see
from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.bodies import Closed, DayChanged, PresenceNews
from galwad.calls.live_calls import DeskCall
from galwad.calls.subject import AlarmChange, AlarmNews
from galwad.host.streams import Streams
from galwad.people.user import User
from galwad.texts.text_lists import PageTexts

MEMORY = 2000


class AlarmEvent(BaseModel):
    """A report of an alarm, sent as an event.

    `kind` is the kind of the alarm, such as `payment.forgotten`. `alarm` is None for an event that
    ends alarms, such as `switch.connected`.
    """

    kind: str
    call_id: str | None = None
    since: float
    alarm: StoredAlarm | None = None


SentBody: TypeAlias = BaseModel | StoredAlarm | PresenceNews
Sent: TypeAlias = tuple[
    Literal["call", "closed", "alarm", "alarm_changed", "presence", "day", "texts"], SentBody
]


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a call, of an alarm, of the presence or day of users, or of the texts.

    For a call, `before` is None if the call is new, and `after` is None if the call is removed. For
    an alarm, `after` is the alarm's live call or None. `stored` is the alarm in the list, or None
    if the event ends alarms. `alarm` is the report of the alarm, or None if the alarm was handled
    or has ended.
    """

    id: int
    before: DeskCall | None = None
    after: DeskCall | None = None
    alarm: AlarmEvent | None = None
    stored: StoredAlarm | None = None
    audience: Audience = "supervisors"
    presence: PresenceNews | None = None
    day_of: frozenset[str] = frozenset()
    """The users whose list of today's calls has changed."""
    texts: PageTexts | None = None
    _encoded: dict[tuple[str, bool, bool, bool, str], bytes] = field(
        default_factory=dict, repr=False, compare=False
    )
    """The bytes to send. Users for whom the event looks the same share them."""

    def encoded_for(self, user: User) -> bytes | None:
        """Return the event as this user's stream sends it; None if the user may not see it."""
        concerned = handled = heard = False
        author = ""
        if self.presence is not None and not user.supervises:
            # Each advisor sees only their own presence, so there is no encoding to share.
            own = self.view_for(user)
            return None if own is None else encoded(own[0], self.id, own[1])
        if self.presence is not None:
            kind = "presence"
        elif self.texts is not None:
            kind = "texts"
        elif self._is_about_alarm:
            kind = "alarm" if self._alarms(user) else ""
            handled = user.supervises
        elif self.day_of:
            kind = "day" if user.name in self.day_of else ""
        elif self.after is not None and self.after.visible(user):
            kind = "call"
            concerned, handled = self.after.takes_part(user), self.after.is_handled_by(user)
            heard = self.after.is_heard_by(user)
            author = user.name if self.after.draft_of(user) is not None else ""
        else:
            kind = "closed" if self.before is not None and self.before.visible(user) else ""
        if not kind:
            return None
        view = kind, concerned, handled, heard, author
        if view not in self._encoded:
            sent = self.view_for(user)
            if sent is None:
                return None
            self._encoded[view] = encoded(sent[0], self.id, sent[1])
        return self._encoded[view]

    def view_for(self, user: User) -> Sent | None:
        """Return the event's kind and body; None if this user may not see the event."""
        if self.presence is not None:
            return self._presence_for(user)
        if self._is_about_alarm:
            return self._alarm_for(user) if self._alarms(user) else None
        if self.texts is not None or self.day_of:
            return self._change_for(user)
        if self.after is not None and self.after.visible(user):
            return "call", self.after.view(user)
        if self.before is not None and self.before.visible(user):
            return "closed", Closed(call_id=self.before.call_id)
        return None

    @property
    def _is_about_alarm(self) -> bool:
        return self.alarm is not None or self.stored is not None

    def _alarm_for(self, user: User) -> Sent | None:
        view = None
        if self.stored is not None:
            view = self.stored.shown_to(supervises=user.supervises)
        if self.alarm is not None:
            return "alarm", self.alarm.model_copy(update={"alarm": view})
        return ("alarm_changed", view) if view is not None else None

    def _change_for(self, user: User) -> Sent | None:
        if self.texts is not None:
            return "texts", self.texts
        return ("day", DayChanged()) if user.name in self.day_of else None

    def _presence_for(self, user: User) -> Sent | None:
        news = self.presence
        if news is None or user.role == "machine":
            return None
        if user.supervises:
            return "presence", news
        own = [each for each in news.advisors if each.user == user.name]
        return ("presence", PresenceNews(advisors=own)) if own else None

    def _alarms(self, user: User) -> bool:
        concerned = self.after is not None and self.after.takes_part(user)
        return may_see(self.audience, supervises=user.supervises, concerned=concerned)


_SERIALIZERS: Final = functools.cache(TypeAdapter)


def encoded(kind: str, number: int, body: SentBody) -> bytes:
    """Return one server-sent event with this kind, number and body."""
    data = _SERIALIZERS(type(body)).dump_json(body, by_alias=True)  # type: ignore[arg-type]
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), number, data)


class EventHub:
    """Stores the newest `memory` events, which each stream reads at its own speed."""

    def __init__(self, streams: Streams, memory: int = MEMORY) -> None:
        self.streams = streams
        self._ring: deque[Event] = deque(maxlen=memory)
        self._last = int(time.time() * 1000)

    @property
    def last(self) -> int:
        """The newest event's number. It begins at the Unix time in ms, so restarts raise it."""
        return self._last

    def call(self, before: DeskCall | None, after: DeskCall | None) -> None:
        """Publish a change of a call; a new call has no `before`, and a removed call no `after`."""
        self._publish(Event(self._last + 1, before, after))

    def alarm(self, news: AlarmNews) -> None:
        """Publish an alarm, or an event that ends alarms."""
        alarm = AlarmEvent(kind=news.kind, call_id=news.call_id, since=time.time())
        self._publish(Event(self._last + 1, None, news.call, alarm, news.stored, news.audience))

    def alarm_changed(self, change: AlarmChange) -> None:
        """Publish that an alarm was handled or has ended."""
        audience = change.stored.traits.audience
        self._publish(Event(self._last + 1, None, change.call, None, change.stored, audience))

    def presence(self, news: PresenceNews) -> None:
        """Publish changes of the presence of users, each to the user and to all supervisors."""
        self._publish(Event(self._last + 1, presence=news))

    def day_changed(self, users: Collection[str]) -> None:
        """Publish to these users that their list of today's calls has changed."""
        self._publish(Event(self._last + 1, day_of=frozenset(users)))

    def texts_changed(self, texts: PageTexts) -> None:
        """Publish all lists of texts to all pages, after one of them has changed."""
        self._publish(Event(self._last + 1, texts=texts))

    def since(self, position: int) -> list[Event] | None:
        """Return the events after `position`; None if one is gone or `position` is too high."""
        missing = self._last - position
        if not 0 <= missing <= len(self._ring):
            return None
        size = len(self._ring)
        return [self._ring[index] for index in range(size - missing, size)]

    def _publish(self, event: Event) -> None:
        self._last = event.id
        self._ring.append(event)
        self.streams.wake()
