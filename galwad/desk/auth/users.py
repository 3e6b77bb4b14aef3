"""The users: each has a name and a role, and may have the extension of a phone.

Passwords are stored as argon2id hashes. Only one password is checked at a time, so that many
parallel sign-ins cannot overload the machine. A SIP password is stored as two HA1 digests, which
the switch needs. A user with the role `machine` has no password, but a bearer token and a list of
rights. The role of any other user decides what the user may do. Only the right `purge` must be
given separately: an administrator needs it to dispose of recordings.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import hashlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.card_number import ADVICE, has_card_number
from galwad.desk.auth.passwords import LEAST_LENGTH, is_easy_to_guess
from galwad.desk.auth.tables import sessions, users
from galwad.desk.models.accounts import Right, Role
from galwad.messages import PhoneCredentials

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_EXTENSION = re.compile(r"[A-Za-z0-9._-]{1,32}")
NO_PASSWORD: Final = "!"  # noqa: S105 - argon2 never writes this
"""The stored password of a user who has none."""


RIGHTS: tuple[str, ...] = tuple(Right)
PURGE = Right.PURGE.value


def rights_of() -> dict[Role, list[str]]:
    """Return the rights that a user of each role can have."""
    machine = [right for right in RIGHTS if right != PURGE]
    return {"advisor": [], "supervisor": [], "admin": [PURGE], "machine": machine}


class UserError(Exception):
    """A user cannot be added or changed as requested. The error's text gives the reason.

    `hint` says what the administrator can do; if it is empty, the text says this already. `reason`
    names the error for the page, or is "".
    """

    def __init__(self, message: str, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.reason = reason


class UnknownUserError(UserError):
    """There is no user with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'there is no user "{name}"', reason="unknown")


Precondition: TypeAlias = Callable[[AsyncConnection, str], Awaitable[None]]
"""Runs in the transaction that changes the user of this name. It raises `UserError` to stop it."""


async def no_precondition(_connection: AsyncConnection, _name: str) -> None:
    """Let a change of any user take place."""


@dataclass(frozen=True, slots=True)
class User:
    """One user, without passwords and other secrets."""

    name: str
    role: Role
    language: Literal["en", "cy"] = "en"
    extension: str | None = None
    rights: frozenset[str] = frozenset()
    disabled: bool = False
    team: str = ""
    """The code of the user's team; "" if the user belongs to none."""

    @property
    def supervises(self) -> bool:
        """True if this user is a supervisor or administrator, who sees the calls of all users."""
        return self.role in {"supervisor", "admin"}


