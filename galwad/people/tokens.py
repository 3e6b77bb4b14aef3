"""Tokens of machines, and the personal tokens with which people pause from a global key.

A token is a row of the table `sessions` that stays in force even if it is not used. `Sessions`
decides whether it is in force. This module makes, lists and revokes tokens, and warns before the
tokens of machines expire. The database has only a token's SHA-256 digest.

A machine can have several tokens, so that one can replace another without a gap. If a machine's
token has scopes, it can use only those rights of the machine that are among its scopes. The token
of a person has only the scope `pause`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import structlog
from pydantic import Field
from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.card_number import ADVICE, has_card_number
from galwad.people.store import sessions
from galwad.people.user import DEFAULT_DAYS, KINDS, PAUSE, Rights, User, UserError

MAX_DAYS: Final = 1096
"""The longest lifetime in days that the maker of a token can name."""
PREFIX: Final = "galwad_"
"""The beginning of each token, by which programs that look for leaked secrets can find it."""
MAX_TOKENS: Final = 20
"""The most tokens that one user can have."""
DAY_S: Final = 86_400.0
WARNED_S: Final = 30 * DAY_S
"""The seconds before a token's expiry in which `TokenWatch` logs warnings about it."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_ID_DIGITS: Final = 16
_WATCH_INTERVAL_S: Final = 3600.0
_Hidden: TypeAlias = Annotated[str, Field(exclude=True)]
"""A text that is left out of the API's answers."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """A token, without its secret.

    `rights` is None if the token can use all rights of its user. `expires` is None if it does not
    expire. `last_used` may be half a minute before the newest use; None if the token was never
    used. `address` is the network address of the last use, or "".
    """

    id: str
    """The part of the digest that names this token in the API."""
    user: str
    name: str
    rights: Rights | None
    created: float
    created_by: str
    """The person who made the token, such as `user:gwen`; "" for a token of an earlier version."""
    expires: float | None
    last_used: float | None
    address: str
    key: _Hidden = ""
    """The SHA-256 digest of the token; "" for a token as a client of the API knows it."""
    kind: _Hidden = ""

    def audited(self, actor: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the public and the personal facts of an audit entry about this token."""
        scopes = "all" if self.rights is None else ",".join(sorted(self.rights))
        facts = {"scopes": scopes, "token": self.id}
        return facts, {"user": self.user, "name": self.name, "actor": actor}


class Tokens:
    """The tokens in the database of one node. `clock` returns the Unix time in seconds."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._clock = clock

    async def make(
        self,
        user: User,
        by: str,
        name: str = "",
        scopes: Collection[str] | None = None,
        days: int | None = DEFAULT_DAYS,
    ) -> tuple[str, TokenFacts]:
        """Make a token for a user; return its secret text, which is not stored, and the token.

        A person gets a personal token. `by` is the maker, such as `user:gwen`. If `name` is "", the
        token is named by a part of its digest. `scopes` limits the rights of a machine's token, and
        `days` the life of any token; None sets no limit. Raises `UserError` if a value is not
        valid, the user is disabled or has too many tokens, or one of them has this name.
        """
        async with self._writer.begin() as connection:
            return await self.make_in(connection, user, by, name=name, scopes=scopes, days=days)

    async def make_in(
        self,
        connection: AsyncConnection,
        user: User,
        by: str,
        *,
        name: str = "",
        scopes: Collection[str] | None = None,
        days: int | None = DEFAULT_DAYS,
    ) -> tuple[str, TokenFacts]:
        """Make a token as `make` does, in the transaction of `connection`. Raises `UserError`."""
        kind = "machine" if user.role == "machine" else PAUSE
        _check(user, name, scopes, days)
        secret = PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        values = {
            "token_sha256": digest(secret),
            "user": user.name,
            "kind": kind,
            "created": now,
            "seen": now,
            "name": name or None,
            "scopes": _text(PAUSE if kind == PAUSE else scopes),
            "expires": None if days is None else now + days * DAY_S,
            "created_by": by,
        }
        count = select(func.count()).where(_is_token(), sessions.c.user == user.name)
        if (await connection.scalar(count) or 0) >= MAX_TOKENS:
            raise UserError(
                f'the user "{user.name}" has {MAX_TOKENS} tokens', "revoke one of these first"
            )
        try:
            row = await connection.execute(insert(sessions).values(values).returning(sessions))
        except IntegrityError:
            raise UserError(
                f'the user "{user.name}" has a token named "{name}" already', "choose another name"
            ) from None
        return secret, _token_of(row.one())

    async def all(self, user: str | None = None) -> list[TokenFacts]:
        """Return the tokens of a user, or of all users. Expired tokens are included."""
        statement = select(sessions).where(_is_token())
        if user is not None:
            statement = statement.where(sessions.c.user == user)
        ordered = statement.order_by(sessions.c.user, sessions.c.created)
        async with self._engine.connect() as connection:
            return [_token_of(row) for row in await connection.execute(ordered)]

    async def revoke(self, key: str) -> None:
        """Delete the token with this key. If a desk is running, `Sessions.recheck` must follow."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == key))


