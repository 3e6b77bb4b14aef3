"""Files in folders that belong to another user.

Administrators' commands run as root, but most of their files are in folders of the services' user.
A person who has taken over a service can put a link there. If root followed the link, root would
overwrite or copy a file that only root may use. So a privileged process uses these folders only
through this module. It writes with the rights of the folder's owner (`owner_rights`), and gives
away files without following links (`give_to`). When it reads (`read_foreign`), it follows only
links that root or its own user made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_MAX_LINKS: Final = 40
_CAPABILITIES_V3: Final = 0x20080522
_DAC_READ_SEARCH: Final = 1 << 2
_EFFECTIVE, _PERMITTED = 0, 1
_SKIPPED: Final = {errno.ELOOP, errno.ENXIO, errno.ENOENT}

_libc = ctypes.CDLL(None, use_errno=True)


class ForeignFileError(OSError):
    """A path has a link that another user made, or leads to a hard link or a special file."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user and the group that own a file."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the owner of a file or folder. Raises `OSError`."""
        descriptor, _ = _walk(path)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        return cls(found.st_uid, found.st_gid)


def read_foreign(path: Path) -> bytes:
    """Return the content of a file in a folder that may belong to another user.

    Raises `ForeignFileError` for a path with another user's link and for a special file. A file
    with several hard links raises it too, unless the folder's owner owns the file. Raises `OSError`
    if the file is missing or cannot be read.
    """
    place, folder_uid = _walk(path)
    try:
        found = os.fstat(place)
        if not stat.S_ISREG(found.st_mode):
            raise ForeignFileError(errno.EINVAL, "not a regular file", str(path))
        if found.st_nlink > 1 and found.st_uid != folder_uid:
            raise ForeignFileError(errno.EMLINK, "a hard link to another user's file", str(path))
        with open(f"/proc/self/fd/{place}", "rb") as file:  # noqa: PTH123 - a descriptor, not a path
            return file.read()
    finally:
        os.close(place)


def check_path(path: Path) -> None:
    """Raise `ForeignFileError` if another user made a link in `path`. `path` need not exist."""
    with suppress(FileNotFoundError):
        descriptor, _ = _walk(path)
        os.close(descriptor)


def _walk(path: Path) -> tuple[int, int]:
    """Open `path` step by step with `O_PATH`; return the descriptor and the last folder's owner.

    Raises `ForeignFileError` for a link that neither root nor our own user made.
    """
    steps = list(reversed(Path(os.path.abspath(path)).parts[1:]))  # noqa: PTH100 - keeps links
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    place, folder_uid, links = os.open("/", flags), 0, 0
    try:
        while steps:
            step = steps.pop()
            found = os.open(step, flags, dir_fd=place)
            facts = os.fstat(found)
            if not stat.S_ISLNK(facts.st_mode):
                folder_uid = os.fstat(place).st_uid
                os.close(place)
                place = found
                continue
            try:
                target = _target(found, facts, path)
            finally:
                os.close(found)
            links += 1
            _check_count(links)
            if target.startswith("/"):
                os.close(place)
                place = os.open("/", flags)
            steps += [each for each in reversed(target.split("/")) if each not in {"", "."}]
    except BaseException as error:
        os.close(place)
        if isinstance(error, OSError) and not isinstance(error, ForeignFileError):
            error.filename = str(path)
        raise
    return place, folder_uid


def _check_count(links: int) -> None:
    if links > _MAX_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _target(link: int, facts: os.stat_result, path: Path) -> str:
    if facts.st_uid not in {0, os.geteuid()}:
        raise ForeignFileError(errno.ELOOP, "the path has a link that another user made", str(path))
    return os.readlink("", dir_fd=link)


@contextmanager
def owner_rights(folder: Path) -> Iterator[None]:
    """Act as the owner of `folder` (`acting_as`). If `folder` does not exist, keep our rights.

    Raises `ForeignFileError` if its path has a link that another user made.
    """
    try:
        owner = Owner.of(folder)
    except FileNotFoundError:
        yield
        return
    with acting_as(owner):
        yield


@contextmanager
def acting_as(owner: Owner) -> Iterator[None]:
    """Run the `with` block with the rights of `owner`, if this process is root.

    Root can still read every file and pass through every folder, because systemd keeps the
    services' folders in a folder of root. The rights are those of the whole process: only one
    thread may use this function, and no other thread may need root's rights meanwhile.
    """
    if os.geteuid() != 0 or owner.uid == 0:
        yield
        return
    with as_user(owner):
        _keep_reading()
        yield


@contextmanager
def as_user(owner: Owner) -> Iterator[None]:
    """Run the block with exactly the rights of `owner`. This process must be root."""
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([owner.gid])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _keep_reading() -> None:
    """Get back the capability DAC_READ_SEARCH, which the change of the user id has taken away.

    In a container without this capability, a path through a folder of root gives an OSError.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) == 0:
        sets[_EFFECTIVE] |= sets[_PERMITTED] & _DAC_READ_SEARCH
        _libc.capset(header, sets)


def make_foreign_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, with the rights of the owner of the nearest parent.

    If `folder` is a link that systemd has made, the folder to which it points is made. Raises
    `ForeignFileError` if the path has a link that another user made.
    """
    if folder.is_symlink() and folder.lstat().st_uid not in {0, os.geteuid()}:
        raise ForeignFileError(errno.ELOOP, "a link that another user made", str(folder))
    check_path(folder)
    target = folder.resolve()
    parent = next(each for each in target.parents if each.exists())
    with owner_rights(parent):
        target.mkdir(mode=0o750, parents=True, exist_ok=True)


def give_to(owner: Owner, folder: Path) -> None:
    """Make `owner` the owner of `folder` and of the files and folders in it, if we are root.

    Links are skipped. Files with several hard links are skipped too: such a file may be a file of
    root under a second name. Raises `ForeignFileError` if the folder's path has a link that another
    user made.
    """
    if os.geteuid() != 0:
        return
    place, _ = _walk(folder)
    try:
        for _, _, names, here in os.fwalk(".", onerror=_raise, dir_fd=place):
            _give(owner, here)
            for name in names:
                _give_file(owner, name, here)
    finally:
        os.close(place)


def _raise(error: OSError) -> None:
    raise error


def _give_file(owner: Owner, name: str, folder: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in _SKIPPED:  # a link, a socket, or a file that has gone
            return
        raise
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            _give(owner, descriptor)
    finally:
        os.close(descriptor)


def _give(owner: Owner, descriptor: int) -> None:
    if os.fstat(descriptor).st_uid != owner.uid:
        os.fchown(descriptor, owner.uid, owner.gid)
