"""Backup and restore of one node: its databases, signing key and small files of recordings.

A backup is a folder with the database, the directory, the signed recipient set, the node's signing
key, and the small files of recordings, such as headers. `backup.json` is written last. The backup
never contains the officer's keys, the settings, other secret keys, spools, payloads or raw packets.
Payloads and raw packets never change, so the operator copies them with another tool.

A restore needs a backup that `backup_proof` has verified. The node must have no database, or only
that of an interrupted restore. A restore destroys again the headers of recordings that were
disposed of after the backup.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from callerid.directory import open_directory
from callerid.errors import DirectoryError
from galwad.administration import Administration, give_to_service, service_owner
from galwad.archive.backup_proof import (
    DATABASE,
    DIRECTORY,
    FORMAT,
    BackupError,
    Description,
    LastEntry,
    RestoreTrust,
    administrators,
    backup_key_file,
    checked,
    sign,
)
from galwad.host.database import open_engine, upgrade
from galwad.people.store import sessions
from galwad.process_start import FolderLockedError, lock_folder
from galwad.settings import Settings
from galwad.supervise import START_ORDER
from recording.archive import backup as archive_backup
from recording.archive.disposal import Certificate
from recording.audit.chain import RESTORED, ChainEntry
from recording.audit.log import AuditLog, Facts
from recording.files.atomic import sync_file, sync_folder, write_atomic
from recording.files.checksums import digest_of
from recording.files.foreign import (
    acting_as,
    check_path,
    make_foreign_folder,
    owner_rights,
    read_foreign,
)
from recording.index.custody import Custodian
from recording.index.tables import recordings
from recording.keys.keyring import load_or_create_signing_key, public_text

_REPLAYED: Final = "disposal.replayed"


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore. `problems` has a text for each rejected certificate of disposal."""

    description: Description
    headers: int
    disposals: int
    """The number of recordings with a valid certificate of disposal."""
    destroyed: tuple[str, ...]
    """The ids of the recordings whose header this restore has destroyed."""
    missing: int
    """The number of headers that the backup had when it was made, and lacks now."""
    problems: tuple[str, ...]
    audit: LastEntry
    administrators: tuple[str, ...]
    """The administrators in the backup who are not disabled."""


def make(settings: Settings, settings_file: Path, folder: Path) -> Description:
    """Back up the node, which may be running, into a new folder, and sign the backup.

    Raises:
        BackupError: The database is missing, or the database or the directory is damaged or cannot
            be copied. Or the folder is not empty, is in use by another backup, belongs to another
            user, or is inside the archive or a spool folder.
        KeyFileError: The key that signs backups cannot be read or made.
        ForeignFileError: A service has put a link in place of a file.
        AuditError: The audit entry about the backup cannot be written.
    """
    _check_empty(folder)
    for place in (settings.archive, *settings.spool_folders):
        if folder.resolve().is_relative_to(place.resolve()):
            raise BackupError(f"{folder} is inside {place}", "choose a folder elsewhere")
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        raise BackupError(
            f"{folder} belongs to another user, who could read it", "choose a new folder"
        )
    if not settings.database.exists():
        raise BackupError(f"{settings.database} does not exist", "run this on the server")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        with lock_folder(folder):
            # The folder is locked now. Check again, because another process may have written to the
            # folder since the first check.
            _check_empty(folder)
            return _make(settings, settings_file, folder)
    except FolderLockedError:
        raise BackupError(f"another backup uses {folder} now", "choose another folder") from None


def _check_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty", "choose a new folder for each backup")


def _make(settings: Settings, settings_file: Path, folder: Path) -> Description:
    for path in (settings.database, settings.directory_file):
        check_path(path)
    administration = Administration(settings.database, settings.node.name, settings.sip.realm)
    asyncio.run(administration.note("backup.made", {"software": version("galwad")}))
    database = folder / DATABASE
    _copy_database(settings.database, database)
    directory = _copy_directory(settings.directory_file, folder / DIRECTORY)
    kept = folder / "archive"
    kept.mkdir(mode=0o750)
    copied = archive_backup.back_up(settings.archive, kept)
    for source, name, mode in (
        (settings.recipients, "recipients.json", 0o644),
        (_node_key_file(settings), "manifest.key", 0o600),
    ):
        with suppress(FileNotFoundError):
            write_atomic(folder / name, read_foreign(source), mode)
    description = Description(
        format=FORMAT,
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        node=settings.node.name,
        software=version("galwad"),
        settings=sorted(_names(tomllib.loads(settings_file.read_text(encoding="utf-8-sig")))),
        audit=_head(database, settings.node.name),
        database_sha256=digest_of(database),
        recordings=copied.recordings,
        headers=copied.headers,
        disposals=copied.disposals,
        directory_sha256=directory,
    )
    signed = sign(folder, description, load_or_create_signing_key(backup_key_file(settings_file)))
    archive_backup.sync_all(folder)
    return signed


