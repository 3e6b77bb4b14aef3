"""Storage of frame keys until they are in the spool file, and encryption of the spool key.

To *publish* a key means to write it into the spool file. The unpublished keys of each open spool
are in a file in the runtime folder (a tmpfs), which survives a crash of the process, but not a
reboot. A *slot* of this file and the key in memory are overwritten with zeros as soon as the key is
in the spool file twice or must be destroyed. No other copy is kept, so a destroyed key cannot be
restored.
"""

import contextlib
import errno
import hashlib
import hmac
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recording.errors import SpoolKeyError

_MAGIC: Final = b"GALSKEYS"
_IDENTITY: Final = 32
_START: Final = len(_MAGIC) + _IDENTITY
_SLOT = struct.Struct(">I32sI")
"""The frame's index, its key, and a CRC-32 of both; only zeros if the slot is free."""
_FREE: Final = bytes(_SLOT.size)
_MAX_FILE: Final = 1 << 20
_WRAP_CONTEXT: Final = b"galwad spool key v1\0"
_SALT_CONTEXT: Final = b"galwad index salt v1\0"


def keys_path(folder: Path, call_id: str, life: int) -> Path:
    """Return the path of the file in the runtime folder that stores the keys of one spool."""
    return folder / f"{call_id}.{life}.keys"


class KeySlots:
    """The unpublished frame keys of one open spool. Every method can raise `OSError`."""

    def __init__(self, path: Path, identity: bytes) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fd = os.open(path, flags, 0o640)
        written = 0
        try:
            written = os.pwrite(self._fd, _MAGIC + identity, 0)
        finally:
            if written != _START:
                self.close(unlink=True)
        if written != _START:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        self._free: list[int] = []
        self._slots = 0
        self._by_index: dict[int, int] = {}

    def put(self, index: int, key: bytearray) -> None:
        """Store the key of the frame with this index."""
        if not self._free:
            self._free.append(self._slots)
            self._slots += 1
        slot = self._free[-1]
        entry = _SLOT.pack(index, bytes(key), zlib.crc32(key, zlib.crc32(index.to_bytes(4, "big"))))
        if os.pwrite(self._fd, entry, _START + slot * _SLOT.size) != _SLOT.size:
            raise OSError(f"the runtime folder is full: {self.path.parent}")
        self._by_index[index] = self._free.pop()

    def forget(self, index: int) -> None:
        """If the frame with this index has a key here, overwrite the key with zeros."""
        slot = self._by_index.pop(index, None)
        if slot is not None:
            os.pwrite(self._fd, _FREE, _START + slot * _SLOT.size)
            self._free.append(slot)

    def close(self, *, unlink: bool) -> None:
        """Close the file. With `unlink`, remove it, so that all keys in it are lost."""
        os.close(self._fd)
        if unlink:
            self.path.unlink(missing_ok=True)


def load_keys(path: Path, identity: bytes) -> Mapping[int, bytes]:
    """Return the frame keys in a file by frame index.

    The result is empty if the file cannot be read or belongs to a spool with another identity.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE)
    except OSError:
        return {}
    if data[:_START] != _MAGIC + identity:
        return {}
    keys: dict[int, bytes] = {}
    for position in range(_START, len(data) - _SLOT.size + 1, _SLOT.size):
        index, key, crc = _SLOT.unpack_from(data, position)
        if index and zlib.crc32(data[position : position + 36]) == crc:
            keys[index] = key
    return keys


def shred_keys(path: Path) -> None:
    """If the file of keys exists, overwrite it with zeros and unlink it."""
    with contextlib.suppress(FileNotFoundError):
        with path.open("r+b", buffering=0) as file:
            file.write(bytes(min(path.stat().st_size, _MAX_FILE)))
        path.unlink()


def wrap_spool_key(spool_key: bytes, boot_key: bytes, spool_id: bytes) -> bytes:
    """Return the spool key encrypted under the boot key, for this `spool_id` only.

    It is a nonce and AES-256-GCM ciphertext.
    """
    nonce = os.urandom(12)
    return nonce + AESGCM(boot_key).encrypt(nonce, spool_key, _WRAP_CONTEXT + spool_id)


def unwrap_spool_key(wrapped: bytes, boot_key: bytes, spool_id: bytes) -> bytes:
    """Return the spool key that `wrap_spool_key` encrypted with this boot key and spool id.

    Raises `SpoolKeyError`.
    """
    try:
        return AESGCM(boot_key).decrypt(wrapped[:12], wrapped[12:], _WRAP_CONTEXT + spool_id)
    except (InvalidTag, ValueError) as error:
        raise SpoolKeyError("the spool was written under another boot key") from error


def index_salt(spool_key: bytes, spool_id: bytes) -> bytes:
    """Return this spool's salt (32 bytes) for the commitments in the call's manifest.

    Each reading of the spool computes the same salt, also after a crash. Only a reader with the
    spool key, which is random, can compute it.
    """
    return hmac.new(spool_key, _SALT_CONTEXT + spool_id, hashlib.sha256).digest()


def key_check(spool_key: bytes) -> bytes:
    """Return the digest in the file header, which does not reveal the spool key.

    If a given key has another digest, it is wrong, or the file header is damaged.
    """
    return hashlib.sha256(b"galwad spool key check v1\0" + spool_key).digest()[:16]
