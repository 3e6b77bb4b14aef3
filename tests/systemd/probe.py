"""Tries, with the rights of a unit, what its process must or must not be able to do.

A unit runs this program in place of its own. It writes one line of JSON: for each attempt "yes", or
the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

STATE = Path("/var/lib/galwad")
FOLDERS = ("archive", "spool", "spare", "desk", "switch", "finaliser", "keys")
PROCESSES = ("switch", "desk", "finaliser")
PORT = 4444


def write(folder: Path) -> None:
    """Create a file in the folder, and remove it."""
    path = folder / "probe"
    path.write_text("probe")
    path.unlink()


def names_in(folder: str | Path) -> list[str]:
    """Return the names of the files in the folder, sorted."""
    return sorted(each.name for each in Path(folder).iterdir())


def connect(host: str) -> None:
    """Connect to the listener at this address."""
    socket.create_connection((host, PORT), timeout=2).close()


def open_socket(family: int, kind: int) -> None:
    """Open a socket of this family."""
    socket.socket(family, kind).close()


def read_memory(pid: int) -> None:
    """Read from the memory of another process."""
    first = Path(f"/proc/{pid}/maps").read_text().split("-", 1)[0]
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        memory.seek(int(first, 16))
        memory.read(1)


def run_written_memory() -> None:
    """Make memory executable that could be written."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def mount() -> None:
    """Mount a file system."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")


def read_clock_state() -> None:
    """Read whether the kernel's clock is synchronised (adjtimex(2) with modes 0)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.create_string_buffer(512)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")


def set_clock() -> None:
    """Set the clock to its present time."""
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def attempts(private: str, public: str, *pids: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield all attempts by their names. `pids` are the ids of `PROCESSES`, in their order."""
    for name in FOLDERS:
        yield f"write {name}", partial(write, STATE / name)
        yield f"list {name}", partial(names_in, STATE / name)
    yield "write /etc", partial(write, Path("/etc"))
    yield "write /opt/galwad", partial(write, Path("/opt/galwad"))
    yield "read /etc/shadow", Path("/etc/shadow").read_bytes
    yield "read the settings file", Path("/etc/galwad/galwad.toml").read_bytes
    yield "list /etc/credstore", partial(names_in, "/etc/credstore")
    for name, pid in zip(PROCESSES, map(int, pids), strict=True):
        credentials = f"/run/credentials/galwad-{name}.service"
        yield f"list the credentials of the {name}", partial(names_in, credentials)
        yield f"signal the {name}", partial(os.kill, pid, 0)
        yield f"read the memory of the {name}", partial(read_memory, pid)
    yield "connect to this machine", partial(connect, "127.0.0.1")
    yield "connect to a private network", partial(connect, private)
    yield "connect to the wide world", partial(connect, public)
    yield "open a packet socket", partial(open_socket, socket.AF_PACKET, socket.SOCK_RAW)
    yield "open a netlink socket", partial(open_socket, socket.AF_NETLINK, socket.SOCK_RAW)
    yield "become root", partial(os.setuid, 0)
    yield "mount", mount
    yield "run written memory", run_written_memory
    yield "read the state of the clock", read_clock_state
    yield "set the clock", set_clock


def outcome(attempt: Callable[[], object]) -> str:
    """Return "yes", or the name of the error."""
    try:
        attempt()
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "yes"


if __name__ == "__main__":
    results = {name: outcome(attempt) for name, attempt in attempts(*sys.argv[1:])}
    own = os.environ["CREDENTIALS_DIRECTORY"]
    results["credentials"] = " ".join(names_in(own))
    sys.stdout.write(json.dumps(results) + "\n")