class Users:
    """The users in the database of one node."""

    def __init__(self, engine: AsyncEngine, hasher: PasswordHasher | None = None) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._hasher = hasher or PasswordHasher()
        self._one_at_a_time = asyncio.Lock()
        self._dummy = ""
        self._precondition: Precondition = no_precondition

    def under(self, precondition: Precondition) -> Users:
        """Return these users with a precondition, which each change of a user checks first."""
        conditional = copy.copy(self)
        conditional._precondition = precondition  # noqa: SLF001 - this class's own
        return conditional

    @contextlib.asynccontextmanager
    async def _changing(self, name: str) -> AsyncIterator[AsyncConnection]:
        """Open the transaction of a change of the user `name`, after the precondition."""
        async with self._writer.begin() as connection:
            await self._precondition(connection, name)
            yield connection

    async def add(
        self,
        user: User,
        password: str | None,
        sip_password: str | None = None,
        realm: str = "galwad",
    ) -> None:
        """Add a user. `realm` is the SIP realm, from which the HA1 values are computed.

        `password` must be None for a user with the role `machine`. Every other user must have a
        password. `sip_password` is the password of the user's phone; None if the phone may not
        register. If a disabled user has the extension, the new user takes it over.

        Raises:
            UserError: A value is not valid, or another user already has this name or extension.
        """
        _check(user, password, sip_password)
        hashed = NO_PASSWORD if password is None else await self._hash(password)
        ha1 = ("", "")
        if user.extension is not None and sip_password is not None:
            ha1 = digest_ha1(user.extension, realm, sip_password)
        try:
            async with self._writer.begin() as connection:
                if user.extension is not None:
                    await _free(connection, user.extension)
                await connection.execute(
                    insert(users).values(
                        name=user.name,
                        role=user.role,
                        language=user.language,
                        extension=user.extension,
                        password=hashed,
                        ha1_md5=ha1[0],
                        ha1_sha256=ha1[1],
                        rights=",".join(sorted(user.rights)),
                        disabled=user.disabled,
                        team=user.team,
                        created=time.time(),
                    )
                )
        except IntegrityError:
            raise UserError(
                f'the name "{user.name}" or the extension is already in use', reason="taken"
            ) from None

    async def disable(self, name: str) -> None:
        """Disable a user: end all sessions of this user, and refuse every new sign-in.

        The user keeps the extension until another user gets it.

        Raises:
            UserError: There is no such user.
        """
        async with self._changing(name) as connection:
            await _change(connection, name, disabled=True)
            await connection.execute(delete(sessions).where(sessions.c.user == name))

    async def enable(self, name: str) -> User:
        """Let a disabled user sign in and register again, with the passwords as before.

        Return the user, who has no extension any more if another user got it meanwhile. A machine
        gets a new token with `Sessions.open`.

        Raises:
            UserError: There is no such user.
        """
        async with self._changing(name) as connection:
            await _change(connection, name, disabled=False)
        return await self._one(name)

    async def remove(self, name: str) -> None:
        """Remove a user with all sessions. The extension and the name are free again.

        Raises:
            UserError: There is no such user.
        """
        async with self._changing(name) as connection:
            done = await connection.execute(delete(users).where(users.c.name == name))
            if not done.rowcount:
                raise UnknownUserError(name)

    async def set_password(self, name: str, password: str) -> None:
        """Replace the password of a person, and end all sessions of this person.

        Raises:
            UserError: There is no such user, the user is a machine, or the password is too short.
        """
        _check(replace(await self._one(name), extension=None), password, None)
        hashed = await self._hash(password)
        async with self._changing(name) as connection:
            await _change(connection, name, password=hashed)
            await connection.execute(delete(sessions).where(sessions.c.user == name))

    async def change_own_password(self, name: str, password: str, session: str) -> None:
        """Replace the password of a person who has just proven the present one.

        All sessions of this person end, except the one with the token digest `session`.

        Raises:
            UserError: The new password is easy to guess.
        """
        if is_easy_to_guess(password, name):
            raise UserError("the new password is too easy to guess")
        hashed = await self._hash(password)
        others = (sessions.c.user == name) & (sessions.c.token_sha256 != session)
        async with self._changing(name) as connection:
            await _change(connection, name, password=hashed)
            await connection.execute(delete(sessions).where(others))

    async def set_sip_password(self, name: str, sip_password: str, realm: str = "galwad") -> str:
        """Replace the SIP password of a user's phone, and return the phone's extension.

        Raises:
            UserError: There is no such user, or the user has no extension.
        """
        extension = (await self._one(name)).extension
        if extension is None:
            raise UserError(
                f'the user "{name}" has no extension',
                f"`galwad users move {name} EXTENSION`",
                "no_extension",
            )
        md5, sha256 = digest_ha1(extension, realm, sip_password)
        async with self._changing(name) as connection:
            await _change(connection, name, ha1_md5=md5, ha1_sha256=sha256)
        return extension

    async def move(
        self, name: str, extension: str | None, sip_password: str, realm: str = "galwad"
    ) -> None:
        """Give a user another extension with a new SIP password, or none.

        If a disabled user has the extension, this user takes it over.

        Raises:
            UserError: There is no such user, the extension is not valid, or another user has it.
        """
        _check_extension(extension)
        await self._one(name)
        ha1 = ("", "") if extension is None else digest_ha1(extension, realm, sip_password)
        try:
            async with self._changing(name) as connection:
                if extension is not None:
                    await _free(connection, extension, name)
                await _change(
                    connection, name, extension=extension, ha1_md5=ha1[0], ha1_sha256=ha1[1]
                )
        except IntegrityError:
            raise UserError(
                f'another user has the extension "{extension}"', reason="taken"
            ) from None

    async def _one(self, name: str) -> User:
        found = await self.get(name)
        if found is None:
            raise UnknownUserError(name)
        return found

    async def set_rights(self, name: str, rights: frozenset[str]) -> None:
        """Replace all rights of a user by `rights`.

        Raises:
            UserError: There is no such user, or a user of this role cannot have one of the rights.
        """
        user = await self._one(name)
        _check_rights(replace(user, rights=rights))
        async with self._changing(name) as connection:
            changed = update(users).where(users.c.name == name)
            await connection.execute(changed.values(rights=",".join(sorted(rights))))

    async def set_team(self, name: str, team: str, teams: Collection[str]) -> str:
        """Let a person belong to the team with this code, or to none (""); return the team before.

        `teams` are the codes of all teams.

        Raises:
            UserError: There is no such user or team, the user is a machine, or belongs to this
                team.
        """
        before = await self._one(name)
        if before.role == "machine":
            raise UserError("a machine belongs to no team", reason="machine")
        if before.team == team:
            where = f'the team "{team}"' if team else "no team"
            raise UserError(f'the user "{name}" belongs to {where} already', reason="changed")
        async with self._changing(name) as connection:
            if team and team not in teams:
                raise UserError(
                    f'there is no team "{team}"',
                    "the administrators' page and `galwad texts list teams` show the teams",
                    "team",
                )
            await _change(connection, name, team=team)
        return before.team

    async def set_role(self, name: str, role: Role) -> str:
        """Give a person another role without any right, and end the person's sessions.

        Return the role before. Another role may not have the rights of the one before.

        Raises:
            UserError: There is no such user, the user or the role is a machine's, or the user has
                this role.
        """
        before = await self._one(name)
        if before.role == role:
            raise UserError(f'the user "{name}" has this role already', reason="changed")
        if "machine" in {before.role, role}:
            raise UserError(
                "a person cannot become a machine, nor a machine a person",
                "add another user",
                "machine",
            )
        async with self._changing(name) as connection:
            await _change(connection, name, role=role, rights="")
            await connection.execute(delete(sessions).where(sessions.c.user == name))
        return before.role

    async def get(self, name: str) -> User | None:
        """Return the user with this name, or None if there is no such user.

        The user may be disabled.
        """
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(users).where(users.c.name == name))).first()
        return None if row is None else user_of(row)

    async def all(self) -> list[User]:
        """Return all users, including disabled users, sorted by name."""
        async with self._engine.connect() as connection:
            rows = (await connection.execute(select(users).order_by(users.c.name))).all()
        return [user_of(row) for row in rows]

    async def accounts(self) -> tuple[PhoneCredentials, ...]:
        """Return the accounts of the phones that may register with the switch.

        Each user who has an extension and a SIP password has a phone account, unless the user is
        disabled.
        """
        statement = select(users).where(
            users.c.extension.is_not(None), users.c.ha1_sha256 != "", users.c.disabled.is_(False)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement.order_by(users.c.extension))).all()
        return tuple(
            PhoneCredentials(row.extension, row.name, row.ha1_md5, row.ha1_sha256) for row in rows
        )

    async def check(self, name: str, password: str) -> User | None:
        """Return the user if the password is right and the user is not disabled, otherwise None.

        The check takes the same time for an unknown name as for a known name. So the time does not
        show which names exist.
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

    async def _hash(self, password: str) -> str:
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _decoy(self) -> str:
        if not self._dummy:
            self._dummy = await self._hash("no user has this password")
        return self._dummy

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


async def _change(connection: AsyncConnection, name: str, **values: object) -> None:
    done = await connection.execute(update(users).where(users.c.name == name).values(**values))
    if not done.rowcount:
        raise UnknownUserError(name)


async def _free(connection: AsyncConnection, extension: str, but: str = "") -> None:
    """Take the extension from a disabled user who has it, except from the user `but`."""
    holder = (users.c.extension == extension) & users.c.disabled & (users.c.name != but)
    await connection.execute(
        update(users).where(holder).values(extension=None, ha1_md5="", ha1_sha256="")
    )


def digest_ha1(extension: str, realm: str, password: str) -> tuple[str, str]:
    """Return the HA1 digests of a SIP password (RFC 7616, section 3.4.2): MD5, then SHA-256."""
    text = f"{extension}:{realm}:{password}".encode()
    md5 = hashlib.md5(text, usedforsecurity=False)
    return md5.hexdigest(), hashlib.sha256(text).hexdigest()


def user_of(row: Row[Any]) -> User:
    """Return the user in a row of the table `users`, without the row's secrets."""
    rights: Sequence[str] = row.rights.split(",") if row.rights else ()
    return User(
        *(row.name, row.role, row.language, row.extension, frozenset(rights)),
        disabled=bool(row.disabled),
        team=row.team,
    )


