"""Finds out which of the node's processes are running and answer, without disturbing them.

Each process holds a lock on its own state folder (`galwad.process_start`). The kernel lists all
locks in /proc/locks, so this module need not try to take the lock itself.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from galwad.supervise import START_ORDER

if TYPE_CHECKING:
    from galwad.settings import Settings

_LOCKS: Final = Path("/proc/locks")
_TIMEOUT_S: Final = 2.0


class State(StrEnum):
    """The state of a process."""

    RUNNING = "running"
    SILENT = "does not answer"
    """A signal or a debugger has stopped the process, or its socket does not react."""
    STOPPED = "not running"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """The state of one process of the node.

    Attributes:
        name: "switch", "desk" or "finaliser".
        state: Whether the process runs and answers. The finaliser has no socket, so it is `SILENT`
            only if a signal or a debugger has stopped it.
        pid: The process's number; None if it is not running, or belongs to another container.
    """

    name: str
    state: State
    pid: int | None = None


def states(settings: Settings) -> tuple[ProcessState, ...]:
    """Return the states of all processes of the node, in the order in which they start."""
    sockets = {"switch": settings.switch_socket, "desk": settings.desk_socket}
    return tuple(_state(settings, name, sockets.get(name)) for name in START_ORDER)


def _state(settings: Settings, name: str, path: Path | None) -> ProcessState:
    held, pid = _holder(settings.node.state / name)
    if not held:
        return ProcessState(name, State.STOPPED)
    answers = not _is_stopped(pid) and (path is None or _reacts(path))
    return ProcessState(name, State.RUNNING if answers else State.SILENT, pid)


def _holder(folder: Path) -> tuple[bool, int | None]:
    """Return whether a process has locked the folder, and the number of this process.

    A line of /proc/locks is like `1: FLOCK  ADVISORY  WRITE 708 08:01:1234 0 EOF`: after the type
    come the process, and the device and inode of the file. Waiting processes have `->` before the
    type.
    """
    try:
        found = folder.stat()
    except OSError:
        return False, None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in _LOCKS.read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[1] == "FLOCK" and words[5] == place:
            pid = int(words[4])
            return True, pid if pid > 0 else None
    return False, None


def _is_stopped(pid: int | None) -> bool:
    """Return whether a signal or a debugger has stopped the process (proc(5), /proc/pid/stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(") ")[2][:1] in {"T", "t"}


def _reacts(path: Path) -> bool:
    """Return whether the process closes its end of a connection after we have closed ours.

    The kernel accepts connections even if the process hangs, so a connection proves nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_TIMEOUT_S)
        try:
            probe.connect(str(path))
            probe.shutdown(socket.SHUT_WR)
            return not probe.recv(1)
        except OSError:
            return False
