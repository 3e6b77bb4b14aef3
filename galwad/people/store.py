"""The database tables about users, and `Users`, which adds and reads users and checks passwords.

Passwords are stored as argon2id hashes. Only one is hashed or checked at a time, so that many
parallel sign-ins cannot overload the machine. A SIP password is stored as two HA1 digests, which
the switch needs. `galwad.people.rules` has the changes that administrators make.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    delete,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.messages import PhoneCredentials
from galwad.people.user import KINDS, UnknownUserError, User, UserError, UserFacts, is_easy_to_guess

metadata = MetaData()

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", String(12), nullable=False),
    Column("language", String(2), nullable=False),
    Column("extension", String(32), unique=True),
    Column("password", String(200), nullable=False),
    Column("ha1_md5", String(32), nullable=False),
    Column("ha1_sha256", String(64), nullable=False),
    Column("rights", String(200), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", Float, nullable=False),
    # The code of a team in the list of teams; "" if the user belongs to none.
    Column("team", String(32), nullable=False, server_default=""),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("kind", String(8), nullable=False),
    Column("created", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("provider", Boolean, nullable=False, server_default=false()),
    # True if the session can only set up a second factor.
    Column("needs_second_factor", Boolean, nullable=False, server_default=false()),
    # The Unix time at which the person has proven the stronger sign-in at the provider.
    Column("stepped_up", Float),
    # The columns below are for tokens. In the session of a person they are empty.
    Column("name", String(40)),
    # None if the token has all rights of its user.
    Column("scopes", String(200)),
    Column("expires", Float),
    Column("created_by", String(80), nullable=False, server_default=""),
    # The network address of the most recent use; "" if the token was never used.
    Column("address", String(64), nullable=False, server_default=""),
    Index("sessions_by_name", "user", "name", unique=True),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("created", Float, nullable=False),
)

second_factors = Table(
    "second_factors",
    metadata,
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), primary_key=True),
    # Encrypted (see `galwad.people.second_factor`).
    Column("secret", String(200), nullable=False),
    # The step of the most recent code that was accepted (RFC 6238, section 5.2).
    Column("last_step", Integer, nullable=False),
    Column("created", Float, nullable=False),
    # The time of the use of a recovery code, until the user has seen the notice of it.
    Column("recovery_used", Float),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column(
        "user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("used", Float),
)

payment_tokens = Table(
    "payment_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user", String(64), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("call_id", String(24), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("paused", Float),
    Column("released", Float),
)


NO_PASSWORD: Final = "!"  # noqa: S105 - argon2 never writes this
"""The stored password of a user who has none."""
NO_HA1: Final = {"ha1_md5": "", "ha1_sha256": ""}
"""The columns of a user whose phone may not register."""
_VERSION_DIGITS: Final = 16
_COLUMNS: Final = tuple(field.name for field in fields(User))
"""The names of the fields of `User`, which are names of columns too."""


class Users:
    """The users in the database of one node."""

    def __init__(self, engine: AsyncEngine, hasher: PasswordHasher | None = None) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._hasher = hasher or PasswordHasher()
        self._one_at_a_time = asyncio.Lock()
        self._dummy = ""

    async def add(
        self,
        user: User,
        password: str | None,
        sip_password: str | None = None,
        realm: str = "galwad",
        *,
        token: Callable[[AsyncConnection], Awaitable[str | None]] | None = None,
    ) -> str | None:
        """Add a user. `realm` is the SIP realm, from which the HA1 values are computed.

        `password` must be None for a user with the role `machine`. Every other user must have a
        password. `sip_password` is the password of the user's phone; None if the phone may not
        register. If a disabled user has the extension, the new user takes it over.
        `token` makes a machine's token in the same transaction. Return this token, or None. Raises
        `UserError` if a value is not valid, or another user already has this name or extension.
        """
        user.check(password, sip_password)
        hashed = NO_PASSWORD if password is None else await self.hash(password)
        values = {column: getattr(user, column) for column in _COLUMNS}
        values |= {"rights": stored_rights(user.rights), "password": hashed, "created": time.time()}
        try:
            async with self._writer.begin() as connection:
                if user.extension is not None:
                    await free_extension(connection, user.extension)
                values |= digests(user.extension, sip_password, realm)
                await connection.execute(insert(users).values(values))
                return await token(connection) if token is not None else None
        except IntegrityError:
            raise UserError(
                f'the name "{user.name}" or the extension is already in use', reason="taken"
            ) from None

    async def change_own_password(self, name: str, password: str, session: str) -> None:
        """Replace the password of a person who has just proven the present one.

        All sessions and tokens of this person end, except the session with the digest `session`.
        Raises `UserError` if the new password is easy to guess, or the user was removed.
        """
        if is_easy_to_guess(password, name):
            raise UserError("the new password is too easy to guess")
        hashed = await self.hash(password)
        others = (sessions.c.user == name) & (sessions.c.token_sha256 != session)
        async with self._writer.begin() as connection:
            done = await connection.execute(
                update(users).where(users.c.name == name).values(password=hashed)
            )
            if not done.rowcount:
                raise UnknownUserError(name)
            await connection.execute(delete(sessions).where(others))

    async def get(self, name: str) -> User | None:
        """Return the user with this name, who may be disabled, or None if there is none."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).first()
        return None if row is None else user_of(row)

    async def one(self, name: str) -> User:
        """Return this user, who may be disabled. Raises `UnknownUserError`."""
        async with self._engine.connect() as connection:
            return await one(connection, name)

    async def all(self) -> list[User]:
        """Return all users, including disabled users, sorted by name."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(users).order_by(users.c.name))).all()
        return [user_of(row) for row in rows]

    async def facts(self, opened_after: float = 0, used_after: float = 0) -> list[UserFacts]:
        """Return all users as an administrator sees them, sorted by name, without their lines.

        Only a session that was opened and used after these Unix times counts as a sign-in.
        """
        in_force = (
            sessions.c.kind.not_in(KINDS)
            & (sessions.c.created > opened_after)
            & (sessions.c.seen > used_after)
        )
        opened = (
            select(sessions.c.user, func.max(sessions.c.created).label("at"))
            .where(in_force)
            .group_by(sessions.c.user)
        )
        tokens = (
            select(sessions.c.user, func.count().label("number"))
            .where(sessions.c.kind.in_(KINDS))
            .group_by(sessions.c.user)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(users).order_by(users.c.name))).all()
            linked: dict[str, list[Row[Any]]] = {row.name: [] for row in rows}
            for row in await connection.execute(select(identities).order_by(identities.c.created)):
                linked[row.user].append(row)
            signed_in = {row.user: row.at for row in await connection.execute(opened)}
            counts = {row.user: row.number for row in await connection.execute(tokens)}
            with_factor = set(await connection.scalars(select(second_factors.c.user)))
        return [
            UserFacts(
                **_values_of(row),
                version=version_of(row, linked[row.name]),
                has_phone=row.ha1_sha256 != "",
                subjects=[each.subject for each in linked[row.name]],
                signed_in=signed_in.get(row.name),
                tokens=counts.get(row.name, 0),
                second_factor=row.name in with_factor,
            )
            for row in rows
        ]

    async def accounts(self) -> tuple[PhoneCredentials, ...]:
        """Return the phone accounts of the enabled users with an extension and a SIP password."""
        statement = select(users).where(
            users.c.extension.is_not(None), users.c.ha1_sha256 != "", users.c.disabled.is_(False)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement.order_by(users.c.extension))).all()
        return tuple(
            PhoneCredentials(row.extension, row.name, row.ha1_md5, row.ha1_sha256) for row in rows
        )

    async def check(self, name: str, password: str) -> User | None:
        """Return the enabled user with this name and password, or None.

        The duration does not show whether there is a user with this name.
        """
        decoy = await self._decoy()
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).first()
        known = row is not None and row.password != NO_PASSWORD
        hashed = row.password if row is not None and known else decoy
        async with self._one_at_a_time:
            right = await asyncio.to_thread(self._verify, hashed, password)
        if row is None or not known or not right or row.disabled:
            return None
        return user_of(row)

    async def hash(self, password: str) -> str:
        """Return the hash of a password, as the database stores it."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _decoy(self) -> str:
        if not self._dummy:
            self._dummy = await self.hash("no user has this password")
        return self._dummy

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


