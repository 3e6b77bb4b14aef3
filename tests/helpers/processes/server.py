"""The process whose children are the processes that the tests start.

It has imported Galwad, and forks: a child that is to run `python -m galwad` begins with all modules
in place, which saves more than two seconds of CPU time each. It hashes passwords at the least cost:
at the usual one, each sign-in takes a fifth of a second of CPU time. Any other program is executed.

Each request is a message on a socket, with the child's standard streams and a socket for the
answers: the child's process id, then its exit status. When the tests end, however they end, the
socket closes; then this process kills all its descendants. No thread, event loop, database or log
exists before a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

from argon2 import PasswordHasher

MODULES = (
    "cryptography.hazmat.backends.openssl.backend",
    "httpcore2",
    "uvicorn.lifespan.off",
    "galwad.cli.support.administration",
    "galwad.cli.support.client",
)
"""What the processes of the service and most commands import, beside the modules of `serve`."""
CHEAP_HASHER = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
FINALISER = ("serve", "--only", "finaliser")
WORKERS = str(Path(__file__).with_name("workers.py"))
REQUEST_SIZE = 256 * 1024
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Request:
    """A process that a test wants."""

    command: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    """The working directory."""
    forked: bool
    """Whether `command` has only the arguments of `galwad`, which are run without an `exec`."""
    new_session: bool = False

    def encode(self) -> bytes:
        """Return the message with this request."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> Request:
        """Return the request of a message."""
        return cls(**json.loads(message))


def main(requests: socket.socket) -> None:
    """Serve requests until their socket closes, then kill all descendants."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for name in (*MODULES, *importlib.import_module("galwad.cli.serve")._MODULES.values()):
        importlib.import_module(name)
    patch("galwad.people.store.PasswordHasher", CHEAP_HASHER).start()
    gc.freeze()
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    answers: dict[int, socket.socket] = {}
    requests.send(b"ready")
    while True:
        ready, _, _ = select.select([requests, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            reap(answers)
        if requests in ready:
            data, descriptors, _, _ = socket.recv_fds(requests, REQUEST_SIZE, 4)
            if not data:
                break
            *streams, answer = descriptors
            pid = os.fork()
            if pid == 0:
                become(Request.decode(data), streams)
            for stream in streams:
                os.close(stream)
            answers[pid] = socket.socket(fileno=answer)
            tell(answers[pid], pid)
    kill_descendants()


def tell(answer: socket.socket, number: int) -> None:
    """Send a process id or an exit status to the test, if it still listens."""
    with contextlib.suppress(OSError):
        answer.send(str(number).encode())


def reap(answers: dict[int, socket.socket]) -> None:
    """Report each child that has ended. Orphans of children are children of this process too."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            if answer := answers.pop(pid, None):
                tell(answer, os.waitstatus_to_exitcode(status))
                answer.close()


def kill_descendants() -> None:
    """Send SIGKILL to all descendants, until there is none."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(0.01)


def children() -> list[int]:
    """Return the process ids of the children of this process."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return [int(pid) for pid in text.split()]


def become(request: Request, streams: list[int]) -> None:
    """Become the requested process, in the child. Never return."""
    status = 127  # of a shell that cannot start a command
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(request.folder)
        if request.new_session:
            os.setsid()
        if request.forked:
            status = galwad(request)
        else:
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(request.command[0], request.command, request.environment)
    except OSError as error:
        os.write(2, f"cannot run {request.command[0]}: {error}\n".encode())
    finally:
        os._exit(status)


def galwad(request: Request) -> int:
    """Run `python -m galwad` in this process, and return the exit status."""
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    if "PYTHONSAFEPATH" not in os.environ:
        sys.path.insert(0, request.folder)
    sys.argv = ["galwad", *request.command]
    status: object = 0
    if tuple(request.command[: len(FINALISER)]) == FINALISER:
        runpy.run_path(WORKERS)["fork_before_the_finaliser"]()
    try:
        runpy.run_module("galwad", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        status = stop.code
    except BaseException:  # noqa: BLE001 - the interpreter prints any exception
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
