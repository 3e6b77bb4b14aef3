"""Writing of output files so that they appear completely or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from galwad.cli.support.console import CliError

_NAMELESS: Final = getattr(os, "O_TMPFILE", 0)
"""The flag of open(2) for a file without a name; 0 if this system has no such flag.

Only Linux has the flag, and some file systems do not support it.
"""
_UNKNOWN: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


@contextmanager
def atomic_file(path: Path, *, replace: bool, mode: int = 0o600) -> Iterator[io.BufferedRandom]:
    """Yield a new file for writing and reading; it is named `path` only if the body succeeds.

    Until then the file has no name, so that nothing remains if the process dies. If the file system
    does not support nameless files, the file has a temporary name in the same folder. Raises
    `CliError` if the file cannot be written, if `path` exists and `replace` is false, or if `path`
    is a folder or special file.
    """
    check_replaceable(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = _opened(part, mode)
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not part.exists():
                _name(descriptor, part if replace else path)
        if replace:
            part.replace(path)
        elif part.exists():
            os.link(part, path)
    except FileExistsError:
        raise CliError(
            f"{path} already exists", "choose another name, or replace it with --force"
        ) from None
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CliError(f"cannot write {path}: {reason}", "nothing was written") from None
    finally:
        part.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise a `CliError` if `path` is a folder or special file (/dev/null), or if stat(2) fails."""
    try:
        there = path.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CliError(f"cannot write {path}: {reason}", "choose another file") from None
    if stat.S_ISDIR(there):
        raise CliError(f"{path} is a folder", "give the name of a file in it")
    if not stat.S_ISREG(there):
        raise CliError(
            f"{path} is not a regular file, and is not replaced", "choose another output file"
        )


def check_writable(
    path: Path, *, replace: bool, hint: str = "choose another name, or replace it with --force"
) -> None:
    """Raise a `CliError` if `atomic_file` could not create `path`.

    A command calls this before its work, so that it fails early. `hint` is the error's hint if
    `path` exists and `replace` is false.
    """
    check_replaceable(path)
    if not path.parent.is_dir():
        raise CliError(f"{path.parent} is not a folder", "create it first")
    if not replace and os.path.lexists(path):
        raise CliError(f"{path} already exists", hint)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CliError(f"you cannot create files in {path.parent}", "choose another folder")


def _opened(part: Path, mode: int) -> int:
    # remove a file that an earlier process with the same process id left because it was killed
    part.unlink(missing_ok=True)
    if _NAMELESS:
        try:
            return os.open(part.parent, os.O_RDWR | _NAMELESS, mode)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
    return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)


def _name(descriptor: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    # The path in /proc is a link to the file without a name. To give the file a name, Python must
    # follow this link by linkat(2). Python calls linkat(2) only if dst_dir_fd is given.
    try:
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
