"""The log entry about a process that cannot start: what failed, with which path, and the remedy."""

from __future__ import annotations

import errno
import ssl
from typing import Final

import structlog

_REMEDIES: Final = {
    errno.EADDRINUSE: "another program uses this address: `ss -lunptp` shows which; stop it, or "
    "change the address in the settings",
    errno.EADDRNOTAVAIL: "this machine does not have this address: correct it in the settings",
    errno.EACCES: "the services' user may not use it: correct its owner or mode, or a port below "
    "1024 in the settings",
    errno.ENOENT: "it does not exist: create it, or correct the path in the settings",
    errno.ENOSPC: "its disk is full: free some space there",
    errno.EROFS: "its file system is read-only: mount it again with write access",
    errno.ENOTDIR: "a part of the path is not a folder: move that away",
}
_OTHERWISE: Final = "`galwad check` examines the installation"
log = structlog.get_logger()


def log_cannot_start(process: str, error: Exception, hint: str = "") -> None:
    """Log the event `PROCESS.cannot_start` with its reason, path and remedy.

    The text of `error` may be logged only if it contains no personal data. `hint` is the remedy; if
    it is empty, it is chosen by the kind of the error.
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
