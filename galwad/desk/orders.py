"""What the desk asks of the finaliser, which alone writes to the archive, and the replies."""

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
    """Orders to whichever finaliser is connected, and those that wait for a reply."""

    def __init__(self, finalisers: AbstractSet[Link]) -> None:
        self._finalisers = finalisers
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ArchiveReply]] = {}

    async def ask(self, order: Callable[[int], AnyMessage]) -> bytes:
        """Send the order that has this reference, and wait; what the finaliser read back.

        Raises:
            FinaliserDownError: Nobody is there, or no answer came in time.
            ApiError: 409, it refuses; nothing has changed.
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
        """Hand a reply to whoever waits for it."""
        waiting = self._waiting.get(reply.ref)
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def lost(self) -> None:
        """A finaliser has gone: who waits is told, since no reply will come."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(FinaliserDownError("the finaliser has gone"))