def restore(
    settings: Settings, folder: Path, certificates: Sequence[Path], trust: RestoreTrust
) -> Restored:
    """Restore a backup, and destroy again recordings that were disposed of after the backup.

    The backup is verified (`checked`) before anything is written. Root writes with the rights of
    the services' user, so that a link that a service has made cannot lead root to another file.
    `certificates` are files or folders with more certificates of disposal, such as the officer's
    copies.

    Raises:
        BackupError: The backup is not trusted or damaged, or is from another node or a later
            version. Or the node is running, already has a database, or has another signing key. Or
            there is no certificate in a place of `certificates`.
        KeyFileError: The node's signing key cannot be read or made.
        ForeignFileError: A service has put a link in place of a file or folder.
    """
    description = checked(folder, settings, trust)
    with _all_processes_stopped(settings):
        done = _interrupted_restore(settings, description) if settings.database.exists() else None
        if done is None and settings.database.exists():
            raise BackupError(
                f"{settings.database} exists already",
                "if the data in it is lost, move the desk's folder away, then run this again",
            )
        kept = [path for place in certificates for path in _certificates_in(place)]
        owner = service_owner(settings)
        for each in (settings.archive, settings.database.parent, _node_key_file(settings).parent):
            make_foreign_folder(each)
        give_to_service(settings, owner)
        _restore_recipients(folder / "recipients.json", settings.recipients)
        with acting_as(owner) if owner is not None else nullcontext():
            return _restore(settings, folder, description, kept, trust=trust, done=done)


def _restore(
    settings: Settings,
    folder: Path,
    description: Description,
    kept: Sequence[Path],
    *,
    trust: RestoreTrust,
    done: LastEntry | None,
) -> Restored:
    """Restore the files of the services. `done` is the audit entry of an interrupted restore."""
    keys = {_node_key(settings, folder), *trust.node_keys}
    archive = settings.archive
    found = archive_backup.certificates([folder / "archive", archive, *kept], keys)
    copied = archive_backup.restore(folder / "archive", archive, found.proven.keys())
    destroyed = archive_backup.repeat_disposals(archive, found.proven)
    if description.directory_sha256:
        _restore_file(folder / DIRECTORY, settings.directory_file)
    if done is not None:
        asyncio.run(_record_disposals(settings.database, settings, found.proven))
    head = done or _restore_database(settings, folder, description, found.proven)
    return Restored(
        description,
        copied.headers,
        len(found.proven),
        tuple(destroyed),
        max(0, description.headers - archive_backup.headers_in(folder / "archive")),
        tuple(found.problems),
        head,
        tuple(administrators(folder / DATABASE)),
    )


def _restore_recipients(source: Path, target: Path) -> None:
    """Copy the signed recipient set if the node has none, with the rights of the folder's owner."""
    if source.exists() and not target.exists():
        make_foreign_folder(target.parent)
        with owner_rights(target.parent):
            write_atomic(target, source.read_bytes(), 0o644)


def _node_key_file(settings: Settings) -> Path:
    return settings.node.state / "finaliser" / "manifest.key"


def _copy_database(source: Path, target: Path) -> None:
    """Copy the database, which may be in use; raise BackupError if the copy fails or is damaged."""
    target.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
            # A backup must be a single database file. In WAL mode, there would be a second file.
            here.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = here.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise BackupError(
            f"cannot copy the database to {target}: {error}",
            "check the free space there, and the database with `galwad check`",
        ) from None
    if verdict != "ok":
        raise BackupError(f"the database is damaged: {verdict}", "keep the last good backup")


def _copy_directory(source: Path, target: Path) -> str:
    """Copy the directory of people, and return the digest of the copy; "" if there is no directory.

    An import meanwhile does not damage the copy, because an import erases the old file only when no
    process has locked it. Raises `BackupError`.
    """
    target.touch(mode=0o600)
    try:
        opened = open_directory(source)
        if opened is None:
            target.unlink()
            return ""
        with closing(opened) as there, closing(sqlite3.connect(target)) as here:
            there.execute("BEGIN")
            there.execute("SELECT 1 FROM people LIMIT 1")  # takes the lock
            there.backup(here)
            (verdict,) = here.execute("PRAGMA integrity_check").fetchone()
    except (sqlite3.Error, DirectoryError) as error:
        raise BackupError(
            f"cannot copy the directory to {target}: {error}",
            "check the free space there, and the directory with `galwad check`",
        ) from None
    if verdict != "ok":
        raise BackupError(f"the directory is damaged: {verdict}", "import the people again")
    return digest_of(target)


def _head(database: Path, node: str) -> LastEntry:
    query = "SELECT seq, hash FROM audit_entries WHERE node = ? ORDER BY seq DESC LIMIT 1"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute(query, (node,)).fetchone()
    return LastEntry(*row)


