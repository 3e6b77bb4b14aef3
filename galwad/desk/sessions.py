"""Sessions: what a cookie or a bearer token stands for.

Only a token's SHA-256 lies in the database. A person's session ends after idle time, at its
absolute end, at sign-out, and when the user is disabled; a machine's token only at the last
two. The desk's streams ask again with every heartbeat, so a revoked session goes quiet too.

A disk that is full, slow or hangs must keep nobody from pausing a recording. So a session that
the database told of before is believed while it does not answer: nobody can be signed out there
meanwhile, and idle time and absolute end are known here. Use is noted behind the request's back.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.tables import sessions, users
from galwad.desk.users import User, user_of

Kind = Literal["page", "cli", "machine"]
# The time of last use is written at most this often, so that reading does not mean writing.
_SEEN_STEP_S = 30.0
_PATIENCE_S = 1.0
"""How long the database is waited for where the answer is known from before."""
_AGAIN_S = 10.0
"""How soon one that did not answer is waited for again."""
_STOP_S = 5.0
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


@dataclass(slots=True)
class _Known:
    """What the database last told of a session; `seen` is the last use that is known here."""

    session: Session
    seen: float
    noted: float
    """The last use that the database has."""


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
        self._known: dict[str, _Known] = {}
        self._unanswered: float | None = None
        """When the database was last asked and did not answer; None when it does."""
        self._signed_out = 0
        """How many were: what was read meanwhile may be over."""
        self._asking: set[asyncio.Task[_Known | None]] = set()
        self._to_note: dict[str, float] = {}
        self._noting: asyncio.Task[None] | None = None

    async def open(self, user: str, kind: Kind) -> str:
        """Open a session and give its token: the only time it is seen."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        self._known = {key: each for key, each in self._known.items() if self._in_force(each)}
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
        known = await self._ask(key)
        if known is None:
            return None
        self._use(key, known)
        return known.session

    async def alive(self, session: Session, *, busy: bool = False) -> bool:
        """Whether it is still in force; counts as use only when the user is `busy`."""
        known = await self._ask(session.key)
        if known is not None and busy:
            self._use(session.key, known)
        return known is not None

    async def close(self, session: Session) -> None:
        """Sign out."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == session.key))
        self._signed_out += 1
        self._known.pop(session.key, None)

    async def stop(self) -> None:
        """Let what is under way with the database end; what takes long is cut off."""
        tasks = {*self._asking, *([] if self._noting is None else [self._noting])}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_S)
            for task in late:
                task.cancel()

    async def _ask(self, key: str) -> _Known | None:
        """A session in force, as the database tells it, or as it did when it does not answer."""
        known = self._known.get(key)
        if known is None:
            known = await self._row(key)
        elif self._unanswered is None or time.monotonic() - self._unanswered >= _AGAIN_S:
            known = await self._in_time(key)
        return known if known is not None and self._in_force(known) else None

    async def _in_time(self, key: str) -> _Known | None:
        if self._unanswered is not None:
            self._unanswered = time.monotonic()  # one tries again, the others need not wait
        task = asyncio.create_task(self._row(key))
        self._asking.add(task)
        task.add_done_callback(self._answered)
        await asyncio.wait({task}, timeout=_PATIENCE_S)
        if not task.done():
            if self._unanswered is None:
                log.warning("session.no_answer")
            self._unanswered = time.monotonic()
            return self._known.get(key)
        try:
            return task.result()
        except SQLAlchemyError:
            log.warning("session.not_asked")
            return self._known.get(key)

    def _answered(self, task: asyncio.Task[_Known | None]) -> None:
        self._asking.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._unanswered = None

    async def _row(self, key: str) -> _Known | None:
        statement = (
            select(users, sessions.c.kind, sessions.c.seen, sessions.c.created.label("opened"))
            .join(sessions, sessions.c.user == users.c.name)
            .where(sessions.c.token_sha256 == key, users.c.disabled.is_(False))
        )
        signed_out = -1
        while signed_out != self._signed_out:
            signed_out = self._signed_out
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).first()
        before = self._known.pop(key, None)
        if row is None:
            return None
        until = None if row.kind == "machine" else row.opened + self.absolute
        session = Session(key, user_of(row), row.kind, until)
        seen = row.seen if before is None else max(row.seen, before.seen)
        self._known[key] = known = _Known(session, seen, noted=row.seen)
        return known

    def _in_force(self, known: _Known) -> bool:
        now, until = self._clock(), known.session.until
        return until is None or (now <= until and now - known.seen <= self.idle)

    def _use(self, key: str, known: _Known) -> None:
        known.seen = now = self._clock()
        if now - known.noted > min(_SEEN_STEP_S, self.idle / 10):
            self._to_note[key] = now
            if self._noting is None or self._noting.done():
                self._noting = asyncio.create_task(self._note())

    async def _note(self) -> None:
        statement = (
            update(sessions)
            .where(sessions.c.token_sha256 == bindparam("key"))
            .values(seen=bindparam("at"))
        )
        while self._to_note:
            uses, self._to_note = self._to_note, {}
            rows = [{"key": key, "at": at} for key, at in uses.items()]
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(statement, rows)
            except SQLAlchemyError:
                # A full disk must keep nobody from pausing; it is noted with the next use.
                log.warning("session.use_not_noted")

    def _over(self, now: float) -> ColumnElement[bool]:
        return and_(
            sessions.c.kind != "machine",
            or_(sessions.c.seen < now - self.idle, sessions.c.created < now - self.absolute),
        )


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
