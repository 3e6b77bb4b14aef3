"""Tokens with which a payment page pauses and resumes the recording of one call, once.

A machine, such as the CRM, requests a token for one live call and gives it to its payment page. The
page can pause the call with the token, renew the pause, and resume. After the resume, the token
cannot pause again. A token that was not used expires `LIFETIME_S` seconds after it was made. The
token of a page that has paused does not expire, because the page must still be able to resume.

The database has only the SHA-256 digest of a token. Only the endpoints in
`galwad.calls.payment_pages` accept these tokens.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.people.store import payment_tokens, users
from galwad.people.user import Right

LIFETIME_S = 900.0
"""The seconds in which a new token must be used for the first time."""
_KEPT_S = 86400.0
"""The seconds for which a row is kept after the token's resume, or after its expiry if unused."""
_STANDING_S = 7 * 86400.0
"""A row is removed if the token was made more than this many seconds plus `_KEPT_S` ago."""
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class PaymentToken:
    """One token, without its secret.

    `user` is the machine that requested the token. `expires` is the Unix time until which the token
    must be used for the first time. `used` is true after the first pause, and `released` is true
    after the resume.
    """

    key: str
    user: str
    call_id: str
    expires: float
    used: bool = False
    released: bool = False

    @property
    def holder(self) -> str:
        """The pause holder of the page that has the token, such as `payment:crm-3f2a91bc`."""
        return f"payment:{self.user}-{self.key[:_SHOWN]}"

    @property
    def actor(self) -> str:
        """The name of the machine in audit entries and manifests, such as `token:crm`."""
        return f"token:{self.user}"


class PaymentTokens:
    """Makes, finds and uses up the tokens. `clock` returns the Unix time in seconds."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._clock = clock

    async def make(self, user: str, call_id: str) -> tuple[str, PaymentToken]:
        """Make a token for a call, requested by the machine `user`.

        Return the secret text, which is not available again later, and the token.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        token = PaymentToken(_key(secret), user, call_id, now + LIFETIME_S)
        async with self._writer.begin() as connection:
            await connection.execute(delete(payment_tokens).where(_is_over(now - _KEPT_S)))
            await connection.execute(
                insert(payment_tokens).values(
                    token_sha256=token.key,
                    user=user,
                    call_id=call_id,
                    created=now,
                    expires=token.expires,
                )
            )
        return secret, token

    async def find(self, secret: str) -> PaymentToken | None:
        """Return the token with this secret, even if it is used up or expired.

        Return None if there is none, or if it is unused and its machine was disabled or has lost
        the right `payments`.
        """
        statement = (
            select(payment_tokens, users.c.disabled, users.c.rights)
            .join(users, users.c.name == payment_tokens.c.user)
            .where(payment_tokens.c.token_sha256 == _key(secret))
        )
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        allowed = not row.disabled and Right.PAYMENTS in row.rights.split(",")
        if row.paused is None and not allowed:
            return None
        used, released = row.paused is not None, row.released is not None
        return PaymentToken(row.token_sha256, row.user, row.call_id, row.expires, used, released)

    def may_pause(self, token: PaymentToken) -> bool:
        """Return whether the token can pause now, for the first time or again."""
        return not token.released and (token.used or self._clock() <= token.expires)

    async def paused(self, token: PaymentToken) -> bool:
        """Store that the token was used to pause. Repeating this changes nothing.

        Return False if the token was released meanwhile. The pause must then be ended.
        """
        await self._set(token, "paused")
        released = select(payment_tokens.c.released).where(
            payment_tokens.c.token_sha256 == token.key
        )
        async with self._engine.connect() as connection:
            return await connection.scalar(released) is None

    async def released(self, token: PaymentToken) -> None:
        """Store that the token cannot pause again. Repeating this changes nothing."""
        await self._set(token, "released")

    async def _set(self, token: PaymentToken, name: str) -> None:
        column = payment_tokens.c[name]
        statement = update(payment_tokens).where(
            payment_tokens.c.token_sha256 == token.key, column.is_(None)
        )
        async with self._writer.begin() as connection:
            await connection.execute(statement.values({column: self._clock()}))


def _is_over(before: float) -> ColumnElement[bool]:
    return or_(
        payment_tokens.c.released < before,
        and_(payment_tokens.c.paused.is_(None), payment_tokens.c.expires < before),
        payment_tokens.c.created < before - _STANDING_S,
    )


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
