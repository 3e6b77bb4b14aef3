"""Recovers the key of a spool whose boot key was lost at a reboot of the machine.

The file header also contains the spool key encrypted to the archive's recipients. A recipient
decrypts it on another machine, and a user gives it to the server, which stores it in the runtime
folder until the call is archived. The spool key opens only this spool.
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
from recording.errors import AgeError, SpoolError, SpoolKeyError
from recording.spool import SpoolHeader, read_header
from recording.spool.keys import key_check, shred_keys, unwrap_spool_key

_NAME: Final = re.compile(r"\d{8}-\d{6}-[a-z2-7]{8}\.(\d+)\.recovered")
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
        """Return the content of this file: the key in base64 and a line break."""
        return base64.b64encode(self.key) + b"\n"


def recover_key(spool: Path, identities: Iterable[Identity]) -> RecoveredKey:
    """Decrypt the key of a spool with one of the identities.

    Only the file header is read, so a file with the spool's first 130 KB is enough.

    Raises:
        SpoolHeaderError: The file is not a spool.
        SpoolKeyError: There is no key for recipients, or these identities cannot decrypt it.
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
    """Return the boot key that opens a spool; None if it was lost, for example at a reboot."""
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
    """Overwrite and unlink the file of the key that was recovered for a spool, if it exists."""
    shred_keys(folder / f"{spool.name.removesuffix('.spool')}.recovered")
