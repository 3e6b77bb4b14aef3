"""The file operations of a spool: create it locked, append completely or not at all, sync, check.

System calls that can block are jobs for the spool's `Disk`, so that a hanging disk does not block
the switch. The sync runs in a separate thread.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from recording.errors import SpoolGoneError, SpoolSyncError
from recording.files.atomic import sync_folder, write_all
from recording.files.disk import Disk

ROOM_TO_RESUME: Final = 64 * 1024
"""A disk with fewer free bytes counts as full. This many are enough for some seconds of a call."""


class SpoolFile:
    """A locked file to which data is only appended; locked until all its descriptors are closed.

    All methods must be called in the same thread. Every method can raise `OSError`; if the disk
    hangs, a `TimeoutError`.
    """

    def __init__(self, path: Path, data: bytes, disk: Disk) -> None:
        """Create the file. It gets its final name only after it is locked and complete."""
        self.path = path
        self._name = os.fspath(path)
        self._disk = disk
        self._fd = disk.run(lambda: _create_locked(path, data), lambda fd: _remove(fd, path))
        self._folder_synced = False

    def append(self, data: bytes) -> int:
        """Append all of `data` or nothing; return the position of `data` in the file, in bytes.

        If only a part can be written, the file is shortened again. If that fails too, the part
        stays in the file; `SpoolReader` skips it.
        """
        fd = self._fd
        return self._disk.run(lambda: _append(fd, data), lambda start: os.ftruncate(fd, start))

    def append_at_path(self, data: bytes) -> int:
        """Check the path as `check_path` does, and then append `data`, in one job for the disk.

        If the check fails, nothing is written.
        """
        fd, name = self._fd, self._name

        def job() -> int:
            _check_path(fd, name)
            return _append(fd, data)

        return self._disk.run(job, lambda start: os.ftruncate(fd, start))

    def read(self, size: int, offset: int) -> bytes:
        """Return `size` bytes of the file from `offset` on, or fewer at the file's end."""
        return self._disk.run(lambda: os.pread(self._fd, size, offset))

    def check_path(self) -> None:
        """Raise `SpoolGoneError` unless the file at `path` is still this file."""
        fd, name = self._fd, self._name
        self._disk.run(lambda: _check_path(fd, name))

    @property
    def free_bytes(self) -> int:
        """The number of free bytes that the disk reports."""
        disk = self._disk.run(lambda: os.fstatvfs(self._fd))
        return disk.f_bavail * disk.f_frsize

    @property
    def threads(self) -> Executor | None:
        """The executor for a `sync_job`; None for the event loop's default executor.

        A `WatchedDisk` has its own, so that a slow sync does not delay syncs of another disk.
        """
        return self._disk.threads

    @property
    def is_hanging(self) -> bool:
        """True while the disk is treated as hanging (see `WatchedDisk`)."""
        return self._disk.is_hanging

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` after all earlier jobs. While the disk hangs, `job` waits."""
        self._disk.run_later(job)

    def sync_job(self) -> Callable[[], None]:
        """Return a function that syncs all written data. It blocks: run it in another thread.

        The function raises `SpoolSyncError`. The file may be closed before or while it runs.
        """
        fd = os.dup(self._fd)
        folder = None if self._folder_synced else self.path.parent

        def job() -> None:
            try:
                os.fdatasync(fd)
                if folder is not None:
                    sync_folder(folder)
                    self._folder_synced = True
            except OSError as error:
                raise SpoolSyncError(f"{self.path.name}: {error.strerror}") from error
            finally:
                os.close(fd)

        return job

    def duplicate(self) -> int:
        """Return a second descriptor of the file, which also keeps it locked."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the file. If the disk hangs, this happens when it works again."""
        fd = self._fd
        self._disk.run_later(lambda: os.close(fd))

    def remove(self) -> None:
        """Unlink the file. If the disk hangs, this happens when it works again."""
        self._disk.run_later(lambda: self.path.unlink(missing_ok=True))


def _create_locked(path: Path, data: bytes) -> int:
    """Create the file with `data`; return its descriptor.

    ext4 skips the parts of a dead disk that it cannot read, and then says that the disk is full. So
    ENOSPC from a disk that reports free space becomes EIO: the disk has failed.
    """
    try:
        return _link_locked(path, data)
    except OSError as error:
        if error.errno == errno.ENOSPC and _has_room(path.parent):
            reason = "no space left, although the disk reports free space"
            raise OSError(errno.EIO, reason, os.fspath(path)) from error
        raise


def _has_room(folder: Path) -> bool:
    disk = os.statvfs(folder)
    no_inodes = disk.f_files > 0 and disk.f_favail == 0  # f_files is 0 where inodes have no limit
    return disk.f_bavail * disk.f_frsize >= ROOM_TO_RESUME and not no_inodes


def _link_locked(path: Path, data: bytes) -> int:
    hidden = path.with_name(f".{path.name}.new")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    try:
        fd = os.open(hidden, flags, 0o640)
    except FileExistsError:  # left by a process that died
        hidden.unlink(missing_ok=True)
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


def _remove(fd: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(fd)


def _check_path(fd: int, name: str) -> None:
    try:
        there, ours = os.stat(name), os.fstat(fd)  # noqa: PTH116 - a Path takes five times as long
    except OSError as error:
        raise SpoolGoneError(f"{Path(name).name} is gone: {error.strerror}") from error
    if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
        raise SpoolGoneError(f"{Path(name).name}: another file has its name")


def _append(fd: int, data: bytes) -> int:
    start = os.fstat(fd).st_size
    try:
        write_all(fd, data)
    except OSError:
        with contextlib.suppress(OSError):  # if this fails, `SpoolReader` skips the partial data
            os.ftruncate(fd, start)
        raise
    return start
