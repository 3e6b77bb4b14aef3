"""Files that appear whole or not at all."""

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
"""The flag for files without a name; only Linux has it, and not every file system supports it."""
_UNKNOWN: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


@contextmanager
def atomic_file(path: Path, *, replace: bool, mode: int = 0o600) -> Iterator[io.BufferedRandom]:
    """Yield a file to write and read back, which receives its name only if all went well.

    Until then it has no name, where the file system allows that, so that nothing of it is left if
    the process dies. Elsewhere it is written under another name beside its place. Without
    `replace`, a file that appeared at `path` meanwhile is kept, and the new one is discarded.
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
    """Refuse to replace anything but a regular file, such as a folder or /dev/null."""
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
    """Refuse a path to which `atomic_file` could not write, before any work is done.

    `hint` says what to do about a file that exists.
    """
    check_replaceable(path)
    if not path.parent.is_dir():
        raise CliError(f"{path.parent} is not a folder", "create it first")
    if not replace and os.path.lexists(path):
        raise CliError(f"{path} already exists", hint)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise CliError(f"you cannot create files in {path.parent}", "choose another folder")


def _opened(part: Path, mode: int) -> int:
    """Open a file without a name in this folder or, where that is not possible, `part`."""
    part.unlink(missing_ok=True)  # left by a killed process that had our process id
    if _NAMELESS:
        try:
            return os.open(part.parent, os.O_RDWR | _NAMELESS, mode)
        except OSError as error:
            if error.errno not in _UNKNOWN:
                raise
    return os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)


def _name(descriptor: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:  # given a folder's descriptor, Python has linkat(2) follow the link in /proc
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
