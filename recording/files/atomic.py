"""Functions that write files, read small files, and sync files and folders to the disk.

Most of the functions that write a file first write a temporary file. It gets its final name when it
is complete. `replace_unsynced` and `write_unsynced` do not sync the file.
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
from typing import Final

_SMALL: Final = 1 << 20
"""The maximum size in bytes of a file that `read_small` reads.

Such a file is written by hand, or has only one line.
"""


class PendingFile:
    """A temporary file, in the folder of its final path. `commit` renames it to the final path.

    For each final path there can be only one temporary file at a time.
    """

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        """Create the empty temporary file. A temporary file of an earlier process is removed first.

        `mode` has the file's permissions, such as 0o640. Raises `OSError`.
        """
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._part.unlink(missing_ok=True)
        self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def commit(self) -> None:
        """Sync the file and rename it to its final path.

        Raises:
            OSError: The file could not be synced or renamed, or the new name could not be synced.
        """
        os.fsync(self.fd)
        self._part.rename(self._path)
        sync_folder(self._path.parent)
        self._close()

    def discard(self) -> None:
        """Remove the temporary file. Does nothing if it was already renamed or removed."""
        if self.fd >= 0:
            self._part.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self.fd)
        self.fd = -1


@contextmanager
def committed(path: Path, mode: int = 0o640) -> Iterator[int]:
    """Yield the descriptor of a temporary file for the final path `path`.

    At the end of the `with` block, the temporary file is synced and renamed to `path`. If the
    `with` block raises an error, the temporary file is removed.
    """
    part = PendingFile(path, mode)
    try:
        yield part.fd
        part.commit()
    finally:
        part.discard()


def write_atomic(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write `data` to the file at `path`, and sync the file. An existing file is replaced."""
    with committed(path, mode) as fd:
        write_all(fd, data)


def write_shared(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write `data` to the file at `path`, and sync the file. An existing file is replaced.

    Several threads and processes may write the same file at once: the last one counts.
    """
    own = _own_part(path)
    try:
        write_atomic(own, data, mode)
        own.replace(path)
        sync_folder(path.parent)
    finally:
        own.unlink(missing_ok=True)


def write_new(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Write `data` to a new file, and sync the file. An existing file is never replaced.

    Raises:
        FileExistsError: There is already a file at this path.
        OSError: The file cannot be written.
    """
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
    finally:
        hidden.unlink(missing_ok=True)


def replace_unsynced(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write `data` to the file at `path`, without a sync. An existing file is replaced.

    The data is first written to a temporary file in the same folder. The temporary file's name ends
    with `.new`. After a power cut, the file at `path` may be empty, or may have the old content.

    Raises:
        OSError: The data cannot be written. The old file is then unchanged.
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
    """Write all of `data` to the descriptor `fd`, with several system calls if necessary."""
    written = 0
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def write_unsynced(path: Path, data: bytes) -> None:
    """Write `data` to the file at `path`, without a temporary file and without a sync.

    Before the file is treated as complete, it must be synced with `sync_file`.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def read_small(path: Path) -> bytes:
    """Return the content of a file whose path a user gave. The limit is one mebibyte.

    Without a limit, a path such as `/dev/zero` would give data without end.

    Raises:
        OSError: The file cannot be read, or is larger than one mebibyte.
    """
    with path.open("rb") as file:
        data = file.read(_SMALL + 1)
    if len(data) > _SMALL:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def sync_file(path: Path) -> None:
    """Sync the content of the file at `path` to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def zero_fill(file: FileIO) -> None:
    """Overwrite the whole content of an open file with zeros, and sync the file."""
    file.write(bytes(os.fstat(file.fileno()).st_size))
    os.fsync(file.fileno())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder until the `with` block ends; wait if a thread or process has locked it.

    Raises `OSError`.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_folder(folder: Path, root: Path) -> None:
    """Create `folder`, the archive's folder for one day, and all its parents that do not exist.

    The parent of each new folder is synced. `root`, the archive's top folder, is always synced.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Sync a folder to the disk, so that the names of its files survive a power cut."""
    sync_file(folder)
