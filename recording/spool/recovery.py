"""The keys that open spools, even a spool whose boot key was lost at a reboot of the machine.

A spool's file header also contains the spool key encrypted to the archive's recipients. A recipient
decrypts the spool key on another machine, and a user gives it to the server. The server stores it
in the runtime folder until the call is archived. The spool key opens only this spool.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recording.age.file import Identity, decrypt_small
from recording.call_id import CALL_ID
from recording.errors import AgeError, SpoolError, SpoolHeaderError, SpoolKeyError
from recording.spool import (
    SpoolHeader,
    SpoolReader,
    read_header,
    read_spool,
)
from recording.spool.follower import SpoolFollower
from recording.spool.keys import key_check, shred_keys, unwrap_spool_key

_NAME: Final = re.compile(rf"{CALL_ID}\.(\d+)\.recovered")
_BYTES: Final = 32
_MOST_TEXT: Final = 100


@dataclass(frozen=True, slots=True)
class RecoveredKey:
    """The recovered key of one spool."""

    call_id: str
    life: int
    key: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the file from which the finaliser reads this key."""
        return f"{self.call_id}.{self.life}.recovered"

    def __bytes__(self) -> bytes:
        """Return the content of the key's file: the key in base64 and a line break."""
        return base64.b64encode(self.key) + b"\n"


def recover_key(spool: Path, identities: Iterable[Identity]) -> RecoveredKey:
    """Decrypt the key of a spool with one of the identities.

    The first 130 KB of the spool, with the file header, are enough. Raises `SpoolHeaderError`
    without a readable header. Raises `SpoolKeyError` if the header has no key for recipients, or if
    no identity decrypts it.
    """
    header = read_header(spool)
    if not header.recipients_wrapped:
        raise SpoolKeyError("the spool has no key for recipients: there were none when it was made")
    try:
        key = decrypt_small(header.recipients_wrapped, identities)
    except AgeError as error:
        raise SpoolKeyError(f"the spool's key is not for these identities: {error}") from None
    if not _is_key_of(header, key):
        raise SpoolKeyError("the header's key for the recipients is not the spool's key")
    return RecoveredKey(header.call_id, header.life, key)


def _is_key_of(header: SpoolHeader, key: bytes) -> bool:
    return len(key) == _BYTES and key_check(key) == header.key_check


def boot_key_for(header: SpoolHeader, boot_keys: Iterable[bytes]) -> bytes | None:
    """Return the first of `boot_keys` that opens a spool; None if no key opens it."""
    for boot_key in boot_keys:
        try:
            unwrap_spool_key(header.boot_wrapped, boot_key, header.spool_id)
        except SpoolError:
            continue
        return boot_key
    return None


def recovered_keys(folder: Path, spools: Iterable[Path]) -> dict[int, bytes]:
    """Return the recovered keys in `folder` that open spools of one call, by life.

    Raises `SpoolHeaderError` if one of `spools` is not a spool, and `OSError`.
    """
    found: dict[int, bytes] = {}
    for spool in spools:
        path = folder / f"{spool.name.removesuffix('.spool')}.recovered"
        match = _NAME.fullmatch(path.name)
        if match is None or not path.exists():
            continue
        try:
            key = base64.b64decode(path.read_bytes()[:_MOST_TEXT].strip(), validate=True)
        except (ValueError, binascii.Error):
            continue
        if _is_key_of(read_header(spool), key):
            found[int(match[1])] = key
    return found


def shred_recovered(folder: Path, spool: Path) -> None:
    """If there is a recovered key for a spool, overwrite and unlink its file."""
    shred_keys(folder / f"{spool.name.removesuffix('.spool')}.recovered")


@dataclass(frozen=True, slots=True)
class SpoolKeys:
    """The keys that open spools. `runtime_keys` is the folder of the unpublished frame keys."""

    boot_key: bytes | None
    """The key that encrypts the keys of new spools; None if there is no such key."""
    runtime_keys: Path | None = None
    spool_keys: dict[int, bytes] = field(default_factory=dict)
    """The spool keys that a recipient decrypted with an age identity, by life."""
    other_boot_keys: tuple[bytes, ...] = ()
    """Other boot keys, which are tried first: an older spool may need the boot key of its time."""

    def open(self, path: Path) -> SpoolReader:
        """Open one finished spool for reading. Raises `SpoolError`, `OSError`."""
        header = _checked_header(path)
        return read_spool(
            path,
            boot_key=self._of(header),
            spool_key=self.spool_keys.get(header.life),
            runtime_keys_folder=self.runtime_keys,
        )

    def follow(self, path: Path) -> SpoolFollower:
        """Open one spool that the switch is still writing. Raises `SpoolError`, `OSError`."""
        return SpoolFollower.open(path, self._of(_checked_header(path)))

    def _of(self, header: SpoolHeader) -> bytes | None:
        return (
            boot_key_for(header, self.other_boot_keys) if self.other_boot_keys else None
        ) or self.boot_key


def _checked_header(path: Path) -> SpoolHeader:
    """Return a spool's header, if it agrees with the file's name.

    Without this check, a renamed spool would be archived as the recording of another call. Raises
    `SpoolHeaderError`, `OSError`.
    """
    header = read_header(path)
    its_own = f"{header.call_id}.{header.life}.spool"
    if path.name != its_own:
        raise SpoolHeaderError(f"{path.name} is a renamed or copied {its_own}: move it away")
    return header
