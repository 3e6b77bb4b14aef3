"""The file operations of a spool.

They create the locked file, write all of a piece of data or nothing, sync the file, and check that
the file still has its name. All of them use the spool's `Disk`, except for syncs, which run in a
thread.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from recording.errors import SpoolSyncError
from recording.files.atomic import sync_folder, write_all
from recording.files.disk import Disk


class SpoolFile:
    """A locked file to which data is only appended.

    The file stays locked until all its descriptors are closed. Another thread may call only the
    function that `sync_job` returns. Every method can raise `OSError`, which is `TimeoutError` if
    the disk hangs.

    Attributes:
        size: The length of the file in bytes.
    """

    def __init__(self, path: Path, data: bytes, disk: Disk) -> None:
        """Create the file. It gets its name only after it is locked and contains `data`."""
        self.path = path
        self.size = len(data)
        self._disk = disk
        self._fd = disk.run(lambda: _create_locked(path, data), lambda fd: _remove(fd, path))
        self._folder_synced = False

    def append(self, data: bytes) -> None:
        """Append all of `data` or nothing.

        If the disk accepts only a part of `data`, the file is shortened to the length that it had
        before. If the disk refuses to shorten the file, the part stays in it; readers skip the
        part.
        """
        fd, size = self._fd, self.size
        try:
            self._disk.run(lambda: _append(fd, data, size), lambda _: os.ftruncate(fd, size))
        except OSError:
            with contextlib.suppress(OSError):  # `is_at_path` will update `size` later
                self.size = self._disk.run(lambda: os.fstat(fd).st_size)
            raise
        self.size += len(data)

    def read(self, size: int, offset: int) -> bytes:
        """Read `size` bytes at the place `offset` in the file. Fewer are read at the file's end."""
        return self._disk.run(lambda: os.pread(self._fd, size, offset))

    def is_at_path(self) -> bool:
        """Return whether the file still has its name in its folder. Also update `size`."""
        there, ours = self._disk.run(lambda: (self.path.stat(), os.fstat(self._fd)))
        self.size = ours.st_size
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    @property
    def free_bytes(self) -> int:
        """The number of free bytes that the disk reports."""
        disk = self._disk.run(lambda: os.fstatvfs(self._fd))
        return disk.f_bavail * disk.f_frsize

    @property
    def threads(self) -> Executor | None:
        """The executor that should run a `sync_job`; None for the event loop's default executor.

        A disk has its own executor, so that a slow sync does not delay syncs of another disk.
        """
        return self._disk.threads

    @property
    def is_hanging(self) -> bool:
        """True while the disk hangs, which means that it neither accepts nor refuses a job."""
        return self._disk.is_hanging

    def run_later(self, job: Callable[[], None]) -> None:
        """Run `job` after all earlier jobs of the disk.

        If the disk hangs, run `job` when the disk answers again.
        """
        self._disk.run_later(job)

    def sync_job(self) -> Callable[[], None]:
        """Return a function that syncs all written data to the disk; a thread must run it.

        The function blocks, and raises `SpoolSyncError` if the sync fails. The file may be closed
        before or while the function runs.
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
        """Return a second descriptor of the file.

        The file stays locked until this descriptor and the file's own are closed.
        """
        return os.dup(self._fd)

    def close(self) -> None:
        """Close the file. If the disk hangs, close it when the disk answers again."""
        fd = self._fd
        self._disk.run_later(lambda: os.close(fd))

    def remove(self) -> None:
        """Unlink the file. If the disk hangs, unlink it when the disk answers again."""
        self._disk.run_later(lambda: self.path.unlink(missing_ok=True))


def _create_locked(path: Path, data: bytes) -> int:
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


def _remove(fd: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(fd)


def _append(fd: int, data: bytes, size: int) -> None:
    try:
        write_all(fd, data)
    except OSError:
        with contextlib.suppress(OSError):  # readers skip a partial write that cannot be removed
            os.ftruncate(fd, size)
        raise
