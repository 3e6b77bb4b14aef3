"""A list of the SHA-256 digests of all files in a folder, which `sha256sum -c` can check too.

A check of the folder proves something only if no other user can change the folder before its files
are used (`check_private`).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from recording.files.atomic import write_atomic

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ChecksumError(Exception):
    """A folder is not as its list of checksums says, or another user can change it."""


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, name: str) -> str:
    """Write the digests of all files in `folder` to its file `name`; return the list's digest."""
    lines = [
        f"{digest_of(folder / each)}  {each}\n" for each in sorted(_files(folder)) if each != name
    ]
    write_atomic(folder / name, "".join(lines).encode())
    return digest_of(folder / name)


def check_checksums(
    folder: Path,
    name: str,
    digest: str,
    *,
    ignored: Collection[str],
    may_lack: Callable[[str], bool],
) -> None:
    """Check that `folder` has exactly the files of its list `name`, with the same content.

    `digest` is the list's digest from a trusted source. The folder may also have the files in
    `ignored`, and may lack a file for which `may_lack` returns True. Raises `ChecksumError`, or
    `OSError` if a file cannot be read.
    """
    if digest_of(folder / name) != digest:
        raise ChecksumError(f"{folder / name} was changed")
    wanted = dict(_rows(folder / name))
    found = set(_files(folder)) - {name, *ignored}
    unknown, lacking = sorted(found - wanted.keys()), sorted(wanted.keys() - found)
    if unknown:
        raise ChecksumError(f"{folder / unknown[0]} is not in the list of the backup's files")
    lacking = [each for each in lacking if not may_lack(each)]
    if lacking:
        raise ChecksumError(f"{folder / lacking[0]} is missing")
    for each in sorted(found):
        if digest_of(folder / each) != wanted[each]:
            raise ChecksumError(f"{folder / each} was changed")


def check_private(folder: Path) -> None:
    """Check that only our user and root can change `folder`, its contents and its path.

    Raises `ChecksumError` if another user can change them, or if the folder has a link or a special
    file.
    """
    top = folder.resolve()
    for each in (top, *top.parents):
        _check_private(each, each.stat(), shared=each != top)
    for parent, folders, names, here in os.fwalk(top, onerror=_raise):
        for name in (*folders, *names):
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            _check_private(Path(parent, name), found, shared=False)


def _check_private(path: Path, found: os.stat_result, *, shared: bool) -> None:
    if stat.S_ISLNK(found.st_mode) or not (
        stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    ):
        raise ChecksumError(f"{path} is not a plain file or folder")
    is_sticky = shared and bool(found.st_mode & stat.S_ISVTX)
    if found.st_uid not in {0, os.geteuid()} or (found.st_mode & _OTHERS_WRITE and not is_sticky):
        raise ChecksumError(f"another user can change {path}")


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder, onerror=_raise):
        for name in names:
            yield str(Path(parent, name).relative_to(folder))


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        yield name, digest


def _raise(error: OSError) -> None:
    raise error