async def one(connection: AsyncConnection, name: str) -> User:
    """Return this user, who may be disabled. Raises `UnknownUserError`."""
    row = (await connection.execute(select(users).where(users.c.name == name))).first()
    if row is None:
        raise UnknownUserError(name)
    return user_of(row)


async def free_extension(connection: AsyncConnection, extension: str, but: str = "") -> None:
    """Take the extension from a disabled user who has it, except from the user `but`."""
    holder = (users.c.extension == extension) & users.c.disabled & (users.c.name != but)
    await connection.execute(update(users).where(holder).values(extension=None, **NO_HA1))


def digests(extension: str | None, password: str | None, realm: str) -> dict[str, str]:
    """Return the HA1 columns of a SIP password (RFC 7616, section 3.4.2); "" without one."""
    if extension is None or password is None:
        return dict(NO_HA1)
    text = f"{extension}:{realm}:{password}".encode()
    md5 = hashlib.md5(text, usedforsecurity=False)
    return {"ha1_md5": md5.hexdigest(), "ha1_sha256": hashlib.sha256(text).hexdigest()}


def stored_rights(rights: frozenset[str]) -> str:
    """Return rights as the database stores them."""
    return ",".join(sorted(rights))


def user_of(row: Row[Any]) -> User:
    """Return the user in a row of the table `users`, without the row's secrets."""
    return User(**_values_of(row))


def _values_of(row: Row[Any]) -> dict[str, Any]:
    values = {column: getattr(row, column) for column in _COLUMNS}
    rights: Sequence[str] = row.rights.split(",") if row.rights else ()
    return values | {"rights": frozenset(rights), "disabled": bool(row.disabled)}


def version_of(row: Row[Any], linked: Sequence[Row[Any]]) -> str:
    """Return the version of a user, from the row of the user and the rows of their identities.

    The version includes the password's hash, so that no administrator replaces a password that
    another administrator has just set. The hash has a random salt, so it reveals no password.
    """
    parts = [str(value) for value in row]
    parts += sorted(f"{each.issuer} {each.subject}" for each in linked)
    text = "\0".join(parts).encode()
    return hashlib.sha256(text).hexdigest()[:_VERSION_DIGITS]
