"""The day key of the audit chain: an Ed25519 key for each day.

Each day key signs the next day's public key and is then destroyed. The day's private key is in a
file with mode 0600. When the day changes, the process does three steps. First, it writes the next
day's private key to a second file (`.next`). Then it writes the next day's public key to the audit
chain. Finally, it replaces the first file by the second file. If the process crashes before the
final step, the newest public key in the chain belongs to the second file. In this case
`DayKeys.current` does the final step.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.files.atomic import sync_folder, zero_fill


def public_hex(key: Ed25519PrivateKey) -> str:
    """Return the public key of a day key in hexadecimal, as it is written to the audit chain."""
    return key.public_key().public_bytes_raw().hex()


_FileState: TypeAlias = tuple[int, int, int, int]


class DayKeys:
    """The files of the audit chain's private day keys (one key for each day).

    The first file has today's key. The second file (`.next`) has the next day's key, and exists
    only while the day changes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".next")
        self._seen: tuple[str, _FileState] | None = None
        """The public key of the first file when it was read last, and the file's state before."""

    def has(self, announced: str) -> bool:
        """Return whether the first file has the private key of `announced`.

        This is much faster than `current`, because the file is not read. If its state is not that
        of the last time when `current` has found this key in it, return False.
        """
        return self._seen is not None and self._seen == (announced, _state(self._path))

    def current(self, announced: str) -> Ed25519PrivateKey | None:
        """Return the private day key whose public key is `announced`; None if no file has it.

        `announced` is the newest public day key in the audit chain, in hexadecimal.
        """
        for path in (self._path, self._next):
            state = _state(path)
            key = _read(path)
            if key is not None and public_hex(key) == announced:
                if path == self._next:
                    self.rotate()
                else:
                    self._seen = None if state is None else (announced, state)
                return key
        return None

    def private(self, public: str) -> Ed25519PrivateKey | None:
        """Return the private key of `public`, in hexadecimal, without a change of any file.

        Return None if no file has it.
        """
        keys = (_read(path) for path in (self._path, self._next))
        return next((key for key in keys if key is not None and public_hex(key) == public), None)

    def successor(self) -> Ed25519PrivateKey:
        """Make the next day's private key, write this key to the file `.next`, and return it."""
        key = Ed25519PrivateKey.generate()
        descriptor = os.open(self._next, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(descriptor, key.private_bytes_raw())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return key

    def rotate(self) -> None:
        """Replace the file of the old day key by the file `.next`, which has the next day's key.

        The data of the old file is overwritten with zeros. If another process has already replaced
        the file, nothing changes.
        """
        with ExitStack() as opened:
            old = None
            # There is no old key when the first key is made.
            with suppress(FileNotFoundError):
                old = opened.enter_context(self._path.open("r+b", buffering=0))
            try:
                self._next.replace(self._path)
            except FileNotFoundError:
                return
            sync_folder(self._path.parent)
            if old is not None:
                zero_fill(old)


def _state(path: Path) -> _FileState | None:
    """Return what changes if another key is written to a file; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _read(path: Path) -> Ed25519PrivateKey | None:
    try:
        return Ed25519PrivateKey.from_private_bytes(path.read_bytes())
    except (OSError, ValueError):
        return None
