"""`EventsSubject`: the events of calls that other systems and machines receive."""

from __future__ import annotations

import time
from typing import Annotated, Protocol

from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge

from galwad.archive.subject import RecordingsIndexed
from galwad.calls.alarms.kinds import Ending
from galwad.calls.subject import CallsSubject
from galwad.events.stream import CallStream
from galwad.events.webhooks import Webhooks
from galwad.host.host import Host, desk_of
from galwad.host.outbox import Backlog
from galwad.messages import CallChanged, CallEnded, CallsSnapshot
from galwad.people.subject import PeopleDesk


class EventMetrics:
    """The metrics of the sending of events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "galwad_desk_webhook_events",
            "Attempts to send a call event, and dropped events, by outcome",
            ["outcome"],
            registry=registry,
        )
        self._backlog = Backlog(0, 0, None)
        Gauge(
            "galwad_desk_webhook_waiting",
            "Call events that wait to be sent",
            registry=registry,
        ).set_function(lambda: self._backlog.waiting)
        Gauge(
            "galwad_desk_webhook_oldest_seconds",
            "For how long the oldest call event has waited",
            registry=registry,
        ).set_function(lambda: self._backlog.age_s(time.time()))

    def webhook_attempt(self, outcome: str, count: int = 1) -> None:
        """Count attempts to send a call event, or events that were dropped."""
        self._events.labels(outcome).inc(count)

    def webhook_backlog(self, backlog: Backlog) -> None:
        """Show how many call events wait, and since when."""
        self._backlog = backlog


class EventsSubject:
    """The stream of call events, and the webhooks, which store events for it."""

    def __init__(self, host: Host, calls: CallsSubject) -> None:
        settings = host.settings
        self.stream = CallStream(settings.event_stream, host.engine)
        self.webhooks = Webhooks(
            settings.webhook,
            host.engine,
            EventMetrics(host.metrics.registry),
            host.alarm,
            lambda: calls.alarms.ended(Ending.DELIVERED),
            follower=host.follower,
            stream=self.stream,
        )
        host.hear(CallsSnapshot, self.webhooks.received)
        host.hear(CallChanged, self.webhooks.received)
        host.hear(CallEnded, self.webhooks.received)
        host.hear_and_wait(RecordingsIndexed, self._recordings_indexed)
        host.on_start(self.webhooks.start)
        host.loop(self.webhooks.run)
        host.loop(self.stream.run)
        host.on_stop(self._stop)

    async def _stop(self) -> None:
        self.webhooks.stop()

    async def _recordings_indexed(self, indexed: RecordingsIndexed) -> None:
        await self.webhooks.sealed(indexed.reports)


class EventsDesk(PeopleDesk, Protocol):
    """The parts of the desk that endpoints about events use."""

    events: EventsSubject


TheDesk = Annotated[EventsDesk, Depends(desk_of)]
