"""Checks of the signed recipient set, the node's signing key, and unattended recovery."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.cli.checks.unit_files import fix_of, unit_user, unreadable
from galwad.desk.archive.recipients_watch import RECIPIENTS_CHANGED, highest_serial
from galwad.settings import Settings
from recording.audit.chain import ChainEntry
from recording.errors import KeySetError, WrongOfficerError
from recording.keys.recipients_file import RecipientsFile

_NODE_KEY_LENGTH: Final = 32


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check the recipient set and the node's signing key; warn if unattended recovery is on."""
    yield _recipients(settings)
    yield from _node_key(settings.node.state / "finaliser" / "manifest.key")
    if settings.recording.unattended_recovery:
        yield warning(
            "recovery",
            "spools are recovered unattended: with this disk, calls in progress can be read",
            "set [recording] unattended_recovery = false, and recover after a reboot by hand",
        )


def _node_key(path: Path) -> Iterator[CheckResult]:
    """Check the length of the node's signing key.

    A missing key is not a fault, because the finaliser makes the key later. If this process has no
    permission to read the key, the key belongs to another user and is not checked.
    """
    try:
        length = len(path.read_bytes())
    except (FileNotFoundError, PermissionError):
        return
    if length != _NODE_KEY_LENGTH:
        yield fault(
            "node key",
            f"{path} is not a key of {_NODE_KEY_LENGTH} bytes: no recording can be sealed",
            "restore it from a backup: it is manifest.key there",
        )


def _newest(settings: Settings) -> int:
    """Return the highest serial number of all recipient sets in the audit chain.

    Return 0 if the audit chain cannot be read or contains no recipient set.
    """
    query = "SELECT body FROM audit_entries WHERE node = ? AND kind = ?"
    if not settings.database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, (settings.node.name, RECIPIENTS_CHANGED)).fetchall()
    except sqlite3.Error:
        return 0  # The check of the database has already reported this error.
    noted = (ChainEntry.of_body(body, "").facts for (body,) in rows)
    return highest_serial(noted, settings.recording.officer_key)


def _recipients(settings: Settings) -> CheckResult:
    user, path = unit_user(settings), settings.recipients
    problem = unreadable(settings, path, user)
    if problem and user is not None:
        return fault("recipients", f"{path} {problem}: no recording is sealed", fix_of(path, user))
    try:
        in_force = _file(settings).read()
    except KeySetError as error:
        verb = "show" if isinstance(error, WrongOfficerError) else "sign"
        return fault("recipients", str(error), f"{error.hint}: galwad keys {verb}")
    found = in_force.recipients
    if in_force.put_back is not None:
        return warning(
            "recipients",
            f"set number {in_force.put_back.serial} is refused, because number {found.serial} is "
            "newer and in force",
            f"put number {found.serial} back; to go back to older recipients, sign them again: "
            "galwad keys sign --recipients-of OLD --replaces NEWEST",
        )
    pairs = zip(found.named, found.fingerprints, strict=True)
    newest = _newest(settings)
    if found.serial < newest:
        return warning(
            "recipients",
            f"set number {found.serial} is in force, but number {newest} is newer",
            "restore the newest one, then: galwad keys rewrap",
        )
    names = ", ".join(f"{entry.name} {mark}" for entry, mark in pairs)
    if len(found.named) == 1:
        return warning(
            "recipients",
            f"only {names} can open recordings: a lost key loses all of them",
            "sign a second recipient: galwad keys sign --recipient NAME=age1…",
        )
    return fine("recipients", f"set number {found.serial}, signed; {names} can open recordings")


def _file(settings: Settings) -> RecipientsFile:
    return RecipientsFile(
        settings.recipients,
        settings.newest_recipients("switch", "finaliser", "desk"),
        settings.recording.officer_key,
    )
