"""The parts of the desk that follow call events: the log of events, and the sender."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.events.event_log import CallEventLog
from galwad.events.formats import known_kinds
from galwad.events.outbox import EventSink, WebhookOutbox
from galwad.events.receiver import WebhookReceiver
from galwad.events.sender import OnAlarm, WebhookObserver, WebhookSender
from galwad.host.switch_client import FromSwitch
from galwad.messages import Sealed
from galwad.settings.events import EventName, WebhookSection

_EXPIRY_S: Final = 600.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EventReaders:
    """The readers of stored events of some kinds; `wake` is called when there are new ones."""

    kinds: Collection[EventName]
    sink: EventSink
    wake: Callable[[], None]


class Webhooks:
    """Sends call events to the receiver in the settings, and stores them for `readers`, if any."""

    def __init__(
        self,
        section: WebhookSection | None,
        engine: AsyncEngine,
        observer: WebhookObserver,
        on_alarm: OnAlarm,
        on_delivered: Callable[[], None],
        *,
        readers: EventReaders | None = None,
    ) -> None:
        sent: frozenset[EventName] = frozenset()
        if section is not None:
            sent = known_kinds(section.format).intersection(section.events)
        self.outbox = WebhookOutbox(engine, sent, readers.sink if readers is not None else None)
        self._readers = readers
        self._log: CallEventLog | None = None
        self._sender: WebhookSender | None = None
        if section is not None:
            receiver = WebhookReceiver(section)
            self._sender = WebhookSender(
                self.outbox, receiver, observer, on_alarm, on_delivered=on_delivered
            )
        if section is not None or readers is not None:
            read = frozenset(readers.kinds) if readers is not None else frozenset()
            self._log = CallEventLog(self.outbox, sent | read, self._written)

    async def start(self) -> None:
        """Load the state from before a restart."""
        if self._log is not None:
            await self._log.load()

    async def run(self) -> None:
        """Write and send events until cancelled. If there is no receiver, empty the outbox."""
        if self._sender is None:
            await self._clear()
        async with asyncio.TaskGroup() as loops:
            if self._log is not None:
                loops.create_task(self._log.run())
                loops.create_task(self._sender.run() if self._sender else self._expire())

    def _written(self) -> None:
        if self._sender is not None:
            self._sender.wake()
        if self._readers is not None:
            self._readers.wake()

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
        """Never send a waiting event."""
        if self._sender is not None:
            await self._sender.discard(event_id)

    def received(self, message: FromSwitch) -> None:
        """Handle a message of the switch. An error here must not reach the desk's calls."""
        if self._log is not None:
            try:
                self._log.received(message)
            except Exception:
                log.exception("webhook.not_followed")

    async def sealed(self, reports: Collection[Sealed]) -> None:
        """Handle sealed recordings; return when their events are in the outbox.

        Raises:
            SQLAlchemyError: The database cannot be written.
        """
        if self._log is not None:
            await self._log.sealed(reports)

    async def stop(self) -> None:
        """Write the events that are not in the outbox yet. They are sent after the next start."""
        if self._log is not None:
            self._log.stop()
            try:
                await self._log.flush()
            except SQLAlchemyError as error:
                log.error("webhook.not_written", why=type(error).__name__)  # noqa: TRY400
