"""Begins requests in turn, so that one user's requests do not delay those of other users for long.

A request takes about a millisecond. A request to pause could come after those that a thousand
connections of one user, or of strangers, have ready at the same moment.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Final

AT_ONCE: Final = 4
"""The most requests that begin in one round of the event loop."""


class Pacer:
    """Lets each client (a user, or all strangers) begin a request in turn, `AT_ONCE` a round."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """The requests that wait, by client. The first client has the next turn."""

    async def turn(self, client: str) -> None:
        """Wait until the next request of this client may begin."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._round)
        self._waiting.setdefault(client, deque()).append(turn)
        await turn

    def _round(self) -> None:
        for client in list(self._waiting)[:AT_ONCE]:
            requests = self._waiting[client]
            while requests and requests[0].done():  # the client has left
                requests.popleft()
            if requests:
                requests.popleft().set_result(None)
            if requests:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
