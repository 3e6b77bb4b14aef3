"""The desk's own socket: the finaliser's recordings and replies, and notices of the command line.

A recording is acknowledged only after its row is committed. To hand it in twice changes nothing, so
the finaliser may send it again after a crash on either side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callerid.errors import NumberError
from callerid.number import PhoneNumber
from galwad.desk.archive.finaliser_client import Orders
from galwad.link import Link, serve
from galwad.messages import (
    Alarm,
    AnyMessage,
    ArchiveReply,
    Hello,
    Indexed,
    LeftSpool,
    Sealed,
    SpoolsLeft,
    UsersChanged,
)
from recording.archive.summary import RecordingSummary
from recording.errors import AuditError, CatalogueError
from recording.index.catalogue import Catalogue

log = structlog.get_logger()


class Intake:
    """Listens on `desk.sock`; the callbacks receive what has been committed."""

    def __init__(
        self,
        path: Path,
        catalogue: Catalogue,
        *,
        on_recovered: Callable[[Sealed], Awaitable[None]],
        before_indexed: Callable[[Sealed], Awaitable[None]],
        on_indexed: Callable[[Sealed], Awaitable[None]],
        on_alarm: Callable[[Alarm], None],
        on_users: Callable[[], Awaitable[None]],
        on_spools: Callable[[tuple[LeftSpool, ...]], None],
    ) -> None:
        self._path = path
        self._catalogue = catalogue
        self._on_recovered = on_recovered
        self._before_indexed = before_indexed
        self._on_indexed = on_indexed
        self._on_alarm = on_alarm
        self._on_users = on_users
        self._on_spools = on_spools
        self._finalisers: set[Link] = set()
        self.orders = Orders(self._finalisers)
        self._nameless: set[str] = set()
        self._server: asyncio.Server | None = None
        self._at_work: set[asyncio.Task[None]] = set()
        self._stopping = False

    @property
    def finaliser(self) -> bool:
        """True while a finaliser is connected."""
        return bool(self._finalisers)

    async def start(self) -> None:
        """Listen."""
        self._server = await serve(self._path, self._received, self._gone)

    async def stop(self) -> None:
        """Stop listening, close the finalisers' links, and finish the work that has begun.

        A message that was not begun is dropped; the finaliser sends it again.
        """
        self._stopping = True
        if self._server is not None:
            self._server.close()
            for link in tuple(self._finalisers):
                await link.close()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    def _gone(self, link: Link) -> None:
        if link in self._finalisers:
            self._finalisers.discard(link)
            self.orders.lost()

    async def _received(self, link: Link, message: AnyMessage) -> None:
        if self._stopping:
            return
        work = asyncio.create_task(self._take(link, message))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        await work

    async def _take(self, link: Link, message: AnyMessage) -> None:
        match message:
            case Hello():
                if message.role == "finaliser":
                    self._finalisers.add(link)
            case Sealed():
                await self._sealed(link, message)
            case ArchiveReply():
                self.orders.replied(message)
            case Alarm():
                self._on_alarm(message)
            case SpoolsLeft():
                self._on_spools(message.spools)
            case UsersChanged():
                await self._on_users()
            case _:
                log.warning("intake.unexpected", message=type(message).__name__)

    async def _sealed(self, link: Link, sealed: Sealed) -> None:
        try:
            known = await self._catalogue.get(sealed.call_id)
            if sealed.recovered and not (known is not None and _is_of(known, sealed)):
                await self._on_recovered(sealed)
            if known is None or known.manifest_sha256 != sealed.manifest_sha256:
                await self._before_indexed(sealed)
            row = None if sealed.personal else known
            new = row is None and await self._catalogue.add(recording_of(sealed))
            if row is None or _is_of(row, sealed):
                await self._on_indexed(sealed)
        except (AuditError, CatalogueError, SQLAlchemyError):
            log.exception("recording.not_indexed", call_id=sealed.call_id)
            return
        if not sealed.personal and (row is None or not _is_of(row, sealed)):
            self._nameless_alarm(sealed.call_id)
            return
        link.send(Indexed(sealed.call_id))
        log.info("recording.indexed", call_id=sealed.call_id, again=not new)

    async def reindex(self, sealed: Sealed) -> bool:
        """Index a recording that was proven in the archive; return False if it was indexed already.

        Raises:
            AuditError, CatalogueError: The recording was not indexed.
        """
        await self._before_indexed(sealed)
        new = await self._catalogue.add(recording_of(sealed), replace=False)
        if new:
            await self._on_indexed(sealed)
            log.info("recording.reindexed", call_id=sealed.call_id)
        return new

    def _nameless_alarm(self, call_id: str) -> None:
        if call_id not in self._nameless:
            self._nameless.add(call_id)
            text = "it is archived, but who called is in its spool alone, which is of another boot"
            self._on_alarm(Alarm("recording.locked", call_id, text))


def _is_of(row: RecordingSummary, sealed: Sealed) -> bool:
    """Return whether the row is this recording's and holds its number, line and advisor."""
    return row.has_personal_facts and row.manifest_sha256 == sealed.manifest_sha256


def recording_of(sealed: Sealed) -> RecordingSummary:
    """Return the index row for a report of the finaliser."""
    fields = {name: getattr(sealed, name) for name in RecordingSummary.__struct_fields__}
    return RecordingSummary(**fields | {"number": normal(sealed.number)})


def normal(text: str | None) -> str | None:
    """Return a number as the index stores and searches it: in E.164, or as written if it cannot be.

    None if there is no number.
    """
    if not text:
        return None
    try:
        return PhoneNumber.parse(text).bare
    except NumberError:
        return text
