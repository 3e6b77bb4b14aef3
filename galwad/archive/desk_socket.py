"""The socket `desk.sock`, to which the finaliser and the command line send messages.

The desk also sends requests to the finaliser, over the connection that the finaliser has opened:
see `FinaliserClient`.

The desk acknowledges a recording when its complete index row, and what other subjects store about
it, are committed. The finaliser repeats a report that was not acknowledged. A recording that is
reported twice has one row.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import structlog

from galwad.archive.indexer import Indexer
from galwad.host.errors import ApiError
from galwad.link import Link, serve
from galwad.messages import (
    Alarm,
    AnyMessage,
    ArchiveReply,
    Hello,
    Indexed,
    ProveSpools,
    Sealed,
    UsersChanged,
    WaitingSpool,
    WaitingSpools,
)
from recording.archive.packet_ledger import SpoolProof

_MOST_REPORTS: Final = 1000
"""The most reports that wait in memory.

At this limit, a connection is read again only when its newest message has been handled.
"""
REPLY_S: Final = 30.0
PROOF_S: Final = 600.0
"""The time limit in seconds for the check of the spools, which reads all unsealed audio."""
log = structlog.get_logger()


class FinaliserDownError(ApiError):
    """The finaliser is not connected, or has not replied: the response has status 503."""

    def __init__(self, error: str = "the finaliser cannot be reached") -> None:
        super().__init__(503, error, "try again: completed steps are not repeated")


class FinaliserClient:
    """Sends requests to a connected finaliser, and gives the replies to the waiting tasks."""

    def __init__(self) -> None:
        self._links: set[Link] = set()
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ArchiveReply]] = {}

    @property
    def connected(self) -> bool:
        """True while a finaliser is connected."""
        return bool(self._links)

    def attach(self, link: Link) -> None:
        """Add the link of a finaliser that has connected. Requests can now be sent over it."""
        self._links.add(link)

    def detach(self, link: Link) -> None:
        """Remove a closed link. If it was a finaliser's, all waiting requests fail."""
        if link in self._links:
            self._links.discard(link)
            self.fail_waiting()

    async def close(self) -> None:
        """Close the links to all finalisers."""
        for link in tuple(self._links):
            await link.close()

    async def request(
        self, message: Callable[[int], AnyMessage], timeout_s: float = REPLY_S
    ) -> bytes:
        """Send a request to the finaliser; return the bytes in its reply.

        `message` makes the message with a new reference number, which the reply repeats.

        Raises:
            FinaliserDownError: No finaliser is connected, the connection was lost, or no reply came
                within `timeout_s` seconds.
            ApiError: 409, the finaliser has refused the request, or could not carry it out.
        """
        ref = next(self._refs)
        reply: asyncio.Future[ArchiveReply] = asyncio.get_running_loop().create_future()
        link = next((each for each in self._links if not each.closed), None)
        if link is None:
            raise FinaliserDownError
        self._waiting[ref] = reply
        try:
            link.send(message(ref))
            async with asyncio.timeout(timeout_s):
                done = await reply
        except TimeoutError:
            log.warning("finaliser.no_reply")
            raise FinaliserDownError("the finaliser did not answer in time") from None
        finally:
            self._waiting.pop(ref, None)
        if done.error:
            raise ApiError(409, done.error, "see the finaliser's journal before you try again")
        return done.content

    async def prove_spools(self) -> tuple[SpoolProof, ...]:
        """Return the findings about spools that are not sealed; raise the errors of `request`."""
        content = await self.request(ProveSpools, PROOF_S)
        return msgspec.msgpack.decode(content, type=tuple[SpoolProof, ...])

    def replied(self, reply: ArchiveReply) -> None:
        """Give a reply of the finaliser to the task that waits for it in `request`."""
        waiting = self._waiting.get(reply.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def fail_waiting(self) -> None:
        """Make all waiting requests fail, because the link is lost and no reply can arrive."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(
                    FinaliserDownError("the connection to the finaliser was lost")
                )


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
        self._server = await serve(self._path, self._received, self._finaliser.detach)

    async def stop(self) -> None:
        """Stop listening and finish earlier messages. The finaliser repeats later reports."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
            await self._finaliser.close()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _received(self, link: Link, message: AnyMessage) -> None:
        if self._stopping:
            return
        work = asyncio.create_task(self._dispatch(link, message))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)
        # After a report, the next message is read at once, so that reports which arrive together
        # are written together.
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
