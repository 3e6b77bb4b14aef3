"""The sessions of users. A client proves its session by a token, in a cookie or a header field.

The database holds only the SHA-256 digest of a token. A person's session ends at sign-out, after
`idle` seconds without use, and `absolute` seconds after it was opened. Personal tokens and tokens
of machines (see `galwad.people.tokens`) are sessions too. They end when the token expires or is
revoked. A machine can also sign out. Some changes of the user, such as to disable the user, end all
sessions of the user (see `UserChange`).

The desk's event streams ask often whether their session is still in force. So these questions are
answered from memory. All known sessions are read again together after `RECHECK_S` seconds, and when
`recheck` is called because users have changed. A sign-out takes effect at once.

Users must be able to pause a recording even if the disk is full or slow, or does not respond. So
while the database does not respond, a session stays valid if the desk has read it from the database
earlier. That is safe, because during that time no sign-out can be stored, and the limits `idle` and
`absolute` are checked in memory. The time of a session's most recent use is written in the
background, so no request waits for this write.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog
from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.people.store import sessions, user_of, users
from galwad.people.tokens import Tokens, digest, scopes_of
from galwad.people.user import KINDS, PAUSE, User

Kind = Literal["page", "embedded", "cli", "machine", "pause"]
"""The client of a session: the page, the page in a panel ("embedded"), the command line, a machine,
or a script with a personal token ("pause").
"""
# The time of a session's most recent use is written to the database at most once in this number of
# seconds, or in a tenth of `idle` if that is less. So most requests write nothing.
_SEEN_INTERVAL_S = 30.0
_TIMEOUT_S = 1.0
"""The longest time in seconds that a request waits while its session is read from the database.

After this time, the result of the previous read of the session is used. If the session was never
read before, there is no time limit.
"""
_RETRY_S = 10.0
"""The time in seconds between two attempts to read from a database that does not respond.

Between the attempts, sessions that the database confirmed before are checked only in memory. So the
requests of these sessions do not wait for the database.
"""
RECHECK_S = 10.0
"""The seconds after which a session that a stream uses is read from the database again."""
_AT_ONCE = 500
"""The most sessions that one query reads."""
_MAX_UNKNOWN = 4
"""The most reads at the same time for tokens that the desk does not know.

Anyone can send such tokens. The other connections to the database are left for signed-in users.
"""
_STOP_S = 5.0
log = structlog.get_logger()


_SELECT = select(
    users,
    *(sessions.c[name] for name in ("kind", "seen", "provider", "scopes", "expires", "address")),
    sessions.c.needs_second_factor,
    sessions.c.stepped_up,
    sessions.c.created.label("opened"),
).join(sessions, sessions.c.user == users.c.name)
_SELECT_ONE = _SELECT.where(
    sessions.c.token_sha256 == bindparam("key"), users.c.disabled.is_(False)
)
"""The query for one session by its key, built once because SQLAlchemy is slow to build it."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is in force. `key` is the SHA-256 digest of the session's token.

    The session ends at the Unix time `until` at the latest. `until` is None for a token that does
    not expire. The rights of `user` are limited to the token's scopes. `provider`
    is true if the user has signed in with the account of an OpenID provider. If
    `needs_second_factor` is true, the session can only set up a second factor. `stepped_up` is the
    Unix time at which the person has proven a stronger sign-in at the provider; None if they have
    not.
    """

    key: str
    user: User
    kind: Kind
    until: float | None = None
    provider: bool = False
    needs_second_factor: bool = False
    stepped_up: float | None = None

    @property
    def actor(self) -> str:
        """The user's name in audit entries, such as `user:anna`, or `token:pay` for a machine."""
        return f"{'token' if self.kind == 'machine' else 'user'}:{self.user.name}"

    @property
    def only_pauses(self) -> bool:
        """True if this is a personal token, which can only pause and resume its user's calls."""
        return self.kind == PAUSE


@dataclass(slots=True)
class _Known:
    """A session that the database has confirmed.

    `seen` is the Unix time of the session's most recent use. The database may still have the time
    of an earlier use.
    """

    session: Session
    seen: float
    stored: float
    """The Unix time of the session's most recent use, as last read from the database."""
    confirmed: float
    """The monotonic time at which the newest read of this session began."""
    address: str
    """The network address of the token's most recent use that was written or is being written."""


