"""The desk's orders to the finaliser, which is the only writer of the archive, and the replies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from collections.abc import Set as AbstractSet
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
        super().__init__(503, error, "ask again: what was done already is not done twice")


class Orders:
    """Sends orders to a connected finaliser, and matches its replies to them."""

    def __init__(self, finalisers: AbstractSet[Link]) -> None:
        self._finalisers = finalisers
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ArchiveReply]] = {}

    async def ask(self, order: Callable[[int], AnyMessage]) -> bytes:
        """Send the order made for a new reference, wait, and return what the finaliser read back.

        Raises:
            FinaliserDownError: No finaliser is connected, or no answer came in time.
            ApiError: 409, the finaliser refuses; nothing has changed.
        """
        ref = next(self._refs)
        reply: asyncio.Future[ArchiveReply] = asyncio.get_running_loop().create_future()
        link = next((each for each in self._finalisers if not each.closed), None)
        if link is None:
            raise FinaliserDownError
        self._waiting[ref] = reply
        try:
            link.send(order(ref))
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
        """Give a reply to the `ask` that waits for it."""
        waiting = self._waiting.get(reply.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def lost(self) -> None:
        """Fail all waiting orders, because the finaliser has gone and will not reply."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(FinaliserDownError("the finaliser has gone"))
