"""Warns of the tokens of machines that expire soon: in the log once a day, and in the metrics.

A payment system whose token has expired cannot pause any more, so people must learn of it before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from galwad.desk.auth.tokens import DAY_S, WARNED_S, Tokens

_INTERVAL_S: Final = 3600.0
log = structlog.get_logger()


class TokenWatch:
    """Warns of tokens that expire within `WARNED_S` seconds or have expired.

    `on_next` receives the Unix time at which the next token of a machine expires, or 0 if none
    does. The time of a token that has expired counts until the token is revoked. `clock` returns
    the Unix time in seconds.
    """

    def __init__(
        self,
        tokens: Tokens,
        on_next: Callable[[float], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tokens = tokens
        self._on_next = on_next
        self._clock = clock
        self._logged: dict[str, float] = {}
        """The Unix time of the newest log entry about each token, by the token's digest."""

    async def check(self) -> None:
        """Set the metric, and log each token that has not been logged within the last day.

        Raises:
            SQLAlchemyError: The database cannot be read.
        """
        now, logged = self._clock(), {}
        ends = []
        for token in await self._tokens.all():
            if token.kind != "machine" or token.expires is None:
                continue
            ends.append(token.expires)
            if token.expires - now > WARNED_S:
                continue
            logged[token.key] = last = self._logged.get(token.key, 0.0)
            if now - last >= DAY_S:
                logged[token.key] = now
                kind = "token.expired" if token.expires <= now else "token.expires_soon"
                days = round((token.expires - now) / DAY_S, 1)
                log.warning(kind, user=token.user, token=token.name, days=days)
        self._logged = logged
        self._on_next(min(ends, default=0.0))

    async def run(self) -> None:
        """Call `check` every hour until cancelled."""
        while True:
            try:
                await self.check()
            except SQLAlchemyError as error:
                log.warning("token.not_checked", why=type(error).__name__)
            await asyncio.sleep(_INTERVAL_S)
