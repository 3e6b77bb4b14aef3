"""Sends the events in the outbox to the receiver.

The events of one call are sent in their order, each after the previous one is settled. A failed
event is tried again with exponential back-off and jitter. After a failure, the receiver gets a rest
in which nothing is sent. Then one event at a time is sent until the receiver accepts or refuses
one. So an outage does not end with a flood of events.

The `CircuitBreaker` of the delivery of notes is not used here. A rest of the receiver has jitter,
the receiver can ask for a longer rest, and `retry` ends a rest without resetting the count of
failures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import structlog
from sqlalchemy.exc import SQLAlchemyError

from galwad.events.call_events import WebhookEvent
from galwad.events.outbox import WaitingEvent, WebhookOutbox
from galwad.events.receiver import CONNECTIONS, SendResult
from galwad.host.outbox import Backlog, BackOff
from galwad.messages import Alarm

PAUSES = BackOff(1.0, 300.0)
"""The pauses of an event after each failed attempt, and the rests of the receiver."""
_LONGEST_REST_S: Final = 86_400.0
"""The longest rest, in seconds, that the receiver itself can ask for."""
_EXPIRY_S: Final = 60.0
_DEPTH_S: Final = 1.0
_READ_AHEAD: Final = 100
_RETRY_S: Final = 5.0
_DOWN: Final = 8
"""The failures in succession after which an alarm is raised."""
log = structlog.get_logger()


class EventReceiver(Protocol):
    """The system to which events are sent."""

    async def send(self, event: WebhookEvent) -> SendResult:
        """Send an event once; return the result."""

    async def close(self) -> None:
        """Close all connections."""


class WebhookObserver(Protocol):
    """The metrics of the sending of events."""

    def webhook_attempt(self, outcome: str, count: int = 1) -> None:
        """Count attempts, or dropped events."""

    def webhook_backlog(self, backlog: Backlog) -> None:
        """Show how many events wait."""


DISCARDED: Final = "an administrator has discarded it"
OnAlarm: TypeAlias = Callable[[Alarm], None]


class WebhookSender:
    """Sends the events of an outbox, and closes `receiver` at the end."""

    def __init__(
        self,
        outbox: WebhookOutbox,
        receiver: EventReceiver,
        observer: WebhookObserver,
        on_alarm: OnAlarm,
        clock: Callable[[], float] = time.time,
        *,
        on_delivered: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._receiver = receiver
        self._observer = observer
        self._on_alarm = on_alarm
        self._on_delivered = on_delivered
        self._clock = clock
        self._random = random.SystemRandom()
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._failures = 0
        """The failures in succession; attempts that were made at the same time count as one."""
        self._rest_until = 0.0
        """The time in monotonic seconds until which nothing is sent."""
        self._ready: deque[WaitingEvent] = deque()
        """Due events of calls without a request in progress, read ahead as the search is slow."""
        self._expiry_due = self._depth_due = 0.0
        self._alarms: set[str] = set()
        """The kinds of alarms that were raised since the last event was delivered."""

    def wake(self) -> None:
        """Look for new events in the outbox."""
        self._wake.set()

    async def retry(self, event_id: str) -> None:
        """Send a waiting event as soon as possible, even during a rest of the receiver."""
        await self._outbox.hurry(event_id, self._clock())
        self._rest_until = 0.0
        self.wake()

    async def discard(self, event_id: str) -> None:
        """Never send a waiting event, unless it is being sent just now."""
        await self._outbox.settle(event_id, "dropped", DISCARDED, self._clock())
        self._observer.webhook_attempt("dropped")
        self._ready.clear()
        self.wake()

    async def run(self) -> None:
        """Send events until cancelled."""
        try:
            while True:
                self._wake.clear()
                try:
                    delay_s = await self._send_what_is_due()
                except Exception:
                    # The database may be back in a moment. No error may end the sending for ever.
                    log.exception("webhook.not_read")
                    delay_s = _RETRY_S
                await self._woken_within(delay_s)
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)
            await self._receiver.close()

    async def _woken_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _send_what_is_due(self) -> float:
        """Begin to send the events that are due; return the seconds until the next look."""
        await self._expire()
        shown_s = await self._show_depth()
        rest_s = self._rest_until - time.monotonic()
        if rest_s > 0:
            return min(rest_s, shown_s)
        places = (1 if self._failures else CONNECTIONS) - len(self._busy)
        if len(self._ready) < places:
            known = [*self._busy, *(each.event.call.call_id for each in self._ready)]
            self._ready += await self._outbox.due(self._clock(), known, _READ_AHEAD)
        while self._ready and places > 0:
            waiting, places = self._ready.popleft(), places - 1
            call_id = waiting.event.call.call_id
            self._busy[call_id] = asyncio.create_task(self._send(call_id, waiting))
        if places <= 0:
            return shown_s  # the end of a request wakes the sender
        due = await self._outbox.next_due(tuple(self._busy))
        return shown_s if due is None else min(max(due - self._clock(), 0.01), shown_s)

    async def _expire(self) -> None:
        if time.monotonic() < self._expiry_due:
            return
        dropped = await self._outbox.expire(self._clock())
        self._expiry_due = time.monotonic() + _EXPIRY_S
        if dropped:
            self._ready.clear()
            self._observer.webhook_attempt("dropped", dropped)
            self._alarm("webhook.dropped", f"{dropped} events were dropped")

    async def _show_depth(self) -> float:
        """Show how many events wait, at most once a second; return the seconds to the next look."""
        now = time.monotonic()
        if now < self._depth_due:
            return self._depth_due - now
        self._depth_due = now + _DEPTH_S
        self._observer.webhook_backlog(await self._outbox.backlog())
        return _EXPIRY_S

    async def _send(self, call_id: str, waiting: WaitingEvent) -> None:
        try:
            result = await self._receiver.send(waiting.event)
        except Exception:
            # An error in one event must not end the sending of the others.
            log.exception("webhook.not_sent", event_id=waiting.event.event_id)
            result = SendResult("failed", "an internal error")
        try:
            await self._store(waiting, result)
        except SQLAlchemyError as error:
            # The event is sent again, with the same id.
            log.error("webhook.not_written", why=type(error).__name__)  # noqa: TRY400
            self._rest_for(_RETRY_S)
        finally:
            del self._busy[call_id]
            self._wake.set()

    async def _store(self, waiting: WaitingEvent, result: SendResult) -> None:
        event = waiting.event
        self._observer.webhook_attempt(result.outcome)
        if result.outcome == "failed":
            log.warning("webhook.failed", event_id=event.event_id, reason=result.reason)
            asked_s = min(result.rest_s, _LONGEST_REST_S)
            self._failed(asked_s, result.reason)
            due = self._clock() + max(self._pause(waiting.attempts), asked_s)
            await self._outbox.postpone(event.event_id, due, result.reason)
            return
        self._failures = 0
        if result.outcome == "refused":
            log.error("webhook.refused", event_id=event.event_id, reason=result.reason)
            self._alarm("webhook.refused", result.reason, event.call.call_id)
        else:
            self._alarms.clear()
            self._on_delivered()
        await self._outbox.settle(event.event_id, result.outcome, result.reason, self._clock())

    def _failed(self, asked_s: float, reason: str) -> None:
        """Let the receiver rest; attempts that were made at the same time count as one failure."""
        if time.monotonic() >= self._rest_until:
            self._failures += 1
            if self._failures == _DOWN:
                self._alarm("webhook.down", reason)
        self._rest_for(max(asked_s, self._pause(self._failures - 1)))

    def _rest_for(self, seconds: float) -> None:
        self._rest_until = max(self._rest_until, time.monotonic() + seconds)

    def _alarm(self, kind: str, detail: str, call_id: str | None = None) -> None:
        """Raise an alarm, if it is the first of its kind since an event was delivered."""
        if kind not in self._alarms:
            self._alarms.add(kind)
            self._on_alarm(Alarm(kind, call_id, detail))

    def _pause(self, failures: int) -> float:
        return PAUSES.wait_s(failures, self._random.random())
