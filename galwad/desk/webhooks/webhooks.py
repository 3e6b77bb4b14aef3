"""The parts of the desk that send call events: the log of events, and the sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from config.webhook import WebhookSection
from galwad.desk.calls.switch_client import FromSwitch
from galwad.desk.webhooks.event_log import CallEventLog
from galwad.desk.webhooks.formats import known_kinds
from galwad.desk.webhooks.outbox import WebhookOutbox
from galwad.desk.webhooks.receiver import WebhookReceiver
from galwad.desk.webhooks.sender import OnAlarm, WebhookObserver, WebhookSender
from galwad.messages import Sealed

log = structlog.get_logger()


class Webhooks:
    """Sends the events of calls to the receiver in the settings; does nothing if there is none.

    Args:
        section: The settings of the receiver.
        engine: The desk's database.
        observer: The metrics.
        on_alarm: A function that is called with each alarm.
        on_delivered: A function that is called when the receiver has accepted an event.
    """

    def __init__(
        self,
        section: WebhookSection | None,
        engine: AsyncEngine,
        observer: WebhookObserver,
        on_alarm: OnAlarm,
        on_delivered: Callable[[], None],
    ) -> None:
        self.outbox = WebhookOutbox(engine)
        self._log: CallEventLog | None = None
        self._sender: WebhookSender | None = None
        if section is not None:
            kinds = known_kinds(section.format).intersection(section.events)
            receiver = WebhookReceiver(section)
            self._sender = WebhookSender(
                self.outbox, receiver, observer, on_alarm, on_delivered=on_delivered
            )
            self._log = CallEventLog(self.outbox, kinds, self._sender.wake)

    async def start(self) -> None:
        """Load the state from before a restart."""
        if self._log is not None:
            await self._log.load()

    async def run(self) -> None:
        """Write and send events until cancelled. If there is no receiver, empty the outbox."""
        if self._log is None or self._sender is None:
            await self._clear()
            return
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._log.run())
            loops.create_task(self._sender.run())

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

    async def sealed(self, sealed: Sealed) -> None:
        """Handle a sealed recording; return when its event is in the outbox.

        Raises:
            SQLAlchemyError: The database cannot be written.
        """
        if self._log is not None:
            await self._log.sealed(sealed)

    async def stop(self) -> None:
        """Write the events that are not in the outbox yet. They are sent after the next start."""
        if self._log is not None:
            self._log.stop()
            try:
                await self._log.flush()
            except SQLAlchemyError as error:
                log.error("webhook.not_written", why=type(error).__name__)  # noqa: TRY400
