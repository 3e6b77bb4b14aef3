"""Functions that write files, read small files, and sync files and folders to the disk.

Except by `write_unsynced`, a file is complete before it gets its final name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

_SMALL: Final = 1 << 20
"""The most bytes of a small file."""


class PendingFile:
    """A temporary file beside its final path. There must be only one for a path at a time."""

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        """Create the empty file; remove one that an earlier process left."""
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._part.unlink(missing_ok=True)
        self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def commit(self) -> None:
        """Sync the file, rename it, and sync its folder. Raises `OSError`."""
        os.fsync(self.fd)
        self._part.rename(self._path)
        sync_folder(self._path.parent)
        self._close()

    def discard(self) -> None:
        """Remove the temporary file, unless it was already renamed or removed."""
        if self.fd >= 0:
            self._part.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self.fd)
        self.fd = -1


@contextmanager
def committed(path: Path, mode: int = 0o640) -> Iterator[int]:
    """Yield a temporary file's descriptor. Commit the file at the end; discard it on an error."""
    part = PendingFile(path, mode)
    try:
        yield part.fd
        part.commit()
    finally:
        part.discard()


def write_atomic(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write and sync a file; replace an existing one."""
    with committed(path, mode) as fd:
        write_all(fd, data)


def write_shared(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write as `write_atomic` does. Several threads and processes may write at the same time."""
    own = _own_part(path)
    try:
        write_atomic(own, data, mode)
        own.replace(path)
        sync_folder(path.parent)
    finally:
        own.unlink(missing_ok=True)


def write_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write and sync a new file. Raises `FileExistsError`: an existing file is never replaced."""
    hidden = _own_part(path)
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.link(hidden, path)
        sync_folder(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


def replace_unsynced(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file by way of a temporary `.new` file, without a sync.

    After a power cut, the file may be empty, or may have the old content. If OSError is raised, the
    old file is unchanged.
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


def _own_part(path: Path) -> Path:
    """Return a path for a temporary file that no other thread or process uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}")


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, with several system calls if necessary."""
    written = 0
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def write_unsynced(path: Path, data: bytes) -> None:
    """Write a file directly. The caller must sync it before the file counts as complete."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def read_small(path: Path) -> bytes:
    """Return the content of a file of at most one mebibyte. Raises `OSError`.

    A user may have given the path. Without the limit, `/dev/zero` would give data without end.
    """
    with path.open("rb") as file:
        data = file.read(_SMALL + 1)
    if len(data) > _SMALL:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


class FileState(NamedTuple):
    """A file's state, to notice that it has changed; `changed_ns` is in Unix nanoseconds."""

    device: int
    inode: int
    size: int
    changed_ns: int


def state_of(path: Path) -> FileState | None:
    """Return the state of a file; None if there is no file, or it cannot be found."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)


def sync_file(path: Path) -> None:
    """Sync a file's content to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def zero_fill(file: FileIO) -> None:
    """Overwrite the whole content of an open file with zeros, and sync it."""
    file.write(bytes(os.fstat(file.fileno()).st_size))
    os.fsync(file.fileno())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder until the block ends; wait if another thread or process has locked it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_folder(folder: Path, root: Path) -> None:
    """Create `folder` and its missing parents; sync the parents of new folders, and `root`."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names of its files survive a power cut."""
    sync_file(folder)