def _names(table: Mapping[str, Any], before: str = "") -> set[str]:
    """Return the names of all settings, such as `node.name`, without their values."""
    found: set[str] = set()
    for key, value in table.items():
        for each in value if isinstance(value, list) else [value]:
            found |= _names(each, f"{before}{key}.") if isinstance(each, dict) else {before + key}
    return found


@contextmanager
def _all_processes_stopped(settings: Settings) -> Iterator[None]:
    """Keep the node's processes from starting; raise BackupError if one is running."""
    try:
        with ExitStack() as held:
            for name in START_ORDER:
                held.enter_context(lock_folder(settings.node.state / name))
            yield
    except FolderLockedError as error:
        raise BackupError(str(error), "stop it first: systemctl stop 'galwad*'") from None


def _node_key(settings: Settings, folder: Path) -> str:
    """Return the node's public key. Restore or make a missing private key.

    Raises `BackupError` or `KeyFileError`.
    """
    path, kept = _node_key_file(settings), folder / "manifest.key"
    if path.exists():
        if kept.exists() and path.read_bytes() != kept.read_bytes():
            hint = f"move {path} away, but keep it: its public half verifies what it has signed"
            raise BackupError("the node's signing key is not that of the backup", hint)
    elif kept.exists():
        try:
            Ed25519PrivateKey.from_private_bytes(kept.read_bytes())
        except ValueError:
            raise BackupError(
                "the backup's signing key is damaged", "use an older backup"
            ) from None
        write_atomic(path, kept.read_bytes(), 0o600)
    return public_text(load_or_create_signing_key(path).public_key())


def _interrupted_restore(settings: Settings, description: Description) -> LastEntry | None:
    """Return the audit entry about an interrupted restore of this backup; None if there is none."""
    query = "SELECT seq, hash, kind, body FROM audit_entries WHERE node = ? ORDER BY seq DESC"
    wanted = description.made, description.audit.seq
    try:
        with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True)) as connection:
            for seq, hash_, kind, body in connection.execute(query, (settings.node.name,)):
                if kind != _REPLAYED:
                    facts = ChainEntry.of_body(body, hash_).facts
                    same = kind == RESTORED and (facts.get("made"), facts.get("seq")) == wanted
                    return LastEntry(seq, hash_) if same else None
    except sqlite3.Error:
        return None
    return None


def _restore_database(
    settings: Settings,
    folder: Path,
    description: Description,
    proven: Mapping[str, tuple[Certificate, bytes]],
) -> LastEntry:
    part = settings.database.with_name(".galwad.db.restoring")
    for ending in ("", "-wal", "-shm"):  # Remove the files of an interrupted restore.
        part.with_name(part.name + ending).unlink(missing_ok=True)
    part.touch(mode=0o600)
    shutil.copyfile(folder / DATABASE, part)
    upgrade(part)
    restored: Facts = {
        "made": description.made,
        "seq": description.audit.seq,
        "disposals": len(proven),
    }
    head = asyncio.run(_record_restore(part, settings, restored))
    asyncio.run(_record_disposals(part, settings, proven))
    # Move all data from the journal into the database file, because only that file is renamed.
    with closing(sqlite3.connect(part)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    sync_file(part)
    part.rename(settings.database)
    sync_folder(settings.database.parent)
    return head


def _restore_file(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.restoring")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)
    shutil.copyfile(source, part)
    sync_file(part)
    part.rename(target)
    sync_folder(target.parent)


def _audit(engine: AsyncEngine, settings: Settings) -> AuditLog:
    return AuditLog(engine, settings.node.name, settings.audit_key)


async def _record_restore(part: Path, settings: Settings, restored: Facts) -> LastEntry:
    """Add an audit entry about the restore, and end all sessions but those of machines."""
    engine = open_engine(part)
    try:
        head = await _audit(engine, settings).append(RESTORED, restored)
        async with engine.execution_options(immediate=True).begin() as connection:
            await connection.execute(delete(sessions).where(sessions.c.kind != "machine"))
        return LastEntry(head.seq, head.hash)
    finally:
        await engine.dispose()


async def _record_disposals(
    database: Path, settings: Settings, proven: Mapping[str, tuple[Certificate, bytes]]
) -> None:
    engine = open_engine(database)
    custodian, audit = Custodian(engine), _audit(engine, settings)
    try:
        async with engine.connect() as connection:
            known = set((await connection.scalars(select(recordings.c.call_id))).all())
        for call_id, (certificate, _) in sorted(proven.items()):
            if call_id in known and (await custodian.one(call_id)).disposed is None:
                await custodian.disposed(call_id, certificate.reason, time.time())
                await audit.append(
                    _REPLAYED, {"call_id": call_id, "disposed": certificate.disposed}
                )
    finally:
        await engine.dispose()


def _certificates_in(place: Path) -> list[Path]:
    found = archive_backup.certificates_in(place)
    if not found:
        raise BackupError(
            f"there is no disposal certificate in {place}",
            "give the files that `galwad recordings purge -o` made, or their folder",
        )
    return found
