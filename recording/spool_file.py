"""What a spool asks of the file system: a locked file, whole writes, a lasting name."""

import fcntl
import os
from pathlib import Path


def create_locked(path: Path, data: bytes) -> int:
    """A new file that appears under its name only when it is locked and holds `data`."""
    hidden = path.with_name(f".{path.name}.new")
    hidden.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    fd = os.open(hidden, flags, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        write_all(fd, data)
        os.link(hidden, path)
    except OSError:
        os.close(fd)
        raise
    finally:
        hidden.unlink(missing_ok=True)
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, however many calls that takes."""
    written = 0
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def sync_folder(folder: Path) -> None:
    """Bring the names in `folder` to the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
