"""The start of each process: the process protects its memory, and locks its state folder.

Core dumps and debuggers are forbidden. The memory of the switch contains the audio of calls, in
which a caller may say a card number. All processes have keys and callers' phone numbers in memory.

Only one process uses a state folder, whether systemd, `galwad serve` or a person has started it.
Without the lock, two finalisers would overwrite each other's recordings, and two switches would
continue the same calls.

The log entry about a process that cannot start is here too: what failed, and the remedy.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process. Close its memory to processes without privileges.

    Processes of the same user cannot read the memory either, by /proc or ptrace (prctl(2)). The
    kernel sends no dump to a handler. Raises `OSError` if the kernel did not accept the setting.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class FolderLockedError(Exception):
    """Another process has locked the folder."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock the folder until the `with` block or the process ends (flock(2)).

    Raises `FolderLockedError` if another process has locked the folder. If the folder is missing or
    cannot be opened, there is no lock and no error, because the switch must answer calls even then.
    The parts that need the folder report the error.
    """
    descriptor = _opened(folder)
    if descriptor is None:
        yield
        return
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderLockedError(f"another process is at work in {folder}") from None


_REMEDIES: Final = {
    errno.EADDRINUSE: "another program uses this address: `ss -lunptp` shows which; stop it, or "
    "change the address in the settings",
    errno.EADDRNOTAVAIL: "this machine does not have this address: correct it in the settings",
    errno.EACCES: "the services' user may not use this file or port: correct the file's owner or "
    "mode; if it is a port below 1024, choose a higher one in the settings",
    errno.ENOENT: "this path does not exist: create it, or correct it in the settings",
    errno.ENOSPC: "the disk of this path is full: free some space there",
    errno.EROFS: "the file system of this path is read-only: mount it again with write access",
    errno.ENOTDIR: "a part of the path is a file: move this file, or correct the path",
}
_OTHERWISE: Final = "`galwad check` examines the installation"


def log_cannot_start(process: str, error: Exception, hint: str = "") -> None:
    """Log `PROCESS.cannot_start` with the reason, the path and a remedy.

    The remedy is `hint`, or the hint of `error`, or advice about this kind of error, or else the
    advice to run `galwad check`. The text of `error` must not contain personal data: it is logged.
    """
    reason, path = str(error), ""
    remedy = hint or str(getattr(error, "hint", ""))
    if isinstance(error, ssl.SSLError):
        remedy = remedy or "correct the certificate and its key: `galwad check` names the file"
    elif isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        path = "" if error.filename is None else str(error.filename)
        remedy = remedy or _REMEDIES.get(error.errno or 0, "")
    event = f"{process}.cannot_start"
    log.critical(event, reason=reason, path=path, hint=remedy or _OTHERWISE)
