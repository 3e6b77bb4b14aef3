"""Sessions: what a cookie or a bearer token stands for.

Only a token's SHA-256 lies in the database. A person's session ends after idle time, at its
absolute end, at sign-out, and when the user is disabled; a machine's token only at the last
two. The desk's streams ask again with every heartbeat, so a revoked session goes quiet too.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.tables import sessions, users
from galwad.desk.users import User, user_of

Kind = Literal["page", "cli", "machine"]
# The time of last use is written at most this often, so that reading does not mean writing.
_SEEN_STEP_S = 30.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """A session in force; `key` is the hash, never the token. `until` it ends at the latest."""

    key: str
    user: User
    kind: Kind
    until: float | None = None

    @property
    def actor(self) -> str:
        """How audit and manifest name who acts here."""
        return f"{'token' if self.kind == 'machine' else 'user'}:{self.user.name}"


class Sessions:
    """Opens, finds and ends sessions; times in seconds."""

    def __init__(
        self,
        engine: AsyncEngine,
        idle: float = 1800,
        absolute: float = 36000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self.idle = idle
        self.absolute = absolute
        self._clock = clock

    async def open(self, user: str, kind: Kind) -> str:
        """Open a session and give its token: the only time it is seen."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        async with self._engine.begin() as connection:
            await connection.execute(delete(sessions).where(self._over(now)))
            await connection.execute(
                insert(sessions).values(
                    token_sha256=_key(token), user=user, kind=kind, created=now, seen=now
                )
            )
        return token

    async def find(self, token: str) -> Session | None:
        """The session of a token, if it is in force; counts as use."""
        key = _key(token)
        now = self._clock()
        row = await self._row(key, now)
        if row is None:
            return None
        session, seen = row
        await self._use(key, seen, now)
        return session

    async def alive(self, session: Session, *, busy: bool = False) -> bool:
        """Whether it is still in force; counts as use only when the user is `busy`."""
        now = self._clock()
        row = await self._row(session.key, now)
        if row is not None and busy:
            await self._use(session.key, row[1], now)
        return row is not None

    async def close(self, session: Session) -> None:
        """Sign out."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == session.key))

    async def _use(self, key: str, seen: float, now: float) -> None:
        if now - seen > min(_SEEN_STEP_S, self.idle / 10):
            statement = update(sessions).where(sessions.c.token_sha256 == key).values(seen=now)
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(statement)
            except DBAPIError:
                # A full disk must keep nobody from pausing; at worst they sign in again earlier.
                log.warning("session.use_not_noted")

    async def _row(self, key: str, now: float) -> tuple[Session, float] | None:
        statement = (
            select(users, sessions.c.kind, sessions.c.seen, sessions.c.created.label("opened"))
            .join(sessions, sessions.c.user == users.c.name)
            .where(sessions.c.token_sha256 == key, users.c.disabled.is_(False), ~self._over(now))
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        until = None if row.kind == "machine" else row.opened + self.absolute
        return Session(key, user_of(row), row.kind, until), row.seen

    def _over(self, now: float) -> ColumnElement[bool]:
        return and_(
            sessions.c.kind != "machine",
            or_(sessions.c.seen < now - self.idle, sessions.c.created < now - self.absolute),
        )


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
