"""The stream of call events: it wakes the machines that read it, and removes old events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.events.stream_store import StreamStore, remove_contents
from galwad.settings.events import EventStreamSection

_EXPIRE_S: Final = 60.0
_HOUR_S: Final = 3600.0
log = structlog.get_logger()


class CallStream:
    """The stream of call events; if `section` is None, it has no store and cannot be read."""

    def __init__(
        self,
        section: EventStreamSection | None,
        engine: AsyncEngine,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._readers: set[Callable[[], None]] = set()
        self.written = 0
        """The number of times that events were written. It shows a reader that there is news."""
        self.store: StreamStore | None = None
        if section is not None:
            keep_s = section.keep_hours * _HOUR_S
            self.store = StreamStore(engine, section.events, keep_s, section.keep_events)

    def wake(self) -> None:
        """Wake all readers, because events were written."""
        self.written += 1
        for wake in tuple(self._readers):
            wake()

    @contextmanager
    def reader(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` whenever events were written, until the context ends."""
        self._readers.add(wake)
        try:
            yield
        finally:
            self._readers.discard(wake)

    async def run(self) -> None:
        """Remove old events until cancelled; without a stream, remove all contents once."""
        while True:
            try:
                if self.store is None:
                    await remove_contents(self._engine)
                    return
                await self.store.expire(self._clock())
            except SQLAlchemyError as error:
                log.error("call_stream.not_expired", why=type(error).__name__)  # noqa: TRY400
            await asyncio.sleep(_EXPIRE_S)
