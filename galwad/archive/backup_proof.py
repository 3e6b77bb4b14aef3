"""The signed description of a backup, and the check of a backup before a restore writes anything.

The key that signs backups belongs to root. It is beside the settings file, where no service can
read it, and never in a backup. So a person who can change a stored backup, or who has taken over a
service, cannot sign a changed one. Two other keys cannot be used for this: the node's signing key
belongs to a service and is in the backup, and the officer's key is never on this machine.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.settings import Settings
from recording.errors import ManifestError
from recording.files.atomic import write_atomic
from recording.files.checksums import (
    ChecksumError,
    check_checksums,
    check_private,
    digest_of,
    write_checksums,
)
from recording.keys.signed_document import Document, DocumentType

FORMAT: Final = "galwad-backup-2"
UNSIGNED: Final = "galwad-backup-1"
INDEX: Final = "backup.json"
DATABASE: Final = "galwad.db"
DIRECTORY: Final = "directory.db"
_CHECKSUMS: Final = "SHA256SUMS"
_OLDER: Final = "use an older backup"


class BackupError(Exception):
    """A backup cannot be made or restored. `hint` says what the operator must do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class LastEntry(msgspec.Struct, frozen=True):
    """The newest entry of an audit chain. A copy elsewhere shows if the chain was changed later."""

    seq: int
    hash: str


class Description(Document, frozen=True):
    """The contents of `backup.json`. `settings` has only names, because values may be secret."""

    made: str
    node: str
    software: str
    settings: list[str]
    audit: LastEntry
    database_sha256: str
    recordings: int
    headers: int
    disposals: int
    directory_sha256: str = ""
    """Empty if the backup has no directory of people."""
    checksums_sha256: str = ""
    """Empty in a backup of an earlier release."""


_DOCUMENT: Final = DocumentType("backup", FORMAT, Description, "server")


@dataclass(frozen=True, slots=True)
class RestoreTrust:
    """The public keys (base64) that a restore trusts.

    Certificates of disposal may also be signed with `node_keys`, earlier keys of the node.
    `accepts_unsigned` admits a backup of an earlier release, which has no signature.
    """

    backup_keys: frozenset[str] = field(default_factory=frozenset)
    node_keys: frozenset[str] = field(default_factory=frozenset)
    accepts_unsigned: bool = False


def backup_key_file(settings_file: Path) -> Path:
    """Return the path of the key that signs backups, which is beside the settings file."""
    return settings_file.with_name("backup.key")


def sign(folder: Path, description: Description, key: Ed25519PrivateKey) -> Description:
    """Write the list of the backup's files and its signed description; return the description."""
    digest = write_checksums(folder, _CHECKSUMS)
    complete = msgspec.structs.replace(description, checksums_sha256=digest)
    write_atomic(folder / INDEX, _DOCUMENT.sign(complete, key))
    return complete


def checked(folder: Path, settings: Settings, trust: RestoreTrust) -> Description:
    """Check a whole backup without writing anything, and return its description.

    A header may be missing, because the restore reports missing headers and can be run again. In a
    backup without a signature, only the database and the directory can be checked.

    Raises:
        BackupError: No trusted key signed the backup, or the backup was changed, is not complete,
            can be changed by another user, or is from another node or a later version.
        OSError: A file of the backup cannot be read.
    """
    try:
        check_private(folder)
    except ChecksumError as error:
        raise BackupError(
            str(error), "copy the backup to a folder of root, and examine it before you restore it"
        ) from None
    except FileNotFoundError:
        raise _unfinished(folder) from None
    description = _description(folder, trust)
    if description.node != settings.node.name:
        raise BackupError(
            f"the backup is from the node {description.node}",
            "use a backup of this node, or correct `name` in [node]",
        )
    if not (folder / DATABASE).exists():
        raise _unfinished(folder)
    if digest_of(folder / DATABASE) != description.database_sha256:
        raise BackupError("the backup's database was changed or is not complete", _OLDER)
    directory, digest = folder / DIRECTORY, description.directory_sha256
    if digest and (not directory.exists() or digest_of(directory) != digest):
        raise BackupError("the backup's directory was changed or is missing", _OLDER)
    if description.format == FORMAT:
        try:
            check_checksums(
                folder,
                _CHECKSUMS,
                description.checksums_sha256,
                ignored={INDEX},
                may_lack=lambda name: name.endswith(".header"),
            )
        except ChecksumError as error:
            raise BackupError(str(error), _OLDER) from None
    return description


def _description(folder: Path, trust: RestoreTrust) -> Description:
    try:
        data = (folder / INDEX).read_bytes()
    except FileNotFoundError:
        raise _unfinished(folder) from None
    earlier = _unsigned(data)
    if earlier is not None:
        if trust.accepts_unsigned:
            return earlier
        raise BackupError(
            "the backup has no signature, because an earlier release made it",
            "if you are sure that it was not changed, add --unsigned; afterwards, check the users",
        )
    if not trust.backup_keys:
        raise BackupError(
            "the signature of the backup cannot be verified: this machine has no backup key",
            "add --backup-key with the public key that `galwad backup make` printed",
        )
    try:
        return _DOCUMENT.read(data, trust.backup_keys)
    except ManifestError as error:
        raise BackupError(
            f"{folder / INDEX}: {error}",
            "if an earlier backup key signed it, add --backup-key; otherwise use an older backup",
        ) from None


def _unsigned(data: bytes) -> Description | None:
    try:
        found = msgspec.json.decode(data, type=Description)
    except msgspec.DecodeError:
        return None
    return found if found.format == UNSIGNED else None


def _unfinished(folder: Path) -> BackupError:
    return BackupError(
        f"{folder} is not a finished backup", "choose a folder that `galwad backup make` made"
    )


def administrators(database: Path) -> list[str]:
    """Return the enabled administrators in a backup's database. Raises `BackupError`."""
    query = "SELECT name FROM users WHERE role = 'admin' AND NOT disabled ORDER BY name"
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as there:
            return [name for (name,) in there.execute(query)]
    except sqlite3.Error as error:
        raise BackupError(f"the backup's database is damaged: {error}", _OLDER) from None
