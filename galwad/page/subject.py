"""`PageSubject`: the events that open pages receive."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import Depends

from galwad.calls.bodies import PresenceNews
from galwad.calls.subject import AlarmChange, AlarmNews, CallChange, CallsDesk, DayOfUsersChanged
from galwad.events.subject import EventsDesk
from galwad.host.host import Host, desk_of
from galwad.page.events import EventHub
from galwad.texts.subject import TextsChanged, TextsSubject
from galwad.texts.text_lists import page_texts


class PageSubject:
    """Publishes to the open pages what other subjects report."""

    def __init__(self, host: Host, texts: TextsSubject) -> None:
        self.hub = hub = EventHub(host.streams)
        host.hear(CallChange, lambda change: hub.call(change.before, change.after))
        host.hear(AlarmNews, hub.alarm)
        host.hear(AlarmChange, hub.alarm_changed)
        host.hear(DayOfUsersChanged, lambda change: hub.day_changed(change.users))
        host.hear(PresenceNews, hub.presence)
        host.hear(TextsChanged, lambda _: hub.texts_changed(page_texts(texts.lists)))


class PageDesk(CallsDesk, EventsDesk, Protocol):
    """The parts of the desk that endpoints of the page use."""

    page: PageSubject


TheDesk = Annotated[PageDesk, Depends(desk_of)]
