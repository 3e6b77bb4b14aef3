"""`Events`: the events of calls that other systems and machines receive."""

from __future__ import annotations

import time
from typing import Annotated, Protocol

from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge

from galwad.archive.subject import RecordingsIndexed
from galwad.calls.alarms.kinds import Ending
from galwad.calls.subject import Calls
from galwad.events.outbox import OutboxDepth
from galwad.events.stream import CallStream
from galwad.events.webhooks import EventReaders, Webhooks
from galwad.host.host import Host, desk_of
from galwad.messages import CallChanged, CallEnded, CallsSnapshot
from galwad.people.subject import People


class EventMetrics:
    """The metrics of the sending of events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "galwad_desk_webhook_events",
            "Attempts to send a call event, and dropped events, by outcome",
            ["outcome"],
            registry=registry,
        )
        self._depth = OutboxDepth(0, 0.0)
        Gauge(
            "galwad_desk_webhook_waiting",
            "Call events that wait to be sent",
            registry=registry,
        ).set_function(lambda: self._depth.waiting)
        Gauge(
            "galwad_desk_webhook_oldest_seconds",
            "For how long the oldest call event has waited",
            registry=registry,
        ).set_function(self._oldest_seconds)

    def webhook_attempt(self, outcome: str, count: int = 1) -> None:
        """Count attempts to send a call event, or events that were dropped."""
        self._events.labels(outcome).inc(count)

    def webhook_depth(self, depth: OutboxDepth) -> None:
        """Show how many call events wait, and since when."""
        self._depth = depth

    def _oldest_seconds(self) -> float:
        depth = self._depth
        return max(time.time() - depth.oldest, 0.0) if depth.waiting else 0.0


class Events:
    """The stream of call events, and the webhooks, which store events for it."""

    def __init__(self, host: Host, calls: Calls) -> None:
        settings = host.settings
        self.stream = CallStream(settings.event_stream, host.engine)
        store = self.stream.store
        self.webhooks = Webhooks(
            settings.webhook,
            host.engine,
            EventMetrics(host.metrics.registry),
            host.alarm,
            lambda: calls.alarms.ended(Ending.DELIVERED),
            readers=EventReaders(store.kinds, store, self.stream.wake) if store else None,
        )
        host.hear(CallsSnapshot, self.webhooks.received)
        host.hear(CallChanged, self.webhooks.received)
        host.hear(CallEnded, self.webhooks.received)
        host.hear_and_wait(RecordingsIndexed, self._recordings_indexed)
        host.on_start(self.webhooks.start)
        host.loop(self.webhooks.run)
        host.loop(self.stream.run)
        host.on_stop(self.webhooks.stop)

    async def _recordings_indexed(self, indexed: RecordingsIndexed) -> None:
        await self.webhooks.sealed(indexed.reports)


class Desk(Protocol):
    """The parts of the desk that endpoints about events use."""

    host: Host
    people: People
    events: Events


TheDesk = Annotated[Desk, Depends(desk_of)]
