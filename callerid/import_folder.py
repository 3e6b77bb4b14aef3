"""The folder into which another system puts CSV files that are to be imported.

A file is ignored unless its name ends with `.csv` and does not begin with a dot. So the other
system can write a file under another name, and rename it when it is complete. The folder belongs to
the other system's account, which can replace an entry at any time. So this module opens entries
without following links, and imports only regular files of the folder's owner or root.

A file that was imported is removed. A file that is refused is moved to the folder `failed`, with a
report beside it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from callerid.errors import WatchedFileError

QUIET_S = 5.0
"""The seconds for which a file must not have changed before it is imported."""
FAILED: Final = "failed"
LAST_REPORT: Final = "last-import.report.txt"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\.csv")
_UNNAMED: Final = "a file with an unsuitable name"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class WatchedFile:
    """An entry of the folder, in the state in which it was found."""

    def __init__(self, folder: int, name: str, facts: os.stat_result) -> None:
        self.name = name
        self._folder = folder
        self._facts = facts

    @property
    def shown_name(self) -> str:
        """The name in reports and logs, or a fixed text if the name could deceive a reader."""
        return self.name if _NAME.fullmatch(self.name) else _UNNAMED

    @property
    def age(self) -> tuple[int, str]:
        """A key that sorts files by the time of their last change."""
        return self._facts.st_mtime_ns, self.name

    def is_unchanged(self) -> bool:
        """Return whether the folder still has this entry, unchanged since it was found."""
        try:
            facts = os.stat(self.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return _identity(facts) == _identity(self._facts)

    def check_unchanged(self) -> None:
        """Raise WatchedFileError if the file was written or replaced since it was found."""
        if not self.is_unchanged():
            raise WatchedFileError("has changed while it was imported")

    def open(self) -> BinaryIO:
        """Open the file for reading; raise WatchedFileError if it cannot be imported."""
        if not _NAME.fullmatch(self.name):
            raise WatchedFileError(
                "must have a name of letters, digits, spaces, dots, hyphens and underscores"
            )
        self._check(self._facts)
        try:
            descriptor = os.open(self.name, _FILE_FLAGS, dir_fd=self._folder)
        except OSError as error:
            raise WatchedFileError(f"cannot be read: {error.strerror}") from None
        if _identity(os.fstat(descriptor)) != _identity(self._facts):
            os.close(descriptor)
            raise WatchedFileError("has changed while it was opened")
        return os.fdopen(descriptor, "rb")

    def _check(self, facts: os.stat_result) -> None:
        if not stat.S_ISREG(facts.st_mode):
            raise WatchedFileError("is not a regular file")
        if facts.st_uid not in {0, os.fstat(self._folder).st_uid}:
            raise WatchedFileError("belongs to another user than the folder")
        if facts.st_nlink > 1:
            raise WatchedFileError("has a second name (a hard link)")


class ImportFolder:
    """The folder at `path`, a context manager.

    Raises `WatchedFileError` if the folder cannot be opened, or if every user of the machine can
    write into it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._folder = os.open(path, _FOLDER_FLAGS)
        except OSError as error:
            raise WatchedFileError(f"cannot be used: {error.strerror}") from None
        if os.fstat(self._folder).st_mode & stat.S_IWOTH:
            os.close(self._folder)
            raise WatchedFileError("must not be writable for every user")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)

    def next_file(self) -> WatchedFile | None:
        """Wait until the oldest file is complete, and return it. Return None if there is no file.

        The oldest comes first, so that the newest is imported last and stays in force. A file
        counts as complete when it has not changed for `QUIET_S`.
        """
        while (file := self._oldest()) is not None:
            time.sleep(QUIET_S)
            if file.is_unchanged():
                return file
        return None

    def _oldest(self) -> WatchedFile | None:
        found = []
        for name in os.listdir(self._folder):  # noqa: PTH208 - a descriptor, not a path
            if name.endswith(".csv") and not name.startswith("."):
                with suppress(FileNotFoundError):  # it was removed meanwhile
                    facts = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                    found.append(WatchedFile(self._folder, name, facts))
        return min(found, key=lambda file: file.age, default=None)

    def accept(self, file: WatchedFile, report: str) -> None:
        """Remove an imported file, unless it has changed, and write the report."""
        if file.is_unchanged():
            os.unlink(file.name, dir_fd=self._folder)
        _write(self._folder, LAST_REPORT, report)

    def refuse(self, file: WatchedFile, report: str) -> None:
        """Move a file to the folder `failed`, unless it has changed, and write the report there."""
        with suppress(FileExistsError):
            os.mkdir(FAILED, 0o770, dir_fd=self._folder)
        failed = os.open(FAILED, _FOLDER_FLAGS, dir_fd=self._folder)
        try:
            if file.is_unchanged():
                os.rename(file.name, file.name, src_dir_fd=self._folder, dst_dir_fd=failed)
            name = file.name if file.shown_name == file.name else "unsuitable-name"
            _write(failed, f"{name}.report.txt", report)
        finally:
            os.close(failed)

    def remove_refused(self) -> None:
        """Remove all files in the folder `failed`: files refused before, and their reports."""
        try:
            failed = os.open(FAILED, _FOLDER_FLAGS, dir_fd=self._folder)
        except FileNotFoundError:
            return
        try:
            for name in os.listdir(failed):  # noqa: PTH208 - as above
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=failed)
        finally:
            os.close(failed)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (
        *(facts.st_dev, facts.st_ino, facts.st_mode, facts.st_uid),
        *(facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns),
    )


def _write(folder: int, name: str, text: str) -> None:
    """Write a file that replaces, in one step, whatever has this name, even a link."""
    new = ".report.new"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o660, dir_fd=folder), "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
