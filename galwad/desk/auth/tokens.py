"""Tokens of machines, and the personal tokens with which people pause from a global key.

A token is a row of the table `sessions` that does not end for want of use, and `Sessions` decides
whether it is in force. This module makes and lists tokens. The database has only a token's SHA-256
digest.

A machine can have several tokens, so that one can replace another without a gap. Each token has a
set of scopes: it can use a right only if the right is among its scopes and the machine has it. The
token of a person has only the scope `pause`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.card_number import ADVICE, has_card_number
from galwad.desk.auth.tables import sessions
from galwad.desk.auth.users import User, UserError
from galwad.desk.models.tokens import DEFAULT_DAYS, MAX_DAYS

PREFIX: Final = "galwad_"
"""The beginning of each token, by which programs that look for leaked secrets can find it."""
PAUSE: Final = "pause"
"""The kind and the only scope of a personal token: pause and resume the calls of its user."""
KINDS: Final = frozenset({"machine", PAUSE})
"""The kinds of sessions that are tokens."""
MAX_TOKENS: Final = 20
"""The most tokens that one user can have."""
DAY_S: Final = 86_400.0
WARNED_S: Final = 30 * DAY_S
"""The time before its expiry from which people are warned of a token."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its secret. `key` is the SHA-256 digest of the token.

    `scopes` is None if the token has all rights of its user. `expires` is the Unix time of its end,
    or None if it does not expire. `used` is the Unix time of its most recent use, which may be half
    a minute late, or None. `created_by` is "" for a token of an earlier version.
    """

    key: str
    user: str
    kind: str
    name: str
    scopes: frozenset[str] | None
    created: float
    created_by: str
    expires: float | None
    used: float | None
    address: str

    @property
    def token_id(self) -> str:
        """The part of the digest that names this token in the API."""
        return self.key[:16]

    def audited(self, actor: str) -> tuple[dict[str, str], dict[str, str]]:
        """Return the public and the personal facts of an audit entry about this token."""
        scopes = "all" if self.scopes is None else ",".join(sorted(self.scopes))
        facts = {"scopes": scopes, "token": self.token_id}
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
    ) -> tuple[str, Token]:
        """Make a token for a user; return its secret text, which is not stored, and the token.

        Args:
            user: The user. A person gets a personal token.
            by: The person who makes the token, such as `user:gwen`.
            name: The token's name; "" for a name that is made from the digest.
            scopes: The rights that a machine's token can use; None for all that the machine has.
            days: The days after which the token expires; None if it does not expire.

        Raises:
            UserError: A value is not valid, the user is disabled or has too many tokens, or one of
                the user's tokens has this name.
        """
        kind = "machine" if user.role == "machine" else PAUSE
        _check(user, name, scopes, days)
        secret = PREFIX + secrets.token_urlsafe(32)
        key, now = digest(secret), self._clock()
        expires = None if days is None else now + days * DAY_S
        values = {
            "token_sha256": key,
            "user": user.name,
            "kind": kind,
            "created": now,
            "seen": now,
            "name": name or None,
            "scopes": _text(PAUSE if kind == PAUSE else scopes),
            "expires": expires,
            "created_by": by,
        }
        count = select(func.count()).where(_is_token(), sessions.c.user == user.name)
        try:
            async with self._writer.begin() as connection:
                if (await connection.scalar(count) or 0) >= MAX_TOKENS:
                    raise UserError(
                        f'the user "{user.name}" has {MAX_TOKENS} tokens', "revoke one of them"
                    )
                row = await connection.execute(insert(sessions).values(values).returning(sessions))
                token = _token_of(row.one())
        except IntegrityError:
            raise UserError(
                f'the user "{user.name}" has a token named "{name}" already', "choose another name"
            ) from None
        return secret, token

    async def all(self, user: str | None = None) -> list[Token]:
        """Return the tokens of a user, or of all users, also those that have expired."""
        statement = select(sessions).where(_is_token())
        if user is not None:
            statement = statement.where(sessions.c.user == user)
        ordered = statement.order_by(sessions.c.user, sessions.c.created)
        async with self._engine.connect() as connection:
            return [_token_of(row) for row in await connection.execute(ordered)]

    async def revoke(self, token: Token) -> None:
        """Delete a token. If a desk is running, `Sessions.end` or `recheck` must follow."""
        async with self._writer.begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.token_sha256 == token.key))


def digest(secret: str) -> str:
    """Return the SHA-256 digest of a token, which the database has."""
    return hashlib.sha256(secret.encode()).hexdigest()


def scopes_of(row: Row[Any]) -> frozenset[str] | None:
    """Return the scopes in a row of the table `sessions`; None for all rights of the user."""
    if row.scopes is None:
        return None
    return frozenset(row.scopes.split(",")) if row.scopes else frozenset()


def _is_token() -> Any:
    return sessions.c.kind.in_(KINDS)


def _token_of(row: Row[Any]) -> Token:
    return Token(
        row.token_sha256,
        row.user,
        row.kind,
        row.name or f"token-{row.token_sha256[:8]}",
        scopes_of(row),
        row.created,
        row.created_by,
        row.expires,
        row.seen if row.address or row.seen > row.created else None,
        row.address,
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
