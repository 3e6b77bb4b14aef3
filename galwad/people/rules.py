"""The acts on users and their tokens, each with its entry in the audit chain.

The commands `galwad users` on the server and the administrators' page call the same methods, so
both make the same changes and write the same entries. All changes of a `UserChange` are made in one
transaction. The page has four rules more, which `PageRules` checks first in that transaction: it
must be based on the present state of the user, it must not change the administrator who makes it,
it must leave one administrator who can sign in, and the right `purge` is in the hands of
administrators who have it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.people.identities import link, unlink
from galwad.people.second_factor import remove_second_factor
from galwad.people.store import (
    Users,
    digests,
    free_extension,
    identities,
    one,
    sessions,
    stored_rights,
    user_of,
    users,
    version_of,
)
from galwad.people.tokens import TokenFacts, Tokens
from galwad.people.user import (
    DEFAULT_DAYS,
    PURGE,
    ProviderIdentity,
    Role,
    UnknownUserError,
    User,
    UserChange,
    UserError,
)
from galwad.texts.store import TextStore
from recording.audit.log import AuditLog


@dataclass(frozen=True, slots=True)
class PageRules:
    """The rules for the changes that an administrator makes on the page.

    `version` is the version of the user that the page showed; "" for a new user.
    """

    administrator: User
    version: str = ""

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

    async def check(
        self, connection: AsyncConnection, name: str, change: UserChange | None
    ) -> None:
        """Check the rules for a change of the user `name`, or for the removal if it is None.

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
        given = change.rights if change is not None and change.rights else frozenset()
        self.check_given(user_of(row).rights | given)
        takes_access = change is None or change.role is not None or change.disabled is True
        if takes_access and row.role == "admin" and not row.disabled:
            others = select(func.count()).where(
                users.c.role == "admin", users.c.disabled.is_(False), users.c.name != name
            )
            if not await connection.scalar(others):
                raise UserError(
                    f'"{name}" is the last administrator', "add another one first", "last_admin"
                )


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """A user after a change, and the new token of a machine that was enabled; None for others."""

    user: User
    token: str | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """An audit entry of a change, without the user and the actor."""

    kind: str
    facts: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Changing:
    """The changes of one user in an open transaction. `user` is the user after those so far."""

    connection: AsyncConnection
    user: User
    values: dict[str, object] = field(default_factory=dict)
    """The columns of the user that change."""
    ends_sessions: bool = False
    entries: list[_Entry] = field(default_factory=list)

    def note(self, kind: str, facts: dict[str, str] | None = None, **personal: str) -> None:
        self.entries.append(_Entry(kind, facts or {}, personal))

    def set_role(self, role: Role) -> None:
        before = self.user.role
        if before == role:
            raise UserError(f'the user "{self.user.name}" has this role already', reason="changed")
        if "machine" in {before, role}:
            raise UserError(
                "a person cannot become a machine, nor a machine a person",
                "add another user",
                "machine",
            )
        # No other role may have the rights of the one before.
        self.user = replace(self.user, role=role, rights=frozenset())
        self.values |= {"role": role, "rights": ""}
        self.ends_sessions = True
        self.note("user.role-set", {"role": role, "before": before})

    def set_rights(self, rights: frozenset[str]) -> None:
        self.user = replace(self.user, rights=rights)
        self.user.check_rights()
        self.values["rights"] = stored_rights(rights)
        self.note("user.rights-set", {"rights": stored_rights(rights)})

    def set_team(self, team: str, teams: Collection[str]) -> None:
        name, before = self.user.name, self.user.team
        if self.user.role == "machine":
            raise UserError("a machine belongs to no team", reason="machine")
        if before == team:
            where = f'the team "{team}"' if team else "no team"
            raise UserError(f'the user "{name}" belongs to {where} already', reason="changed")
        if team and team not in teams:
            raise UserError(
                f'there is no team "{team}"',
                "the administrators' page and `galwad texts list teams` show the teams",
                "team",
            )
        self.values["team"] = team
        self.note("user.team-set", {"team": team, "before": before})

    async def move(self, extension: str | None, sip_password: str | None, realm: str) -> None:
        if extension is not None:
            await free_extension(self.connection, extension, self.user.name)
        self.user = replace(self.user, extension=extension)
        self.values |= {"extension": extension, **digests(extension, sip_password, realm)}
        self.note("user.moved", extension=extension or "")

    def set_sip_password(self, sip_password: str, realm: str) -> None:
        name, extension = self.user.name, self.user.extension
        if extension is None:
            raise UserError(
                f'the user "{name}" has no extension',
                f"`galwad users move {name} EXTENSION`",
                "no_extension",
            )
        self.values |= digests(extension, sip_password, realm)
        self.note("user.sip-password-set")

    def set_password(self, hashed: str) -> None:
        self.values["password"] = hashed
        self.ends_sessions = True
        self.note("user.password-set")

    def set_disabled(self, *, disabled: bool) -> None:
        self.user = replace(self.user, disabled=disabled)
        self.values["disabled"] = disabled
        self.ends_sessions |= disabled
        self.note("user.disabled" if disabled else "user.enabled")

    async def link(self, identity: ProviderIdentity) -> None:
        if self.user.role == "machine":
            raise UserError(
                f'"{self.user.name}" is a machine, which signs in with its token', reason="machine"
            )
        await link(self.connection, identity, self.user.name)
        self.ends_sessions = True
        self.note("user.linked", {"issuer": identity.issuer}, subject=identity.subject)

    async def store(self, *, ends_sessions: bool) -> None:
        """Write the changed columns. End the sessions if this or a change asks for it."""
        name = self.user.name
        if self.values:
            changed = update(users).where(users.c.name == name).values(self.values)
            await self.connection.execute(changed)
        if ends_sessions or self.ends_sessions:
            await self.connection.execute(delete(sessions).where(sessions.c.user == name))


