"""The day key of the audit chain: an Ed25519 key for each day, in a file with mode 0600.

Each day key signs the next one and is then destroyed. When the day changes, the process writes the
next private key to a second file (`.next`), then its public key to the chain, and then replaces the
first file by the second. After a crash before this last step, the newest public key in the chain
belongs to `.next`, and `DayKeys.current` does the step.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.files.atomic import FileState, state_of, sync_folder, zero_fill


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public key of a day key in hexadecimal, as the audit chain has it."""
    return key.public_key().public_bytes_raw().hex()


class DayKeys:
    """The files of the private day keys: today's, and `.next` while the day changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".next")
        self._seen: tuple[str, FileState] | None = None
        """The public key last read from the first file, and the file's state before the reading."""

    def has(self, announced: str) -> bool:
        """Return whether the first file has the private key of `announced`, without reading it.

        It is much faster than `current`. False if the file's state has changed since `current`
        found the key.
        """
        return self._seen is not None and self._seen == (announced, state_of(self._path))

    def current(self, announced: str) -> Ed25519PrivateKey | None:
        """Return the private key of `announced`, the chain's newest; None if no file has it.

        If the key is in the file `.next`, this file replaces the first file (`rotate`).
        """
        for path in (self._path, self._next):
            state = state_of(path)
            key = _read(path)
            if key is not None and public_hex(key) == announced:
                if path == self._next:
                    self.rotate()
                else:
                    self._seen = None if state is None else (announced, state)
                return key
        return None

    def private(self, public: str) -> Ed25519PrivateKey | None:
        """Return the private key of `public` (hexadecimal), or None. No file is changed."""
        keys = (_read(path) for path in (self._path, self._next))
        return next((key for key in keys if key is not None and public_hex(key) == public), None)

    def successor(self) -> Ed25519PrivateKey:
        """Make the next day's private key, and write it to the file `.next`."""
        key = Ed25519PrivateKey.generate()
        descriptor = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, key.private_bytes_raw())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return key

    def rotate(self) -> None:
        """Replace the old day key's file by `.next`, and overwrite the old file's data with zeros.

        If another process has already replaced the file, nothing changes.
        """
        with ExitStack() as opened:
            old = None
            with suppress(FileNotFoundError):
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
