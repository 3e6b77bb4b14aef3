"""Checks of the machine: folders, free space, processes, clock, open files and swap.

Under systemd, the state folder belongs to root. The state folder contains links to the private
folders of the units (DynamicUser=), so the units must have permission to traverse the state folder.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from galwad.archive.clock import is_synchronised
from galwad.cli.checks import CheckResult, fault, fine, warning
from galwad.process_state import ProcessState, State, states
from galwad.settings import Settings

_LEAST_FREE = 1_000_000_000
_PARTS = ("archive", "desk", "finaliser", "keys", "spare", "spool", "switch")
_NOT_THE_DISK = frozenset({errno.EACCES, errno.EPERM, errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSPC})
"""The errors of a test write that are not faults of the disk.

Such an error has one of three causes: the folder belongs to another user, the file system does not
support files without a name, or the disk is full. For a full disk, the check of the free space
yields a fault.
"""
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_CONSEQUENCES: Final = {
    "switch": "no call is answered",
    "desk": "the page and the API are down",
    "finaliser": "no recording is sealed",
}
_FILES_A_CALL = 12
_FILES_BESIDES = 200


def check_folders(settings: Settings) -> Iterator[CheckResult]:
    """Check the state folder, its disks and their free space, and the runtime folder."""
    state, runtime = settings.node.state, settings.node.runtime
    yield _folder("state", state)
    yield from _parts(state)
    yield _folder("runtime", runtime)
    if runtime.is_dir():
        yield from _private("runtime", runtime)
    kind = filesystem(runtime)
    if runtime.exists() and kind not in _IN_MEMORY:
        yield warning(
            "runtime",
            f"{runtime} is on {kind or 'a disk'}: keys of live calls would survive a reboot",
            "use a folder on tmpfs, such as /run/galwad",
        )
    if state.exists():
        yield from _free_space(state)
        yield from _unwritable(state)


def _free_space(state: Path) -> Iterator[CheckResult]:
    disks: dict[int, Path] = {}
    for path in (state, *sorted(state.iterdir())):
        if path.is_dir():
            disks.setdefault(path.stat().st_dev, path)
    for path in disks.values():
        free = shutil.disk_usage(path).free
        if free < _LEAST_FREE:
            yield fault("disk", f"{free / 1e9:.1f} GB free under {path}", "free some space there")
        else:
            yield fine("disk", f"{free / 1e9:.1f} GB free under {path}")


def _unwritable(state: Path) -> Iterator[CheckResult]:
    for path in sorted(state.iterdir()):
        why = _write_error(path) if path.is_dir() else ""
        if why:
            fix = "`dmesg` has the reason; see docs/operations/disks.md"
            yield fault("disk", f"cannot write to {path}: {why}", fix)


def _write_error(folder: Path) -> str:
    """Return the error of a test write in `folder`; "" for an error in `_NOT_THE_DISK`."""
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"galwad check")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return "" if error.errno in _NOT_THE_DISK else (error.strerror or "").lower()
    return ""


def _folder(name: str, path: Path) -> CheckResult:
    by_hand = f"without the units: install -d -m 0750 -o USER {path}"
    if not path.exists():
        return warning(
            name, f"{path} does not exist yet", f"the units create it when they start; {by_hand}"
        )
    if not path.is_dir():
        return fault(
            name, f"{path} is not a folder", f"remove it: the units create a folder; {by_hand}"
        )
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fault(
            name,
            f"{path} is not writable for user {os.getuid()}",
            "run this as root, or as the user who runs galwad",
        )
    return fine(name, f"{path} is writable")


def _parts(state: Path) -> Iterator[CheckResult]:
    """Check the folders in the state folder: other users may not enter them.

    None of `_PARTS` may be a file or a broken link. If systemd has made links in the state folder,
    the units must have the permission to pass through it.
    """
    if not state.is_dir():
        return
    parts = [path for path in sorted(state.iterdir()) if path.is_dir()]
    if any(path.is_symlink() for path in parts) and not state.stat().st_mode & stat.S_IXOTH:
        yield fault("state", f"the units cannot pass through {state}", f"chmod 755 {state}")
    for name in _PARTS:
        path = state / name
        if os.path.lexists(path) and not path.is_dir():
            yield fault(
                "state",
                f"{path} is not a folder",
                "move it away, or mount the disk of this folder again",
            )
    for path in parts:
        # a link is not checked: it leads to /var/lib/private, which only root may enter
        if not path.is_symlink():
            yield from _private("state", path)


def _private(name: str, path: Path) -> Iterator[CheckResult]:
    if path.stat().st_mode & stat.S_IRWXO:
        yield warning(name, f"{path} is open to all users of this machine", f"chmod o= {path}")


def filesystem(path: Path) -> str:
    """Return the type of a path's file system as in /proc/mounts, such as "tmpfs" or "ext4"."""
    best, kind = "", ""
    real = str(path.resolve())
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, this, *_ = line.split(" ")
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, this
    return kind


def check_processes(settings: Settings) -> Iterator[CheckResult]:
    """Check the processes. If none is running, only warn: Galwad may not have been started yet."""
    found = states(settings)
    if all(each.state is State.STOPPED for each in found):
        yield warning(
            "processes", "no process of Galwad is running", "systemctl start galwad.target"
        )
        return
    for each in found:
        if each.state is State.RUNNING:
            yield fine("processes", f"the {each.name} is running")
        else:
            verb = "start" if each.state is State.STOPPED else "restart"
            fix = f"journalctl -u galwad-{each.name}; systemctl {verb} galwad-{each.name}"
            yield fault("processes", why_down(each), fix)


def why_down(process: ProcessState) -> str:
    """Return what is wrong with a process, such as "the desk does not answer: …"."""
    what = "is not running" if process.state is State.STOPPED else "does not answer"
    return f"the {process.name} {what}: {_CONSEQUENCES[process.name]}"


def check_machine(settings: Settings) -> Iterator[CheckResult]:
    """Check the clock, the limit of open files, and the swap space."""
    yield _clock()
    yield _files(settings)
    swaps = Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
    if any(not line.startswith("/dev/zram") for line in swaps):
        yield warning(
            "swap",
            "this machine swaps to a disk: parts of calls could be written there",
            "encrypt the swap, or run Galwad by its units, which set MemorySwapMax=0",
        )


def _clock() -> CheckResult:
    """Check that the kernel reports its clock as synchronised (adjtimex(2))."""
    if not is_synchronised():
        return warning(
            "clock",
            "this machine's clock is not synchronised: times in recordings could be wrong, and "
            "no recording is disposed of when its term is over, until an administrator confirms "
            "the clock",
            "apt install chrony, or: timedatectl set-ntp true",
        )
    return fine("clock", "this machine's clock is synchronised")


def _files(settings: Settings) -> CheckResult:
    calls = settings.sip.max_calls + settings.sip.emergency_calls
    needed = calls * _FILES_A_CALL + _FILES_BESIDES
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warning(
            "limits",
            f"only {limit} files may be open: {calls} calls need {needed}",
            f"run Galwad by its units, which set LimitNOFILE; by hand: ulimit -n {needed}",
        )
    return fine("limits", f"enough open files for {calls} calls")
