"""The desk's requests to the finaliser, the only writer of the archive, and their replies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

import structlog

from galwad.desk.errors import ApiError
from galwad.link import Link
from galwad.messages import AnyMessage, ArchiveReply

REPLY_S: Final = 30.0
log = structlog.get_logger()


class FinaliserDownError(ApiError):
    """The finaliser cannot be reached, or did not answer in time."""

    def __init__(self, error: str = "the finaliser cannot be reached") -> None:
        super().__init__(503, error, "try again: what is already done is not done twice")


class FinaliserClient:
    """Sends requests to a connected finaliser, and matches its replies to them."""

    def __init__(self) -> None:
        self._links: set[Link] = set()
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ArchiveReply]] = {}

    @property
    def connected(self) -> bool:
        """True while a finaliser is connected."""
        return bool(self._links)

    def attach(self, link: Link) -> None:
        """Send requests over this link from now on."""
        self._links.add(link)

    def detach(self, link: Link) -> None:
        """Stop using a link that has closed; if it was a finaliser's, fail the waiting requests."""
        if link in self._links:
            self._links.discard(link)
            self.fail_waiting()

    async def close(self) -> None:
        """Close the links."""
        for link in tuple(self._links):
            await link.close()

    async def request(self, message: Callable[[int], AnyMessage]) -> bytes:
        """Send the message made for a new reference, wait, and return the reply's content.

        Raises:
            FinaliserDownError: No finaliser is connected, or no answer came in time.
            ApiError: 409, the finaliser refuses; nothing has changed.
        """
        ref = next(self._refs)
        reply: asyncio.Future[ArchiveReply] = asyncio.get_running_loop().create_future()
        link = next((each for each in self._links if not each.closed), None)
        if link is None:
            raise FinaliserDownError
        self._waiting[ref] = reply
        try:
            link.send(message(ref))
            async with asyncio.timeout(REPLY_S):
                done = await reply
        except TimeoutError:
            log.warning("finaliser.no_reply")
            raise FinaliserDownError("the finaliser did not answer in time") from None
        finally:
            self._waiting.pop(ref, None)
        if done.error:
            raise ApiError(409, done.error, "nothing was changed")
        return done.content

    def replied(self, reply: ArchiveReply) -> None:
        """Give a reply to the `request` that waits for it."""
        waiting = self._waiting.get(reply.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def fail_waiting(self) -> None:
        """Fail all waiting requests, because the finaliser has gone and will not reply."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(
                    FinaliserDownError("the connection to the finaliser was lost")
                )
