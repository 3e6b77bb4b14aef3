"""The changes that commands on the server make directly in the database and files of a node.

Each method of `Administration` opens the database, upgrades the schema, makes the change, adds an
audit entry, and closes the database. Meanwhile, a command that runs as root has only the rights of
the owner of the database's folder (see `recording.files.foreign`). After a change of users, the
command calls `poke` to notify a running desk. A restore gives its files to the services' user.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.directory import ImportResult, new_directory
from callerid.import_file import ImportFile
from galwad.host.database import open_engine, upgrade
from galwad.link import Link
from galwad.messages import Hello, UsersChanged
from galwad.people.rules import UserAdministration
from galwad.settings import Settings
from recording.audit.chain import Head
from recording.audit.log import AuditLog, Facts
from recording.files.foreign import Owner, acting_as, give_to


class Administration:
    """The changes to the database of one node.

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
    async def users(self) -> AsyncIterator[UserAdministration]:
        """Open the database to change users and tokens, on behalf of this process's user."""
        async with self._opened() as (engine, audit):
            yield UserAdministration(engine, audit, _actor(), self._realm)

    async def erase_audit_values(self, seq: int, names: Collection[str], reason: str) -> list[str]:
        """Erase personal values of an audit entry; return their names (see `AuditLog.erase`)."""
        async with self._opened() as (_, audit):
            return await audit.erase(seq, names, reason, _actor())

    async def note(self, kind: str, facts: Facts | None = None) -> Head:
        """Append an entry by this process's user to the audit chain; return its number and hash."""
        async with self._opened() as (_, audit):
            return await audit.append(kind, facts, {"actor": _actor()})

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
        """Import people into the directory of callers, and block the thread until this is done.

        When the new directory is complete, `check` is called, the audit entry is written, and the
        new directory replaces the present one. If `check` raises an error, the present one stays.
        This method is not a coroutine, so that Ctrl-C can interrupt it. With `wait`, it waits for
        the end of another import. For `absent`, `on_progress` and `least`, see `NewDirectory.fill`.

        Raises:
            ImportFileError: The file has faults. The exception lists each fault with its line and
                column.
            DirectoryError: Another import is running and `wait` is false, the directory cannot be
                read or written, or too few people would remain.
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
    link.send(Hello.of("command"))
    link.send(UsersChanged())
    await link.close()
    return True


@contextlib.contextmanager
def _rights_in(folder: Path) -> Iterator[None]:
    """Run the `with` block with the rights of the owner of the desk's folder, if we are root.

    First, make the owner the owner of all files there: an earlier release made some as root.
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


def service_owner(settings: Settings) -> Owner | None:
    """Return the user who runs the services; None if root owns all folders of the node.

    The first owner who is not root is taken. The archive folder is examined last, because rsync may
    have copied it with an owner from another host.
    """
    state = settings.node.state
    ours = (state / "finaliser", settings.database.parent)
    places = (*ours, *settings.spool_folders, state / "switch", settings.archive)
    owners = [Owner.of(place) for place in places if place.exists()]
    return next((each for each in owners if each.uid != 0), None)


def give_to_service(settings: Settings, owner: Owner | None) -> None:
    """Make `owner` the owner of the folders that a restore writes; None changes nothing."""
    if owner is None:
        return
    for folder in (
        settings.node.state / "finaliser",
        settings.database.parent,
        settings.archive,
    ):
        if folder.exists():
            give_to(owner, folder)