class TokenWatch:
    """Warns of machines' tokens that expire within `WARNED_S` seconds or have expired.

    `on_next` receives the Unix time at which the next token of a machine expires, or 0 if none
    does. A token that has expired is still the next one until it is revoked. `clock` returns the
    Unix time in seconds.
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
        """Call `on_next`. Warn once a day of each machine's token that expires soon or has expired.

        Raises `SQLAlchemyError` if the tokens cannot be read.
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
            await asyncio.sleep(_WATCH_INTERVAL_S)


def digest(secret: str) -> str:
    """Return the SHA-256 digest of a token, as the database stores it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def scopes_of(row: Row[Any]) -> frozenset[str] | None:
    """Return the scopes in a row of the table `sessions`; None for all rights of the user."""
    if row.scopes is None:
        return None
    return frozenset(row.scopes.split(",")) if row.scopes else frozenset()


def _is_token() -> Any:
    return sessions.c.kind.in_(KINDS)


def _token_of(row: Row[Any]) -> TokenFacts:
    return TokenFacts(
        id=row.token_sha256[:_ID_DIGITS],
        user=row.user,
        name=row.name or f"token-{row.token_sha256[:8]}",
        rights=scopes_of(row),
        created=row.created,
        created_by=row.created_by,
        expires=row.expires,
        last_used=row.seen if row.address or row.seen > row.created else None,
        address=row.address,
        key=row.token_sha256,
        kind=row.kind,
    )


def _text(scopes: Collection[str] | str | None) -> str | None:
    if scopes is None or isinstance(scopes, str):
        return scopes
    return ",".join(sorted(scopes))


def _check(user: User, name: str, scopes: Collection[str] | None, days: int | None) -> None:
    if user.disabled:
        raise UserError(f'the user "{user.name}" is disabled', f"`galwad users enable {user.name}`")
    if has_card_number(name):
        raise UserError(f"the token's name seems to be a payment card number: {ADVICE}")
    if name and not _NAME.fullmatch(name):
        raise UserError(
            "the token's name is not valid",
            "use up to 40 lower-case letters, digits, dots, underscores and hyphens",
        )
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise UserError("the token's lifetime is not valid", f"use 1 to {MAX_DAYS} days")
    if scopes is None:
        return
    if user.role != "machine":
        raise UserError(
            "a person's token can only pause and resume the person's calls", "leave the rights out"
        )
    if missing := set(scopes) - user.rights:
        raise UserError(
            f'the user "{user.name}" does not have the right {", ".join(sorted(missing))}',
            f"`galwad users rights {user.name}` sets the rights",
        )
    if not scopes:
        raise UserError("the token has no right", "name at least one right")
