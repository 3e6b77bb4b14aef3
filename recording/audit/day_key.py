"""The audit's day key: one Ed25519 key a day, which signs its successor and is destroyed.

The private key is stored in one file (0600). A successor is first written beside it (`.next`),
announced in the chain, then put in its place. After a crash between these steps, `current` repairs
them: it compares the files with the public key that the chain announced last.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.files.atomic import sync_folder, zero_fill


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public key in hexadecimal, as the chain writes it."""
    return key.public_key().public_bytes_raw().hex()


class DayKeys:
    """The file of today's key and, while the day changes, that of its successor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".next")

    def current(self, announced: str) -> Ed25519PrivateKey | None:
        """Return the private key whose public key the chain announced; None when it is lost."""
        for path in (self._path, self._next):
            key = _read(path)
            if key is not None and public_hex(key) == announced:
                if path == self._next:
                    self.rotate()
                return key
        return None

    def successor(self) -> Ed25519PrivateKey:
        """Make a new key and sync it to a file beside the current one."""
        key = Ed25519PrivateKey.generate()
        descriptor = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, key.private_bytes_raw())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return key

    def rotate(self) -> None:
        """Put the successor in the place of the current key, and overwrite the old key.

        If another process that appends to the chain did this first, there is nothing to do.
        """
        with ExitStack() as opened:
            old = None
            with suppress(FileNotFoundError):  # the first key replaces no other
                old = opened.enter_context(self._path.open("r+b", buffering=0))
            try:
                self._next.replace(self._path)
            except FileNotFoundError:
                return
            sync_folder(self._path.parent)
            if old is not None:
                zero_fill(old)


def _read(path: Path) -> Ed25519PrivateKey | None:
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except (OSError, ValueError):
        return None
