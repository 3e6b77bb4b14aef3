"""The sessions that cookies and bearer tokens stand for.

The database holds only a token's SHA-256. A person's session ends after idle time, at its absolute
end, at sign-out, and when the user is disabled; a machine's token ends only by the last two. The
desk's event streams check their session again at every heartbeat, so the stream of a revoked
session ends too.

A disk that is full, slow or hangs must not stop anyone from pausing a recording. So a session that
the database confirmed before stays valid while the database does not answer. That is safe, because
no sign-out can be stored during that time, and idle time and absolute end are checked in memory.
The time of last use is written in the background, so that no request waits for it.
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

from galwad.desk.auth.tables import sessions, users
from galwad.desk.auth.users import User, user_of

Kind = Literal["page", "cli", "machine"]
# The time of last use is written at most this often, so that most requests do not write.
_SEEN_INTERVAL_S = 30.0
_TIMEOUT_S = 1.0
"""The time to wait for the database's answer if the session is known from before."""
_RETRY_S = 10.0
"""The time after which to wait again for a database that did not answer."""
_STOP_S = 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Session:
    """A session in force; `key` is the token's hash, never the token.

    It ends at the Unix time `until` at the latest; None for a machine, whose token does not expire.
    """

    key: str
    user: User
    kind: Kind
    until: float | None = None

    @property
    def actor(self) -> str:
        """The name of this session's user in audit and manifest."""
        return f"{'token' if self.kind == 'machine' else 'user'}:{self.user.name}"


@dataclass(slots=True)
class _Known:
    """The last answer of the database on a session; `seen` is the last use known in memory."""

    session: Session
    seen: float
    stored: float
    """The time of the last use that the database holds."""


class Sessions:
    """Opens, finds and ends sessions; times are in seconds."""

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
        """The monotonic time at which the database last failed to answer; None while it answers."""
        self._sign_outs = 0
        """The number of sign-outs; a row that was read during one is read again."""
        self._reads: set[asyncio.Task[_Known | None]] = set()
        self._pending_uses: dict[str, float] = {}
        self._writing: asyncio.Task[None] | None = None

    async def open(self, user: str, kind: Kind) -> str:
        """Open a session and return its token, which is not stored and cannot be read again."""
        token = secrets.token_urlsafe(32)
        now = self._clock()
        self._known = {key: each for key, each in self._known.items() if self._in_force(each)}
        async with self._engine.begin() as connection:
            await connection.execute(delete(sessions).where(self._has_ended(now)))
            await connection.execute(
                insert(sessions).values(
                    token_sha256=_key(token), user=user, kind=kind, created=now, seen=now
                )
            )
        return token

    async def find(self, token: str) -> Session | None:
        """Return the session of a token if it is in force, otherwise None; this counts as use."""
        key = _key(token)
        known = await self._lookup(key)
        if known is None:
            return None
        self._mark_used(key, known)
        return known.session

    async def alive(self, session: Session, *, busy: bool = False) -> bool:
        """Return whether the session is in force; this counts as use only if the user is `busy`."""
        known = await self._lookup(session.key)
        if known is not None and busy:
            self._mark_used(session.key, known)
        return known is not None

    async def close(self, session: Session) -> None:
        """Sign out: delete the session."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == session.key))
        self._sign_outs += 1
        self._known.pop(session.key, None)

    async def stop(self) -> None:
        """Let running database work finish, for at most `_STOP_S`; then cancel it."""
        tasks = {*self._reads, *([] if self._writing is None else [self._writing])}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_S)
            for task in late:
                task.cancel()

    async def _lookup(self, key: str) -> _Known | None:
        """Return the session if it is in force, otherwise None.

        If the database does not answer, its last answer counts.
        """
        known = self._known.get(key)
        if known is None:
            known = await self._read(key)
        elif self._unanswered is None or time.monotonic() - self._unanswered >= _RETRY_S:
            known = await self._read_with_timeout(key)
        return known if known is not None and self._in_force(known) else None

    async def _read_with_timeout(self, key: str) -> _Known | None:
        if self._unanswered is not None:
            # this request tries again; the others need not wait
            self._unanswered = time.monotonic()
        task = asyncio.create_task(self._read(key))
        self._reads.add(task)
        task.add_done_callback(self._answered)
        await asyncio.wait({task}, timeout=_TIMEOUT_S)
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
        self._reads.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._unanswered = None

    async def _read(self, key: str) -> _Known | None:
        statement = (
            select(users, sessions.c.kind, sessions.c.seen, sessions.c.created.label("opened"))
            .join(sessions, sessions.c.user == users.c.name)
            .where(sessions.c.token_sha256 == key, users.c.disabled.is_(False))
        )
        sign_outs = -1
        while sign_outs != self._sign_outs:
            sign_outs = self._sign_outs
            async with self._engine.connect() as connection:
                row = (await connection.execute(statement)).first()
        before = self._known.pop(key, None)
        if row is None:
            return None
        until = None if row.kind == "machine" else row.opened + self.absolute
        session = Session(key, user_of(row), row.kind, until)
        seen = row.seen if before is None else max(row.seen, before.seen)
        self._known[key] = known = _Known(session, seen, stored=row.seen)
        return known

    def _in_force(self, known: _Known) -> bool:
        now, until = self._clock(), known.session.until
        return until is None or (now <= until and now - known.seen <= self.idle)

    def _mark_used(self, key: str, known: _Known) -> None:
        known.seen = now = self._clock()
        if now - known.stored > min(_SEEN_INTERVAL_S, self.idle / 10):
            self._pending_uses[key] = now
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write_uses())

    async def _write_uses(self) -> None:
        statement = (
            update(sessions)
            .where(sessions.c.token_sha256 == bindparam("key"))
            .values(seen=bindparam("at"))
        )
        while self._pending_uses:
            uses, self._pending_uses = self._pending_uses, {}
            rows = [{"key": key, "at": at} for key, at in uses.items()]
            try:
                async with self._engine.begin() as connection:
                    await connection.execute(statement, rows)
            except SQLAlchemyError:
                # A full disk must not stop a pause; the next use writes the time again.
                log.warning("session.use_not_noted")

    def _has_ended(self, now: float) -> ColumnElement[bool]:
        return and_(
            sessions.c.kind != "machine",
            or_(sessions.c.seen < now - self.idle, sessions.c.created < now - self.absolute),
        )


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
