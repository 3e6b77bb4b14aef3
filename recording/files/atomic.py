"""Files that appear under their name complete and synced, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

_SMALL: Final = 1 << 20
"""Size limit in bytes of files that people write by hand, or that hold one line."""


class PendingFile:
    """A temporary file beside its final place until `commit`; one at a time for each place."""

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        """Create it empty; a leftover of an earlier one is removed. Raises `OSError`."""
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._part.unlink(missing_ok=True)
        self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def commit(self) -> None:
        """Sync the file and rename it to its place. On `OSError`, nothing is committed."""
        os.fsync(self.fd)
        self._part.rename(self._path)
        sync_folder(self._path.parent)
        self._close()

    def discard(self) -> None:
        """Remove the file unless it is committed. A repeat changes nothing."""
        if self.fd >= 0:
            self._part.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self.fd)
        self.fd = -1


@contextmanager
def committed(path: Path, mode: int = 0o640) -> Iterator[int]:
    """Yield a temporary file's descriptor; the file is committed if the block raises no error."""
    part = PendingFile(path, mode)
    try:
        yield part.fd
        part.commit()
    finally:
        part.discard()


def write_atomic(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write and commit a file of this content."""
    with committed(path, mode) as fd:
        write_all(fd, data)


def write_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write and sync a new file of this content; an existing file is kept.

    Raises:
        FileExistsError: The name is taken.
        OSError: The disk refuses.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.link(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def replace_unsynced(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file by one of this content, complete or not at all, but without a sync.

    After a power cut, the file may have its old content or be empty. The temporary file is beside
    it, with the ending `.new`. Raises `OSError`; the old file then stays.
    """
    new = path.with_suffix(".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, with more than one system call if necessary."""
    written = 0
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def write_unsynced(path: Path, data: bytes) -> None:
    """Write a file without syncing it; call `sync_file` before its name counts."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def read_small(path: Path) -> bytes:
    """Return the content of a file that a user named, at most a megabyte.

    The limit exists because a device may have no end.

    Raises:
        OSError: The file cannot be read, or is larger.
    """
    with path.open("rb") as file:
        data = file.read(_SMALL + 1)
    if len(data) > _SMALL:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def sync_file(path: Path) -> None:
    """Sync a file's content to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def zero_fill(file: FileIO) -> None:
    """Replace all of a file's content with zeros, and sync it."""
    file.write(bytes(os.fstat(file.fileno()).st_size))
    os.fsync(file.fileno())


def make_folder(folder: Path, root: Path) -> None:
    """Make the folder of a day, and sync each new name."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to the disk."""
    sync_file(folder)
