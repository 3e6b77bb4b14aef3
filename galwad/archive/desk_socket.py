"""The socket `desk.sock`, to which the finaliser and the command line send messages.

The desk acknowledges a recording when its index row is committed; reports that arrive together are
committed together. The finaliser repeats a report that was not acknowledged, and a recording that
is reported twice has one row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from galwad.archive.finaliser_client import FinaliserClient
from galwad.archive.indexer import Indexer
from galwad.link import Link, serve
from galwad.messages import (
    Alarm,
    AnyMessage,
    ArchiveReply,
    Hello,
    Indexed,
    Sealed,
    UsersChanged,
    WaitingSpool,
    WaitingSpools,
)

_MOST_REPORTS: Final = 1000
"""The number of reports of recordings that may wait in memory to be written."""
log = structlog.get_logger()


class DeskSocket:
    """Listens on `desk.sock`, and gives each message to the part of the desk that handles it."""

    def __init__(
        self,
        path: Path,
        finaliser: FinaliserClient,
        indexer: Indexer,
        *,
        on_alarm: Callable[[Alarm], None],
        on_users: Callable[[], Awaitable[None]],
        on_spools: Callable[[tuple[WaitingSpool, ...]], None],
    ) -> None:
        self._path = path
        self._finaliser = finaliser
        self._indexer = indexer
        self._on_alarm = on_alarm
        self._on_users = on_users
        self._on_spools = on_spools
        self._server: asyncio.Server | None = None
        self._at_work: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Start to listen on the socket."""
        self._server = await serve(self._path, self._received, self._gone)

    async def stop(self) -> None:
        """Stop listening and finish earlier messages; later recordings are reported again."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
            await self._finaliser.close()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _gone(self, link: Link) -> None:
        self._finaliser.detach(link)

    async def _received(self, link: Link, message: AnyMessage) -> None:
        if self._stopping:
            return
        work = asyncio.create_task(self._dispatch(link, message))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        # The next message is read at once, so that reports which arrive together are written
        # together.
        if not isinstance(message, Sealed) or len(self._at_work) >= _MOST_REPORTS:
            await work

    async def _dispatch(self, link: Link, message: AnyMessage) -> None:
        match message:
            case Hello():
                if message.role == "finaliser":
                    self._finaliser.attach(link)
            case Sealed():
                if await self._indexer.index(message):
                    link.send(Indexed(message.call_id))
            case ArchiveReply():
                self._finaliser.replied(message)
            case Alarm():
                self._on_alarm(message)
            case WaitingSpools():
                self._on_spools(message.spools)
            case UsersChanged():
                await self._on_users()
            case _:
                log.warning("intake.unexpected", message=type(message).__name__)
