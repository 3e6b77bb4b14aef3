"""The changes that administrators make to users, each with its entry in the audit chain.

The commands `galwad users` on the server and the administrators' page use this module, so both make
the same changes and write the same entries. The page has four rules more, which `PageRules`
checks in the transaction of the change: it must be based on the present state of the user, it must
not change the administrator who makes it, it must leave one administrator who can sign in, and the
right `purge` is in the hands of administrators who have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.desk.auth.identities import Identities, ProviderIdentity
from galwad.desk.auth.second_factors import SecondFactors
from galwad.desk.auth.tables import identities, second_factors, sessions, users
from galwad.desk.auth.tokens import KINDS, Tokens
from galwad.desk.auth.users import (
    PURGE,
    UnknownUserError,
    User,
    UserError,
    Users,
    no_precondition,
    user_of,
)
from galwad.desk.models.accounts import Role
from galwad.desk.texts.store import TextStore
from recording.audit.log import AuditLog

_VERSION_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user as an administrator sees them, without secrets.

    `version` changes with each change of the user, also with that of a password. `signed_in` is the
    Unix time of the newest sign-in whose session has not ended, or None. `tokens` is the number of
    tokens. `has_phone` is true if the user has a SIP password. `second_factor` is true if a sign-in
    with the password needs a code.
    """

    user: User
    version: str
    identities: tuple[ProviderIdentity, ...] = ()
    signed_in: float | None = None
    tokens: int = 0
    has_phone: bool = False
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class PageRules:
    """The rules for a change that an administrator makes on the page.

    `version` is the version of the user that the page showed; "" for a new user. `takes_access` is
    true if the user may lose the role or the sign-in by the change. `given` are the rights that the
    change gives.
    """

    administrator: User
    version: str = ""
    takes_access: bool = False
    given: frozenset[str] = frozenset()

    def check_given(self, rights: Collection[str]) -> None:
        """Check whether the administrator may give these rights, or change a user who has them.

        An administrator without the right `purge` could otherwise get it through another user.

        Raises:
            UserError: Only an administrator with the right `purge` may do this; `reason` is
                "purge".
        """
        if PURGE in rights and PURGE not in self.administrator.rights:
            raise UserError(
                "only an administrator with the right purge can do this",
                "ask one, or use `galwad users` on the server",
                PURGE,
            )

    async def check(self, connection: AsyncConnection, name: str) -> None:
        """Check the rules for a change of the user `name`.

        Raises:
            UserError: A rule forbids the change. `reason` is "self", "changed", "purge" or
                "last_admin".
        """
        if name == self.administrator.name:
            raise UserError(
                "you cannot change your own account here", "ask another administrator", "self"
            )
        row = (await connection.execute(select(users).where(users.c.name == name))).first()
        if row is None:
            raise UnknownUserError(name)
        linked = select(identities).where(identities.c.user == name)
        if version_of(row, (await connection.execute(linked)).all()) != self.version:
            raise UserError(
                f'the user "{name}" was changed meanwhile',
                "look at the present state, then try again",
                "changed",
            )
        self.check_given(user_of(row).rights | self.given)
        if self.takes_access and row.role == "admin" and not row.disabled:
            others = select(func.count()).where(
                users.c.role == "admin", users.c.disabled.is_(False), users.c.name != name
            )
            if not await connection.scalar(others):
                raise UserError(
                    f'"{name}" is the last administrator', "add another one first", "last_admin"
                )


