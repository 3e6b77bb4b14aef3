"""The identities of people at an OpenID provider, each linked to one user.

An identity is an issuer and a subject, which the provider never gives to another person. A user is
found only by an identity, and never by the name that the provider suggests: a person who can choose
this name could otherwise become another user.
"""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.card_number import has_card_number
from galwad.people.store import NO_PASSWORD, identities, sessions, user_of, users
from galwad.people.user import ProviderIdentity, User, UserError
from galwad.settings.desk import PersonRole

_FOREIGN: Final = re.compile(r"[^a-z0-9._-]+")
_LONGEST_NAME: Final = 56
_MOST_NAMESAKES: Final = 1000


@dataclass(frozen=True, slots=True)
class IdentifiedUser:
    """The user of an identity. `created` is true if the user is new.

    `role_before` is the role before this sign-in; "" if the sign-in has not changed the role.
    """

    user: User
    created: bool = False
    role_before: str = ""


class Identities:
    """The identities in the database of one node."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def user_of(self, identity: ProviderIdentity) -> User | None:
        """Return the user of an identity, who may be disabled; None if it has no user."""
        async with self._engine.connect() as connection:
            return await _find(connection, identity)

    async def end_sessions(self, identity: ProviderIdentity) -> User | None:
        """End all sessions and tokens of the user of an identity; return the user, or None."""
        async with self._writer.begin() as connection:
            user = await _find(connection, identity)
            if user is not None:
                await connection.execute(delete(sessions).where(sessions.c.user == user.name))
        return user

    async def sign_in(
        self, identity: ProviderIdentity, role: PersonRole, suggested: str, language: str = "en"
    ) -> IdentifiedUser:
        """Give the user of an identity this role. If the identity has no user, add one.

        A disabled user is returned without changes. If the name `suggested` is taken, the new user
        gets it with a number. Raises `UserError` if too many users have the name.
        """
        async with self._writer.begin() as connection:
            user = await _find(connection, identity)
            if user is None:
                name = await _free_name(connection, suggested)
                await connection.execute(insert(users).values(_new_user(name, role, language)))
                await link(connection, identity, name)
                return IdentifiedUser(User(name, role, "cy" if language == "cy" else "en"), True)
            if user.disabled or user.role == role:
                return IdentifiedUser(user)
            # The new role can have none of the earlier rights (see `rights_of`).
            changed = update(users).where(users.c.name == user.name).values(role=role, rights="")
            await connection.execute(changed)
            found = await _find(connection, identity)
            assert found is not None  # noqa: S101 - it was found in this transaction
            return IdentifiedUser(found, role_before=user.role)


async def _find(connection: AsyncConnection, identity: ProviderIdentity) -> User | None:
    statement = (
        select(users)
        .join(identities, identities.c.user == users.c.name)
        .where(identities.c.issuer == identity.issuer, identities.c.subject == identity.subject)
    )
    row = (await connection.execute(statement)).first()
    return None if row is None else user_of(row)


async def link(connection: AsyncConnection, identity: ProviderIdentity, name: str) -> None:
    """Link an identity to a user; raise UserError if it is linked already."""
    other = await _find(connection, identity)
    if other is not None:
        raise UserError(
            f'this identity is linked to the user "{other.name}"',
            f"`galwad users unlink {other.name} --subject …`; or, if that user is a mistake, "
            f"`galwad users remove {other.name}`",
            "linked",
        )
    values = {"issuer": identity.issuer, "subject": identity.subject, "user": name}
    await connection.execute(insert(identities).values(**values, created=time.time()))


async def unlink(connection: AsyncConnection, name: str, subject: str) -> ProviderIdentity:
    """Unlink and return a user's identity with this subject; raise UserError if there is none."""
    theirs = (identities.c.user == name) & (identities.c.subject == subject)
    row = (await connection.execute(select(identities).where(theirs))).first()
    if row is None:
        raise UserError(
            f'the user "{name}" has no such identity', "it may be unlinked already", "changed"
        )
    await connection.execute(delete(identities).where(theirs, identities.c.issuer == row.issuer))
    return ProviderIdentity(row.issuer, row.subject)


async def _free_name(connection: AsyncConnection, suggested: str) -> str:
    """Return a name that no user has yet, such as "sian" or "sian-2"."""
    local = suggested[:1000].partition("@")[0]
    ascii_only = unicodedata.normalize("NFKD", local).encode("ascii", "ignore").decode()
    name = _FOREIGN.sub("-", ascii_only.lower())[:_LONGEST_NAME].strip("._-")
    if not name or has_card_number(name):
        name = "user"
    for number in range(1, _MOST_NAMESAKES):
        free = name if number == 1 else f"{name}-{number}"
        taken = select(users.c.name).where(users.c.name == free)
        if await connection.scalar(taken) is None:
            return free
    raise UserError("too many users have the same name", "remove users who have left")


def _new_user(name: str, role: PersonRole, language: str) -> dict[str, object]:
    return {
        "name": name,
        "role": role,
        "language": "cy" if language == "cy" else "en",
        "extension": None,
        "password": NO_PASSWORD,
        "ha1_md5": "",
        "ha1_sha256": "",
        "rights": "",
        "disabled": False,
        "created": time.time(),
    }
