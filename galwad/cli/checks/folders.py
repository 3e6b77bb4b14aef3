"""The state and runtime folders: there, writable, private, on the right kind of disk."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from galwad.cli.checks.finding import Finding, fault, fine, warning

_LEAST_FREE = 1_000_000_000
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def look(settings: Settings) -> Iterator[Finding]:
    """The two folders, and the room for recordings."""
    state, runtime = settings.node.state, settings.node.runtime
    yield _folder("state", state)
    yield _folder("runtime", runtime)
    kind = filesystem(runtime)
    if runtime.exists() and kind not in _IN_MEMORY:
        yield warning(
            "runtime",
            f"{runtime} lies on {kind or 'a disk'}: keys of live calls would outlive a reboot",
            "use a folder on tmpfs, such as /run/galwad",
        )
    if state.exists():
        free = shutil.disk_usage(state).free
        if free < _LEAST_FREE:
            yield fault("disk", f"{free / 1e9:.1f} GB free under {state}", "make room there")
        else:
            yield fine("disk", f"{free / 1e9:.1f} GB free under {state}")


def _folder(name: str, path: Path) -> Finding:
    make = f"systemd makes it; by hand: install -d -m 0750 -o galwad {path}"
    if not path.is_dir():
        return fault(name, f"{path} is no folder", make)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return fault(name, f"{path} is not writable for user {os.getuid()}", make)
    if path.stat().st_mode & stat.S_IRWXO:
        return warning(name, f"{path} is open to everybody on this machine", f"chmod o= {path}")
    return fine(name, f"{path} is writable")


def filesystem(path: Path) -> str:
    """The kind of the filesystem that holds a path, as /proc/mounts names it."""
    best, kind = "", ""
    real = str(path.resolve())
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, this, *_ = line.split(" ")
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, this
    return kind
