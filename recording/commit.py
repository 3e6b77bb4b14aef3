"""Files that appear under their name whole and on the disk, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

_SMALL: Final = 1 << 20
"""Bytes of what people write by hand, or keep one line in."""


class Part:
    """A file beside its place, until it is committed; there is one at a time for each place."""

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        """Begin it empty, whatever an earlier one left behind. Raises `OSError`."""
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._part.unlink(missing_ok=True)
        self.fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)

    def commit(self) -> None:
        """Bring it to the disk, under its name. Raises `OSError`; nothing is committed then."""
        os.fsync(self.fd)
        self._part.rename(self._path)
        sync_folder(self._path.parent)
        self._close()

    def discard(self) -> None:
        """Remove it, unless it is committed. Again: nothing."""
        if self.fd >= 0:
            self._part.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self.fd)
        self.fd = -1


@contextmanager
def committed(path: Path, mode: int = 0o640) -> Iterator[int]:
    """A file that is committed when no error leaves the block."""
    part = Part(path, mode)
    try:
        yield part.fd
        part.commit()
    finally:
        part.discard()


def write_whole(path: Path, data: bytes, mode: int = 0o640) -> None:
    """Commit a file of this content."""
    with committed(path, mode) as fd:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]


def write_loose(path: Path, data: bytes) -> None:
    """Write a file that need not outlive a crash: `sync_file` comes before its name counts."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def read_small(path: Path) -> bytes:
    """The content of a file that somebody named, at most a megabyte: a device may have no end.

    Raises:
        OSError: it cannot be read, or has more.
    """
    with path.open("rb") as file:
        data = file.read(_SMALL + 1)
    if len(data) > _SMALL:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def overwrite(file: FileIO) -> None:
    """Put zeros in the place of all that is in a file, on the disk too."""
    file.write(bytes(os.fstat(file.fileno()).st_size))
    os.fsync(file.fileno())


def make_folder(folder: Path, root: Path) -> None:
    """The folder of a day, each new name of it brought to the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
    sync_folder(root)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    sync_file(folder)
