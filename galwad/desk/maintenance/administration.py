"""The changes that commands on the server make directly in the desk's database.

Each method opens the database, upgrades the schema, makes the change, adds an audit entry, and
closes the database. The command then calls `poke` to notify a running desk. Commands run as root,
because the folders of the services are in a folder of root; here they take the rights of the user
that owns the database's folder (see `recording.files.foreign`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.directory import ImportResult, new_directory
from callerid.import_file import ImportFile
from galwad.desk.auth.identities import ProviderIdentity
from galwad.desk.auth.second_factors import SecondFactors
from galwad.desk.auth.secret_box import SecretBox
from galwad.desk.auth.tokens import Token, Tokens
from galwad.desk.auth.user_administration import UserAdministration
from galwad.desk.auth.users import UnknownUserError, User, UserError, Users
from galwad.desk.database import open_engine, upgrade
from galwad.desk.models.accounts import Role
from galwad.link import Link
from galwad.messages import Hello, UsersChanged
from recording.audit.chain import Head
from recording.audit.log import AuditLog, Facts
from recording.files.foreign import Owner, acting_as, give_to


class Administration:
    """The changes to the database of one node. Each method opens and closes the database.

    The methods also raise the errors of the packages that they use, such as `AuditError`.
    """

    def __init__(self, database: Path, node: str, realm: str = "galwad") -> None:
        self._database = database
        self._node = node
        self._realm = realm

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[AsyncEngine, AuditLog]]:
        with _rights_in(self._database.parent):
            await asyncio.to_thread(upgrade, self._database)
            engine = open_engine(self._database)
            try:
                yield engine, AuditLog(engine, self._node, self._database.with_name("audit.key"))
            finally:
                await engine.dispose()

    @contextlib.asynccontextmanager
    async def changes(self) -> AsyncIterator[UserAdministration]:
        """Open the database for changes of users, which this process's user makes.

        In the `with` block, the errors of `UserAdministration` occur.
        """
        async with self._opened() as (engine, audit):
            factors = self._factors(engine)
            yield UserAdministration(engine, audit, _actor(), self._realm, factors=factors)

    async def add_user(
        self, user: User, password: str | None, sip_password: str | None = None
    ) -> str | None:
        """Add a user, see `UserAdministration.add`."""
        async with self.changes() as users:
            return await users.add(user, password, sip_password)

    async def disable_user(self, name: str) -> None:
        """Disable a user, see `UserAdministration.disable`."""
        async with self.changes() as users:
            await users.disable(name)

    async def enable_user(self, name: str) -> tuple[User, str | None]:
        """Let a disabled user sign in again, see `UserAdministration.enable`."""
        async with self.changes() as users:
            return await users.enable(name)

    async def remove_user(self, name: str) -> None:
        """Remove a user, see `UserAdministration.remove`."""
        async with self.changes() as users:
            await users.remove(name)

    async def set_password(self, name: str, password: str) -> None:
        """Replace the password of a person, see `UserAdministration.set_password`."""
        async with self.changes() as users:
            await users.set_password(name, password)

    async def set_sip_password(self, name: str, sip_password: str) -> str:
        """Replace the SIP password of a phone, see `UserAdministration.set_sip_password`."""
        async with self.changes() as users:
            return await users.set_sip_password(name, sip_password)

    async def move_user(self, name: str, extension: str | None, sip_password: str) -> None:
        """Give a user another extension, or none, see `UserAdministration.move`."""
        async with self.changes() as users:
            await users.move(name, extension, sip_password)

    async def link_user(self, name: str, identity: ProviderIdentity) -> None:
        """Link an identity to a person, see `UserAdministration.link`."""
        async with self.changes() as users:
            await users.link(name, identity)

    async def unlink_user(self, name: str, subject: str) -> None:
        """Unlink an identity from a person, see `UserAdministration.unlink`."""
        async with self.changes() as users:
            await users.unlink(name, subject)

    async def erase_audit_values(self, seq: int, names: Collection[str], reason: str) -> list[str]:
        """Erase personal values of an audit entry, see `AuditLog.erase`."""
        async with self._opened() as (_, audit):
            return await audit.erase(seq, names, reason, _actor())

    async def set_role(self, name: str, role: Role) -> None:
        """Give a person another role, see `UserAdministration.set_role`."""
        async with self.changes() as users:
            await users.set_role(name, role)

    async def set_team(self, name: str, team: str) -> None:
        """Let a person belong to a team, or to none, see `UserAdministration.set_team`."""
        async with self.changes() as users:
            await users.set_team(name, team)

    async def remove_second_factor(self, name: str) -> None:
        """Remove a second factor, see `UserAdministration.remove_second_factor`."""
        async with self.changes() as users:
            await users.remove_second_factor(name)

    async def second_factors(self) -> frozenset[str]:
        """Return the names of the users who have a second factor."""
        async with self._opened() as (engine, _):
            return await self._factors(engine).users()

    def _factors(self, engine: AsyncEngine) -> SecondFactors:
        return SecondFactors(engine, SecretBox(self._database.with_name("second-factor.key")))

    async def set_rights(self, name: str, rights: frozenset[str]) -> None:
        """Replace all rights of a user, see `UserAdministration.set_rights`."""
        async with self.changes() as users:
            await users.set_rights(name, rights)

    async def tokens(self, name: str) -> list[Token]:
        """Return the tokens of a user, also those that have expired.

        Raises:
            UserError: There is no such user.
        """
        async with self._opened() as (engine, _):
            await _one(engine, name)
            return await Tokens(engine).all(name)

    async def make_token(
        self, name: str, token: str, scopes: frozenset[str] | None, days: int
    ) -> tuple[str, Token]:
        """Make the token named `token` for a user; return its secret text and the token.

        Raises:
            UserError: There is no such user, or a value is not valid (see `Tokens.make`).
        """
        async with self._opened() as (engine, audit):
            user = await _one(engine, name)
            secret, made = await Tokens(engine).make(user, _actor(), token, scopes, days)
            await audit.append("token.made", *made.audited(_actor()))
            return secret, made

    async def revoke_token(self, name: str, token: str) -> None:
        """Revoke the token named `token` of a user.

        Raises:
            UserError: The user has no such token.
        """
        async with self._opened() as (engine, audit):
            tokens = Tokens(engine)
            found = [each for each in await tokens.all(name) if each.name == token]
            if not found:
                raise UserError(
                    f'the user "{name}" has no token with this name',
                    f"`galwad users tokens list {name}` shows the tokens",
                )
            await tokens.revoke(found[0])
            await audit.append("token.revoked", *found[0].audited(_actor()))

    async def note(self, kind: str, facts: Facts | None = None) -> Head:
        """Append an entry to the audit chain, and return the number and hash of the entry.

        The actor in the entry is the user that runs this process.
        """
        async with self._opened() as (_, audit):
            return await audit.append(kind, facts, {"actor": _actor()})

    async def users(self) -> list[User]:
        """Return all users, sorted by name."""
        async with self._opened() as (engine, _):
            return await Users(engine).all()

    def import_directory(
        self,
        directory: Path,
        file: ImportFile,
        absent: Literal["keep", "remove"] = "keep",
        on_progress: Callable[[int], None] = lambda _people: None,
        *,
        least: float = 0.0,
        wait: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> ImportResult:
        """Import people into the directory of callers; block the thread until this is done.

        The audit entry is written when the new directory is complete, and before it replaces the
        present one. This method is not a coroutine, so that Ctrl-C can interrupt it at any time.
        For the arguments `absent`, `on_progress` and `least`, see `NewDirectory.fill`.

        Args:
            directory: The path of the directory's file.
            file: The import file.
            absent: What happens to the people who are not in the file.
            on_progress: The function that is called with the number of people read so far.
            least: The smallest share of the present number of people that the directory may have.
            wait: True to wait for another import that is running.
            check: The function that is called before the new directory replaces the present one. If
                it raises an error, the present one stays.

        Raises:
            ImportFileError: The file has faults. The exception lists each fault with its line and
                column.
            DirectoryError: Another import is running, the directory cannot be written, or too few
                people would remain.
        """
        gc.freeze()  # so that the collector does not look at all loaded modules again and again
        with _rights_in(self._database.parent):
            upgrade(self._database)
            with new_directory(directory, wait=wait) as new:
                result = new.fill(file, absent, on_progress, least=least)
                check()
                counts = {
                    "added": result.added,
                    "replaced": result.replaced,
                    "removed": result.removed,
                }
                asyncio.run(self.note("directory.imported", counts))
                new.put_in_force()
        return result


async def poke(desk_socket: Path) -> bool:
    """Notify the desk that users have changed; return False if no desk is running."""
    try:
        reader, writer = await asyncio.open_unix_connection(desk_socket)
    except OSError:
        return False
    link = Link(reader, writer)
    link.send(Hello("command", version("galwad")))
    link.send(UsersChanged())
    await link.close()
    return True


async def _one(engine: AsyncEngine, name: str) -> User:
    user = await Users(engine).get(name)
    if user is None:
        raise UnknownUserError(name)
    return user


@contextlib.contextmanager
def _rights_in(folder: Path) -> Iterator[None]:
    """Run the `with` block with the rights of the owner of the desk's folder, if we are root.

    First, the owner gets the files in the folder that an earlier release made as root.
    """
    if not folder.exists():
        yield
        return
    owner = Owner.of(folder)
    give_to(owner, folder)
    with acting_as(owner):
        yield


def _actor() -> str:
    try:
        return f"os:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"os:{os.getuid()}"


__all__ = ["Administration", "UserError", "poke"]