class Sessions:
    """Opens, finds and ends sessions.

    A person's session ends after `idle` seconds without use, and `absolute` seconds after it was
    opened. `clock` returns the Unix time in seconds. If `personal` is false, no personal token is
    in force.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        idle: float = 1800,
        absolute: float = 36000,
        clock: Callable[[], float] = time.time,
        *,
        personal: bool = True,
    ) -> None:
        self.tokens = Tokens(engine, clock)
        self._personal = personal
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self.idle = idle
        self.absolute = absolute
        self.clock = clock
        self._known: dict[str, _Known] = {}
        self._unanswered: float | None = None
        """The monotonic time in seconds of the most recent attempt to read from the database.

        None while the database responds.
        """
        self._sign_outs = 0
        """The number of sign-outs so far.

        If this number changes while a session's row is being read, the row is read again, because
        the session may have ended meanwhile.
        """
        self._reads: set[asyncio.Task[_Known | None]] = set()
        self._unknown = asyncio.Semaphore(_MAX_UNKNOWN)
        self._changed = float("-inf")
        """The monotonic time of the most recent call of `recheck`."""
        self._rereading: asyncio.Task[None] | None = None
        self._reread_at = float("-inf")
        self._pending_uses: dict[str, tuple[float, str]] = {}
        self._writing: asyncio.Task[None] | None = None

    async def open(
        self,
        user: str,
        kind: Kind,
        *,
        provider: bool = False,
        needs_second_factor: bool = False,
        until: float | None = None,
        stepped_up: float | None = None,
    ) -> str:
        """Open a session for the user named `user`, and return the session's token.

        `provider` is true if the user has signed in with the account of an OpenID provider. If
        `needs_second_factor` is true, the session can only set up a second factor. The session ends
        at the Unix time `until` at the latest; if `until` is None, `absolute` seconds from now.
        `stepped_up` is the Unix time of the stronger sign-in in the session that has approved this
        one. Only the token's digest is stored, so the token is not available again later.
        """
        token = secrets.token_urlsafe(32)
        now = self.clock()
        self._known = {key: each for key, each in self._known.items() if self._in_force(each)}
        async with self._writer.begin() as connection:
            await connection.execute(delete(sessions).where(self._has_ended(now)))
            await connection.execute(
                insert(sessions).values(
                    token_sha256=digest(token),
                    user=user,
                    kind=kind,
                    created=now if until is None else min(now, until - self.absolute),
                    seen=now,
                    provider=provider,
                    needs_second_factor=needs_second_factor,
                    stepped_up=stepped_up,
                )
            )
        return token

    async def find(self, token: str, address: str = "") -> Session | None:
        """Return the session of a token, or None if none is in force.

        This counts as a use of the session. `address` is the client's network address. It is stored
        only for personal tokens and tokens of machines.
        """
        return await self.with_key(digest(token), address)

    async def with_key(self, key: str, address: str = "") -> Session | None:
        """Return the session with this token digest, as `find` does."""
        known = await self._lookup(key)
        if known is None:
            return None
        self._mark_used(key, known, address)
        return known.session

    async def step_up(self, session: Session) -> Session | None:
        """Store that the person has proven a stronger sign-in now; return the changed session.

        Return None if the session has ended. The token stays the same, so that no other tab of the
        person loses the session during a call.
        """
        statement = (
            update(sessions)
            .where(sessions.c.token_sha256 == session.key)
            .values(stepped_up=self.clock())
        )
        async with self._writer.begin() as connection:
            await connection.execute(statement)
        return await self.with_key(session.key)

    def is_stepped_up(self, session: Session, lifetime: float) -> bool:
        """Return whether a stronger sign-in was proven within the last `lifetime` seconds."""
        at = session.stepped_up
        return at is not None and abs(self.clock() - at) <= lifetime

    async def alive(self, session: Session, *, busy: bool = False) -> bool:
        """Return whether the session is still in force.

        If the session was read from the database within the last `RECHECK_S` seconds, and `recheck`
        was not called since then, this method answers from memory. If `busy` is true, because the
        user is active, for example on a call, this counts as a use of the session.
        """
        known = self._known.get(session.key)
        if known is not None and self._is_stale(known):
            await self._reread()
            known = self._known.get(session.key)
        if known is None or not self._in_force(known):
            return False
        if busy:
            self._mark_used(session.key, known)
        return True

    async def current(self, session: Session) -> Session | None:
        """Return the session with the user's present rights; None if it is not in force any more.

        As in `alive`, the rights may be as old as `RECHECK_S` seconds if `recheck` was not called.
        """
        if not await self.alive(session):
            return None
        known = self._known.get(session.key)
        return known.session if known is not None else None

    def recheck(self) -> None:
        """Let `alive` read each session again, because users may have changed."""
        self._changed = time.monotonic()

    async def end(self, key: str) -> None:
        """End the session of a person or machine. `key` is the digest of the session's token."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == key))
        self._sign_outs += 1
        self._known.pop(key, None)

    async def stop(self) -> None:
        """Wait until the database's reads and writes end; cancel them after `_STOP_S` seconds."""
        tasks = {*self._reads, *filter(None, (self._writing, self._rereading))}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_STOP_S)
            for task in late:
                task.cancel()

    async def _lookup(self, key: str) -> _Known | None:
        """Return the session with the token digest `key`; None if the session is not in force.

        If the database does not respond, the result of the previous read of this session is used.
        """
        known = self._known.get(key)
        if known is None:
            async with self._unknown:
                known = await self._read(key)
        elif self._unanswered is None or time.monotonic() - self._unanswered >= _RETRY_S:
            known = await self._read_with_timeout(key)
        return known if known is not None and self._in_force(known) else None

    def _is_stale(self, known: _Known) -> bool:
        return known.confirmed <= max(self._changed, time.monotonic() - RECHECK_S)

    async def _reread(self) -> None:
        """Read all known sessions again, unless the database does not respond.

        All callers at the same time share one read. A read that began before the most recent
        `recheck` may have missed the change, so a second read follows.
        """
        if self._unanswered is not None and time.monotonic() - self._unanswered < _RETRY_S:
            return
        for _ in range(2):
            began = time.monotonic()
            if self._rereading is None or self._rereading.done():
                self._rereading = asyncio.create_task(self._read_all())
            task = self._rereading
            await asyncio.wait({task}, timeout=_TIMEOUT_S)
            if not task.done():
                if self._unanswered is None:
                    log.warning("session.no_answer")
                self._unanswered = began
                return
            if task.cancelled() or task.exception() is not None or self._reread_at > self._changed:
                return

    async def _read_all(self) -> None:
        self._reread_at = began = time.monotonic()
        keys = list(self._known)
        try:
            for first in range(0, len(keys), _AT_ONCE):
                wanted = keys[first : first + _AT_ONCE]
                statement = _SELECT.add_columns(sessions.c.token_sha256).where(
                    sessions.c.token_sha256.in_(wanted), users.c.disabled.is_(False)
                )
                async with self._engine.connect() as connection:
                    rows = (await connection.execute(statement)).all()
                found = {row.token_sha256: row for row in rows}
                for key in wanted:
                    # A session that was signed out during the read is not known any more.
                    if key in self._known:
                        self._remember(key, found.get(key), began)
        except SQLAlchemyError:
            log.warning("session.not_asked")
            return
        self._unanswered = None

    async def _read_with_timeout(self, key: str) -> _Known | None:
        if self._unanswered is not None:
            # This request tries the database again. For the next `_RETRY_S` seconds, other requests
            # with known sessions use the memory.
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
        sign_outs = -1
        while sign_outs != self._sign_outs:
            sign_outs, began = self._sign_outs, time.monotonic()
            async with self._engine.connect() as connection:
                row = (await connection.execute(_SELECT_ONE, {"key": key})).first()
        return self._remember(key, row, began)

    def _remember(self, key: str, row: Row[Any] | None, began: float) -> _Known | None:
        """Store the session in `row`, or forget it if `row` is None. The read began at `began`."""
        before = self._known.pop(key, None)
        if row is None or (row.kind == PAUSE and not self._personal):
            return None
        until = row.expires if row.kind in KINDS else row.opened + self.absolute
        user, scopes = user_of(row), scopes_of(row)
        if scopes is not None:
            user = replace(user, rights=user.rights & scopes)
        limited = bool(row.needs_second_factor)
        session = Session(key, user, row.kind, until, bool(row.provider), limited, row.stepped_up)
        seen = row.seen if before is None else max(row.seen, before.seen)
        self._known[key] = known = _Known(session, seen, row.seen, began, row.address)
        return known

    def _in_force(self, known: _Known) -> bool:
        now, session = self.clock(), known.session
        if session.until is not None and now > session.until:
            return False
        return session.kind in KINDS or now - known.seen <= self.idle

    def _mark_used(self, key: str, known: _Known, address: str = "") -> None:
        known.seen = now = self.clock()
        kept = address if known.session.kind in KINDS else ""
        first = kept != "" and known.address == ""
        if first or now - known.stored > min(_SEEN_INTERVAL_S, self.idle / 10):
            known.address = kept or known.address
            self._pending_uses[key] = now, known.address
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write_uses())

    async def _write_uses(self) -> None:
        statement = (
            update(sessions)
            .where(sessions.c.token_sha256 == bindparam("key"))
            .values(seen=bindparam("at"), address=bindparam("from"))
        )
        while self._pending_uses:
            uses, self._pending_uses = self._pending_uses, {}
            rows = [{"key": key, "at": at, "from": address} for key, (at, address) in uses.items()]
            try:
                async with self._writer.begin() as connection:
                    await connection.execute(statement, rows)
            except SQLAlchemyError:
                # The times of these uses could not be written. This is only logged, because a full
                # disk must not prevent a pause. The next use of a session writes a new time.
                log.warning("session.use_not_noted")

    def _has_ended(self, now: float) -> ColumnElement[bool]:
        return and_(
            sessions.c.kind.not_in(KINDS),
            or_(sessions.c.seen < now - self.idle, sessions.c.created < now - self.absolute),
        )