class UserAdministration:
    """Changes users and their tokens, and enters each change in the audit chain.

    Args:
        engine: The desk's database.
        audit: The audit chain.
        actor: The person who makes the changes, such as `os:root` or `user:gwen`.
        realm: The SIP realm, to which the passwords of phones belong.
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
        users: Users | None = None,
        rules: PageRules | None = None,
    ) -> None:
        self.users = users or Users(engine)
        self.tokens = Tokens(engine)
        self._writer = engine.execution_options(immediate=True)
        self._rules = rules
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
        await self.users.add(user, password, sip_password, self._realm)
        facts = {"role": user.role, "rights": stored_rights(user.rights)}
        await self._append("user.added", user.name, facts)
        if user.role != "machine":
            return None
        return (await self.tokens.make(user, self._actor, days=None))[0]

    async def change(self, name: str, change: UserChange) -> ChangeResult:
        """Make all changes of a user, or none. Each has its entry in the audit chain.

        Raises:
            UserError: There is no such user, a value is not valid for the user, the user has it
                already, or another user has the extension or the identity.
        """
        change.check()
        hashed = ""
        if change.password is not None:
            (await self.users.one(name)).check_password(change.password)
            hashed = await self.users.hash(change.password)
        teams = await self._teams() if change.team else ()
        try:
            async with self._writer.begin() as connection:
                await self._check(connection, name, change)
                taken = await _take(connection, name, change)
                changing = _Changing(connection, await one(connection, name))
                await self._apply(changing, change, hashed, teams)
                await changing.store(ends_sessions=change.unlink is not None)
                token = None
                if change.disabled is False and changing.user.role == "machine":
                    made = self.tokens.make_in(connection, changing.user, self._actor, days=None)
                    token = (await made)[0]
        except IntegrityError:
            raise UserError(
                f'another user has the extension "{change.extension}"', reason="taken"
            ) from None
        for entry in (*taken, *changing.entries):
            await self._append(entry.kind, name, entry.facts, **entry.personal)
        return ChangeResult(changing.user, token)

    async def remove(self, name: str) -> None:
        """Remove a user with all sessions; extension and name are free. Raises `UserError`."""
        async with self._writer.begin() as connection:
            await self._check(connection, name, None)
            await one(connection, name)
            await connection.execute(delete(users).where(users.c.name == name))
        await self._append("user.removed", name)

    async def make_token(
        self,
        user: User,
        name: str,
        scopes: Collection[str] | None = None,
        days: int = DEFAULT_DAYS,
    ) -> tuple[str, TokenFacts]:
        """Make a token; return its secret text and the token. Raises `UserError`."""
        secret, token = await self.tokens.make(user, self._actor, name, scopes, days)
        await self._audit.append("token.made", *token.audited(self._actor))
        return secret, token

    async def revoke_token(
        self, token: TokenFacts, end: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """Revoke a token. A running desk gives `end`, which ends the session with this key."""
        await (end or self.tokens.revoke)(token.key)
        await self._audit.append("token.revoked", *token.audited(self._actor))

    async def _check(
        self, connection: AsyncConnection, name: str, change: UserChange | None
    ) -> None:
        if self._rules is not None:
            await self._rules.check(connection, name, change)

    async def _apply(
        self, changing: _Changing, change: UserChange, hashed: str, teams: Collection[str]
    ) -> None:
        if change.role is not None:
            changing.set_role(change.role)
        if change.rights is not None:
            changing.set_rights(change.rights)
        if change.team is not None:
            changing.set_team(change.team, teams)
        if change.extension is not None:
            await changing.move(change.extension or None, change.sip_password, self._realm)
        elif change.sip_password is not None:
            changing.set_sip_password(change.sip_password, self._realm)
        if change.password is not None:
            changing.set_password(hashed)
        if change.link is not None:
            await changing.link(change.link)
        if change.disabled is not None:
            changing.set_disabled(disabled=change.disabled)

    async def _teams(self) -> Collection[str]:
        """Return the codes of all teams."""
        stored = (await self._texts.all()).get("teams")
        return {each.code for each in (stored.entries if stored is not None else None) or ()}

    async def _append(
        self, kind: str, name: str, facts: dict[str, str] | None = None, **personal: str
    ) -> None:
        personal = {"user": name, "actor": self._actor, **personal}
        await self._audit.append(kind, facts or {}, personal)


async def _take(connection: AsyncConnection, name: str, change: UserChange) -> list[_Entry]:
    """Take from a user the second factor or the identity that a change takes."""
    entries = []
    if change.second_factor is not None:
        if not await remove_second_factor(connection, name):
            raise UserError(f'there is no user "{name}" with a second factor', reason="no_factor")
        entries.append(_Entry("user.second-factor-removed"))
    if change.unlink is not None:
        identity = await unlink(connection, name, change.unlink)
        entries.append(
            _Entry("user.unlinked", {"issuer": identity.issuer}, {"subject": identity.subject})
        )
    return entries