class UserAdministration:
    """Changes users, and enters each change in the audit chain.

    Args:
        engine: The desk's database.
        audit: The audit chain.
        actor: The person who makes the changes, such as `os:root` or `user:gwen`.
        realm: The SIP realm, to which the passwords of phones belong.
        factors: The second factors of the users.
        users: The users of a running desk; None for those of the database.
        rules: The rules for a change on the page; None for a command on the server.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        audit: AuditLog,
        actor: str,
        realm: str,
        *,
        factors: SecondFactors,
        users: Users | None = None,
        rules: PageRules | None = None,
    ) -> None:
        self._precondition = precondition = no_precondition if rules is None else rules.check
        self._rules = rules
        self._factors = factors
        self._users = (users or Users(engine)).under(precondition)
        self._identities = Identities(engine, precondition)
        self._tokens = Tokens(engine)
        self._texts = TextStore(engine)
        self._audit = audit
        self._actor = actor
        self._realm = realm

    async def add(
        self, user: User, password: str | None, sip_password: str | None = None
    ) -> str | None:
        """Add a user. If the user is a machine, return its bearer token, otherwise return None.

        The token is not stored, so it is available only now. `sip_password` is the password of the
        user's phone; None if the phone may not register.

        Raises:
            UserError: A value is not valid, or another user already has this name or extension.
        """
        if self._rules is not None and user.role == "admin":
            self._rules.check_given(user.rights)
        await self._users.add(user, password, sip_password, self._realm)
        facts = {"role": user.role, "rights": ",".join(sorted(user.rights))}
        await self._append("user.added", user.name, facts)
        return await self._token_of(user)

    async def disable(self, name: str) -> None:
        """Disable a user: end all sessions of this user, and refuse every new sign-in.

        Raises:
            UserError: There is no such user.
        """
        await self._users.disable(name)
        await self._append("user.disabled", name)

    async def enable(self, name: str) -> tuple[User, str | None]:
        """Let a disabled user sign in again; return the user, and the new token of a machine.

        The token is None for a person.

        Raises:
            UserError: There is no such user.
        """
        user = await self._users.enable(name)
        await self._append("user.enabled", name)
        return user, await self._token_of(user)

    async def remove(self, name: str) -> None:
        """Remove a user with all sessions. The extension and the name are free again.

        Raises:
            UserError: There is no such user.
        """
        await self._users.remove(name)
        await self._append("user.removed", name)

    async def set_password(self, name: str, password: str) -> None:
        """Replace the password of a person, and end all sessions of this person.

        Raises:
            UserError: There is no such user, the user is a machine, or the password is too short.
        """
        await self._users.set_password(name, password)
        await self._append("user.password-set", name)

    async def set_sip_password(self, name: str, sip_password: str) -> str:
        """Replace the SIP password of a user's phone, and return the phone's extension.

        Raises:
            UserError: There is no such user, or the user has no extension.
        """
        extension = await self._users.set_sip_password(name, sip_password, self._realm)
        await self._append("user.sip-password-set", name)
        return extension

    async def move(self, name: str, extension: str | None, sip_password: str) -> None:
        """Give a user another extension with a new SIP password; None takes the extension away.

        Raises:
            UserError: There is no such user, the extension is not valid, or another user has it.
        """
        await self._users.move(name, extension, sip_password, self._realm)
        await self._append("user.moved", name, extension=extension or "")

    async def set_role(self, name: str, role: Role) -> None:
        """Give a person another role without any right, and end all sessions of this person.

        Raises:
            UserError: There is no such user, the user or the role is a machine's, or the user has
                this role.
        """
        before = await self._users.set_role(name, role)
        await self._append("user.role-set", name, {"role": role, "before": before})

    async def set_team(self, name: str, team: str) -> None:
        """Let a person belong to the team with this code, or to none ("").

        Raises:
            UserError: There is no such user or team, the user is a machine, or belongs to this
                team.
        """
        stored = (await self._texts.all()).get("teams")
        teams = {each.code for each in (stored.entries if stored is not None else None) or ()}
        before = await self._users.set_team(name, team, teams)
        await self._append("user.team-set", name, {"team": team, "before": before})

    async def set_rights(self, name: str, rights: frozenset[str]) -> None:
        """Replace all rights of a user by `rights`.

        Raises:
            UserError: There is no such user, or a user of this role cannot have one of the rights.
        """
        await self._users.set_rights(name, rights)
        await self._append("user.rights-set", name, {"rights": ",".join(sorted(rights))})

    async def link(self, name: str, identity: ProviderIdentity) -> None:
        """Link an identity at an OpenID provider to a person, and end the person's sessions.

        Raises:
            UserError: There is no such user, the user is a machine, or the identity is linked.
        """
        await self._identities.link(name, identity)
        facts = {"issuer": identity.issuer}
        await self._append("user.linked", name, facts, subject=identity.subject)

    async def unlink(self, name: str, subject: str) -> None:
        """Unlink an identity at an OpenID provider from a user, and end the user's sessions.

        Raises:
            UserError: The user has no identity with this subject.
        """
        identity = await self._identities.unlink(name, subject)
        facts = {"issuer": identity.issuer}
        await self._append("user.unlinked", name, facts, subject=subject)

    async def remove_second_factor(self, name: str) -> None:
        """Remove the second factor of a person, and end the sessions that a password has opened.

        Raises:
            UserError: There is no such user, or the user has no second factor.
        """
        await self._factors.remove(name, self._precondition)
        await self._append("user.second-factor-removed", name)

    async def _token_of(self, user: User) -> str | None:
        if user.role != "machine":
            return None
        return (await self._tokens.make(user, self._actor, days=None))[0]

    async def _append(
        self, kind: str, name: str, facts: dict[str, str] | None = None, **personal: str
    ) -> None:
        personal = {"user": name, "actor": self._actor, **personal}
        await self._audit.append(kind, facts or {}, personal)


class UserAccounts:
    """The users in the database of one node, as an administrator sees them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self, opened_after: float, used_after: float) -> list[UserAccount]:
        """Return all users, sorted by name.

        A person's session counts if it was opened and used after these Unix times.
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
            linked: dict[str, list[Row[Any]]] = {}
            for row in await connection.execute(select(identities).order_by(identities.c.created)):
                linked.setdefault(row.user, []).append(row)
            signed_in = {row.user: row.at for row in await connection.execute(opened)}
            counts = {row.user: row.number for row in await connection.execute(tokens)}
            with_factor = set(await connection.scalars(select(second_factors.c.user)))
        return [
            UserAccount(
                user_of(row),
                version_of(row, linked.get(row.name, ())),
                tuple(ProviderIdentity(e.issuer, e.subject) for e in linked.get(row.name, ())),
                signed_in.get(row.name),
                counts.get(row.name, 0),
                row.ha1_sha256 != "",
                row.name in with_factor,
            )
            for row in rows
        ]


def version_of(row: Row[Any], linked: Sequence[Row[Any]]) -> str:
    """Return the version of a user, from the row of the user and the rows of their identities.

    The digest has the hash of the password, so that two administrators cannot both set a password
    unseen. The hash has a random salt of 128 bits, so the version tells nothing about the password.
    """
    parts = [str(value) for value in row]
    parts += sorted(f"{each.issuer} {each.subject}" for each in linked)
    text = "\0".join(parts).encode()
    return hashlib.sha256(text).hexdigest()[:_VERSION_DIGITS]
