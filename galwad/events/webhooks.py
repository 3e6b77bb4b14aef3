"""Follows all calls, stores their events, and sends them.

If the desk is killed before it has stored an event, the switch's next snapshot may lead to the same
event again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.events.call_events import CallProgress, Step, end, follow, seal
from galwad.events.formats import known_kinds
from galwad.events.outbox import MAX_AGE_S, CallStep, WebhookOutbox
from galwad.events.receiver import WebhookReceiver
from galwad.events.sender import OnAlarm, WebhookObserver, WebhookSender
from galwad.events.stream import CallStream
from galwad.host.call_follower import CallFollower
from galwad.host.switch_client import FromSwitch
from galwad.messages import CallChanged, CallEnded, CallsSnapshot, CallStatus, Sealed
from galwad.settings.desk import EventName, WebhookSection

_EXPIRY_S: Final = 600.0
_BATCH_S: Final = 0.05
"""The seconds for which events are collected before one transaction writes them."""
PATIENCE_S: Final = 5.0
"""The seconds after a snapshot at which calls that it does not contain count as ended."""
log = structlog.get_logger()


class CallEventLog:
    """Follows all calls; writes their events of `kinds` to the outbox, then calls `on_written`."""

    def __init__(
        self,
        outbox: WebhookOutbox,
        follower: CallFollower,
        kinds: Collection[EventName],
        on_written: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._kinds = frozenset(kinds)
        self._clock = clock
        self._calls: dict[str, CallProgress] = {}
        self._missing: set[str] = set()
        """The calls in progress that neither the newest snapshot nor a later report names."""
        self._timer: asyncio.TimerHandle | None = None
        self.steps = follower.queue(
            "webhook", self._write, lambda _: on_written(), batch_s=_BATCH_S
        )

    async def load(self) -> None:
        """Load the progress of calls from before a restart. Call this before the first message."""
        self._calls = await self._outbox.calls()

    async def _write(self, connection: AsyncConnection, steps: Sequence[CallStep]) -> tuple[()]:
        await self._outbox.write(connection, steps, self._clock())
        return ()

    def stop(self) -> None:
        """Cancel the timer after which missing calls count as ended."""
        if self._timer is not None:
            self._timer.cancel()

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch."""
        match message:
            case CallsSnapshot():
                self._snapshot(message)
            case CallChanged():
                self._follow(message.call)
            case CallEnded():
                self._end(message.call_id, message.ended)

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Write the events of sealed recordings; return when they are in the outbox.

        A call without a progress has no event if its recording is older than `MAX_AGE_S`. Old
        recordings are reported when an index is made again. Raises `AuditError` if the database
        cannot be written. The finaliser must then repeat the reports.
        """
        now = self._clock()
        for sealed in reports:
            progress = self._calls.get(sealed.call_id)
            if progress is not None or sealed.started >= now - MAX_AGE_S:
                self._take(sealed.call_id, seal(progress, sealed, now))
        await self.steps.flush()

    def _snapshot(self, snapshot: CallsSnapshot) -> None:
        for call in snapshot.calls:
            self._follow(call)
        live = {call.call_id for call in snapshot.calls}
        self._missing = {
            call_id
            for call_id, progress in self._calls.items()
            if call_id not in live and not progress.ended
        }
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE_S, self._end_missing)

    def _end_missing(self) -> None:
        for call_id in tuple(self._missing):
            self._end(call_id, self._clock())

    def _follow(self, call: CallStatus) -> None:
        self._missing.discard(call.call_id)
        self._take(call.call_id, follow(self._calls.get(call.call_id), call, self._clock()))

    def _end(self, call_id: str, ended: float) -> None:
        self._missing.discard(call_id)
        progress = self._calls.get(call_id)
        if progress is not None:
            self._take(call_id, end(progress, ended))

    def _take(self, call_id: str, step: Step) -> None:
        before, (after, events) = self._calls.get(call_id), step
        if after is None:
            self._calls.pop(call_id, None)
        else:
            self._calls[call_id] = after
        if after != before or events:
            wanted = [event for event in events if event.kind in self._kinds]
            self.steps.add(CallStep(call_id, after, wanted))


class Webhooks:
    """Sends call events to the receiver in the settings, and stores them for `stream`."""

    def __init__(
        self,
        section: WebhookSection | None,
        engine: AsyncEngine,
        observer: WebhookObserver,
        on_alarm: OnAlarm,
        on_delivered: Callable[[], None],
        *,
        follower: CallFollower,
        stream: CallStream,
    ) -> None:
        sent: frozenset[EventName] = frozenset()
        if section is not None:
            sent = known_kinds(section.format).intersection(section.events)
        self.outbox = WebhookOutbox(engine, sent, stream.store)
        self._stream = stream
        self._log: CallEventLog | None = None
        self._sender: WebhookSender | None = None
        if section is not None:
            receiver = WebhookReceiver(section)
            self._sender = WebhookSender(
                self.outbox, receiver, observer, on_alarm, on_delivered=on_delivered
            )
        if section is not None or stream.store is not None:
            read = stream.store.kinds if stream.store is not None else frozenset()
            self._log = CallEventLog(self.outbox, follower, sent | read, self._written)

    async def start(self) -> None:
        """Load the state from before a restart."""
        if self._log is not None:
            await self._log.load()

    async def run(self) -> None:
        """Send events until cancelled. Without a receiver, empty the outbox instead."""
        if self._sender is not None:
            await self._sender.run()
            return
        await self._clear()
        if self._log is not None:
            await self._expire()

    def _written(self) -> None:
        if self._sender is not None:
            self._sender.wake()
        self._stream.wake()

    async def _expire(self) -> None:
        while True:
            try:
                await self.outbox.expire(time.time())
            except SQLAlchemyError as error:
                log.error("webhook.not_expired", why=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_EXPIRY_S)

    async def _clear(self) -> None:
        try:
            await self.outbox.clear()
        except SQLAlchemyError as error:
            log.error("webhook.not_cleared", why=type(error).__name__)  # noqa: TRY400

    async def retry(self, event_id: str) -> None:
        """Send a waiting event as soon as possible."""
        if self._sender is not None:
            await self._sender.retry(event_id)

    async def discard(self, event_id: str) -> None:
        """Never send a waiting event, unless it is being sent now."""
        if self._sender is not None:
            await self._sender.discard(event_id)

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch. An error is only logged: it must not disturb calls."""
        if self._log is not None:
            try:
                self._log.received(message)
            except Exception:
                log.exception("webhook.not_followed")

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Put the events of sealed recordings into the outbox. Raises `AuditError`."""
        if self._log is not None:
            await self._log.sealed(reports)

    def stop(self) -> None:
        """Cancel the timer after which missing calls count as ended."""
        if self._log is not None:
            self._log.stop()
