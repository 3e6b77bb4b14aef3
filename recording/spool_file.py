"""What a spool asks of the file system: a locked file, whole writes, a lasting name."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from recording.disk import Disk
from recording.errors import SpoolSyncError


class SpoolFile:
    """A file under a lock, which grows by whole writes and is let go of with its last descriptor.

    Not thread-safe, but for `sync_job`. Everything raises OSError as the disk does: TimeoutError if
    it hangs.

    Attributes:
        size: how long the file is.
    """

    def __init__(self, path: Path, data: bytes, disk: Disk) -> None:
        """Make the file; it appears under its name only when it is locked and holds `data`."""
        self.path = path
        self.size = len(data)
        self._disk = disk
        self._fd = disk.ask(lambda: _create_locked(path, data), lambda fd: _remove(fd, path))
        self._folder_synced = False

    def append(self, data: bytes) -> None:
        """Append all of `data` or nothing: a torn tail is cut off again, if the disk lets us."""
        fd, size = self._fd, self.size
        try:
            self._disk.ask(lambda: _append(fd, data, size), lambda _: os.ftruncate(fd, size))
        except OSError:
            with contextlib.suppress(OSError):  # `check_place` looks again
                self.size = self._disk.ask(lambda: os.fstat(fd).st_size)
            raise
        self.size += len(data)

    def read(self, size: int, offset: int) -> bytes:
        """What was written there."""
        return self._disk.ask(lambda: os.pread(self._fd, size, offset))

    def is_in_place(self) -> bool:
        """Whether the file still lies under its name; looks how long it is, too."""
        there, ours = self._disk.ask(lambda: (self.path.stat(), os.fstat(self._fd)))
        self.size = ours.st_size
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    @property
    def room(self) -> int:
        """Bytes that the disk says it can still take."""
        disk = self._disk.ask(lambda: os.fstatvfs(self._fd))
        return disk.f_bavail * disk.f_frsize

    @property
    def threads(self) -> Executor | None:
        """Where to run a `sync_job`: no other disk waits there for this one."""
        return self._disk.threads

    @property
    def hangs(self) -> bool:
        """Whether the disk does."""
        return self._disk.hangs

    def entrust(self, job: Callable[[], None]) -> None:
        """Have this done when the disk goes on."""
        self._disk.entrust(job)

    def sync_job(self) -> Callable[[], None]:
        """Brings what was written to the disk; blocks while it lasts, safe against `close`.

        What comes back is to be run in a thread. It raises `SpoolSyncError`.
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
        """Another descriptor of the file; its lock holds until that is closed, too."""
        return os.dup(self._fd)

    def close(self) -> None:
        """Let go of the file."""
        fd = self._fd
        self._disk.entrust(lambda: os.close(fd))

    def remove(self) -> None:
        """Take its name away."""
        self._disk.entrust(lambda: self.path.unlink(missing_ok=True))


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
        with contextlib.suppress(OSError):  # the reader skips what stays behind
            os.ftruncate(fd, size)
        raise


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
