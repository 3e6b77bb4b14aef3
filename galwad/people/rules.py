"""The acts on users and their tokens, each with its entry in the audit chain.

The commands `galwad users` on the server and the administrators' page call the same methods, so
both make the same changes and write the same entries. All changes of a `UserChange` are made in one
transaction. For a change on the page, `PageRules` checks four more rules. The page must have shown
the present state of the user. Administrators cannot change themselves. One enabled administrator
must remain. Only an administrator with the right `purge` may give it, or change a user who has it.
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
    new_secret,
)
from galwad.texts.store import TextStore
from recording.audit.log import AuditLog


@dataclass(frozen=True, slots=True)
class PageRules:
    """The rules for the changes that an administrator makes on the page.

    `version` is the version of the user that the page showed; "" for a new user and for tokens.
    """

    administrator: User
    version: str = ""

    def check_given(self, rights: Collection[str]) -> None:
        """Check whether the administrator may give these rights, or change a user who has them.

        An administrator without the right `purge` could otherwise get it through another user.
        Raises `UserError` with the reason "purge".
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
        """Check the rules for a change of the user `name`, or for the removal if `change` is None.

        Raises `UserError` if a rule forbids the change, or there is no such user. The reason is
        "self", "unknown", "changed", "purge" or "last_admin".
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
        given = (change.rights or ()) if change is not None else ()
        self.check_given(user_of(row).rights.union(given))
        takes_access = change is None or change.role is not None or change.disabled is True
        if takes_access and row.role == "admin" and not row.disabled:
            others = select(func.count()).where(
                users.c.role == "admin", users.c.disabled.is_(False), users.c.name != name
            )
            if not await connection.scalar(others):
                raise UserError(
                    f'"{name}" is the last administrator',
                    "add another administrator first",
                    "last_admin",
                )


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """A user after a change, and the new secrets, which are not stored.

    A secret is None if the change has made none.
    """

    user: User
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    """The token of a machine that was added or enabled."""
    sip_password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An audit entry of a change, without the user and the actor."""

    kind: str
    facts: dict[str, str] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Changing:
    """The changes of one user in an open transaction. `user` has the changes made so far."""

    connection: AsyncConnection
    user: User
    realm: str
    teams: Collection[str]
    values: dict[str, object] = field(default_factory=dict)
    """The columns of the user that change."""
    ends_sessions: bool = False
    entries: list[_Entry] = field(default_factory=list)

    async def apply(
        self, change: UserChange, hashed: str, sip_password: str | None, issuer: str
    ) -> None:
        """Make all changes that `_take` does not make. `hashed` is the hash of a new password."""
        if change.role is not None:
            self.set_role(change.role)
        if change.rights is not None:
            self.set_rights(frozenset(change.rights))
        if change.team is not None:
            self.set_team(change.team)
        if change.extension is not None:
            await self.move(change.extension or None, sip_password)
        elif sip_password is not None:
            self.set_sip_password(sip_password)
        if change.password is not None:
            self.set_password(hashed)
        if change.link is not None:
            await self.link(ProviderIdentity(issuer, change.link))
        if change.disabled is not None:
            self.set_disabled(disabled=change.disabled)

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
        # The new role can have none of the earlier rights (see `rights_of`).
        self.user = replace(self.user, role=role, rights=frozenset())
        self.values |= {"role": role, "rights": ""}
        self.ends_sessions = True
        self.note("user.role-set", {"role": role, "before": before})

    def set_rights(self, rights: frozenset[str]) -> None:
        self.user = replace(self.user, rights=rights)
        self.user.check_rights()
        self.values["rights"] = stored_rights(rights)
        self.note("user.rights-set", {"rights": stored_rights(rights)})

    def set_team(self, team: str) -> None:
        name, before = self.user.name, self.user.team
        if self.user.role == "machine":
            raise UserError("a machine belongs to no team", reason="machine")
        if before == team:
            where = f'the team "{team}"' if team else "no team"
            raise UserError(f'the user "{name}" belongs to {where} already', reason="changed")
        if team and team not in self.teams:
            raise UserError(
                f'there is no team "{team}"',
                "the administrators' page and `galwad texts list teams` show the teams",
                "team",
            )
        self.user = replace(self.user, team=team)
        self.values["team"] = team
        self.note("user.team-set", {"team": team, "before": before})

    async def move(self, extension: str | None, sip_password: str | None) -> None:
        if extension is not None:
            await free_extension(self.connection, extension, self.user.name)
        self.user = replace(self.user, extension=extension)
        self.values |= {"extension": extension, **digests(extension, sip_password, self.realm)}
        self.note("user.moved", extension=extension or "")

    def set_sip_password(self, sip_password: str) -> None:
        name, extension = self.user.name, self.user.extension
        if extension is None:
            raise UserError(
                f'the user "{name}" has no extension',
                f"give the user one first: `galwad users move {name} EXTENSION`",
                "no_extension",
            )
        self.values |= digests(extension, sip_password, self.realm)
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
                f'"{self.user.name}" is a machine, which cannot sign in at a provider',
                reason="machine",
            )
        await link(self.connection, identity, self.user.name)
        self.ends_sessions = True
        self.note("user.linked", {"issuer": identity.issuer}, subject=identity.subject)

    async def store(self, *, ends_sessions: bool) -> None:
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
        users: The `Users` of a running desk; None makes new `Users` for the same database.
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

    async def add(self, user: User, password: str | None = None) -> ChangeResult:
        """Add a user. A machine gets a token, and the phone of an extension a SIP password.

        A person gets `password`, or a random one if it is None.

        Raises:
            UserError: A value is not valid, another user already has this name or extension, or the
                administrator may not give the right `purge`.
        """
        if self._rules is not None and user.role == "admin":
            self._rules.check_given(user.rights)
        if password is None and user.role != "machine":
            password = new_secret()
        sip_password = new_secret() if user.extension is not None else None
        token = await self.users.add(
            *(user, password, sip_password, self._realm),
            token=lambda connection: self._token_of(connection, user),
        )
        facts = {"role": user.role, "rights": stored_rights(user.rights)}
        await self._append("user.added", user.name, facts)
        return ChangeResult(user, password, token, sip_password)

    async def change(
        self, name: str, change: UserChange, *, password: str | None = None, issuer: str = ""
    ) -> ChangeResult:
        """Make all changes of a user, or none. Each change has its entry in the audit chain.

        A new password is `password`, or a random one if it is None. `issuer` is the OpenID provider
        of an identity that is linked; "" if there is none.

        Raises:
            UserError: The change is not possible. For example, there is no such user, a rule of the
                page forbids the change, a value is not valid, or another user has the extension.
        """
        if change.link is not None and not issuer:
            raise UserError(
                "the settings name no provider", "add [sign_in] to the settings", "provider"
            )
        change.check()
        hashed = ""
        if change.password is not None:
            password = new_secret() if password is None else password
            (await self.users.one(name)).check_password(password)
            hashed = await self.users.hash(password)
        sip_password = new_secret() if change.extension or change.sip_password else None
        teams = await self._teams() if change.team else ()
        try:
            async with self._writer.begin() as connection:
                await self._check(connection, name, change)
                taken = await _take(connection, name, change)
                changing = _Changing(connection, await one(connection, name), self._realm, teams)
                await changing.apply(change, hashed, sip_password, issuer)
                await changing.store(ends_sessions=change.unlink is not None)
                token = None
                if change.disabled is False:
                    token = await self._token_of(connection, changing.user)
        except IntegrityError:
            raise UserError(
                f'another user has the extension "{change.extension}"', reason="taken"
            ) from None
        for entry in (*taken, *changing.entries):
            await self._append(entry.kind, name, entry.facts, **entry.personal)
        return ChangeResult(changing.user, password, token, sip_password)

    async def remove(self, name: str) -> None:
        """Remove a user and all their sessions and tokens. Raises `UserError`."""
        async with self._writer.begin() as connection:
            await self._check(connection, name, None)
            await one(connection, name)
            await connection.execute(delete(users).where(users.c.name == name))
        await self._append("user.removed", name)

    async def make_token(
        self, user: User, name: str, scopes: Collection[str] | None = None, days: int = DEFAULT_DAYS
    ) -> tuple[str, TokenFacts]:
        """Make a token; return its secret text and the token. Raises `UserError`."""
        secret, token = await self.tokens.make(user, self._actor, name, scopes, days)
        await self._audit.append("token.made", *token.audited(self._actor))
        return secret, token

    async def revoke_token(
        self, token: TokenFacts, end: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        """Revoke a token. A running desk gives `end`, which also ends the token in its memory."""
        await (end or self.tokens.revoke)(token.key)
        await self._audit.append("token.revoked", *token.audited(self._actor))

    async def _check(
        self, connection: AsyncConnection, name: str, change: UserChange | None
    ) -> None:
        if self._rules is not None:
            await self._rules.check(connection, name, change)

    async def _token_of(self, connection: AsyncConnection, user: User) -> str | None:
        """Make a token without an expiry for a machine; return None for a person."""
        if user.role != "machine":
            return None
        return (await self.tokens.make_in(connection, user, self._actor, days=None))[0]

    async def _teams(self) -> Collection[str]:
        stored = (await self._texts.all()).get("teams")
        return {each.code for each in (stored.entries if stored is not None else None) or ()}

    async def _append(
        self, kind: str, name: str, facts: dict[str, str] | None = None, **personal: str
    ) -> None:
        personal = {"user": name, "actor": self._actor, **personal}
        await self._audit.append(kind, facts or {}, personal)


async def _take(connection: AsyncConnection, name: str, change: UserChange) -> list[_Entry]:
    """Remove the second factor and the identity that a change removes; return audit entries."""
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