def _check(user: User, password: str | None, sip_password: str | None) -> None:
    if has_card_number(user.name) or has_card_number(user.extension or ""):
        raise UserError(
            f"the name or extension seems to be a payment card number: {ADVICE}", reason="name"
        )
    if not _NAME.fullmatch(user.name):
        raise UserError(
            f'the name "{user.name}" is not valid: use up to 64 lower-case letters, digits, '
            "dots, underscores and hyphens, the first a letter or a digit",
            reason="name",
        )
    if user.role not in get_args(Role):
        raise UserError(f'unknown role "{user.role}": choose {", ".join(get_args(Role))}')
    if user.language not in {"en", "cy"}:
        raise UserError(f'unknown language "{user.language}": choose en or cy')
    _check_extension(user.extension)
    if sip_password is not None and user.extension is None:
        raise UserError("a SIP password needs an extension: add one")
    _check_rights(user)
    if (password is None) != (user.role == "machine"):
        raise UserError(
            "a person needs a password, and a machine must not have one",
            "`galwad users disable` and then `enable` gives a machine a new token",
            "machine",
        )
    if password is not None and len(password) < LEAST_LENGTH:
        raise UserError(f"the password is too short: use at least {LEAST_LENGTH} characters")


def _check_extension(extension: str | None) -> None:
    if has_card_number(extension or ""):
        raise UserError(
            f"the extension seems to be a payment card number: {ADVICE}", reason="extension"
        )
    if extension is not None and not _EXTENSION.fullmatch(extension):
        raise UserError(
            f'the extension "{extension}" is not valid: '
            "use up to 32 letters, digits, dots, underscores and hyphens",
            reason="extension",
        )


def _check_rights(user: User) -> None:
    if user.rights - set(RIGHTS):
        unknown = ", ".join(sorted(user.rights - set(RIGHTS)))
        raise UserError(f"unknown right {unknown}: choose {', '.join(RIGHTS)}", reason="rights")
    wrong = user.rights - set(rights_of()[user.role])
    if wrong:
        rights = ", ".join(sorted(wrong))
        raise UserError(
            f"the role {user.role} cannot have {rights}: "
            "machines may have payments, metrics, anchors, directories and events; "
            "administrators may have purge",
            reason="rights",
        )
