"""The finaliser's workers, forked before the finaliser runs.

Each finaliser starts two workers. A worker imports for 0.4 s of CPU time, so the two cost more than
all else that a test's service does when it starts. A finaliser that was forked instead has workers
that wait, with everything imported, until it starts them. A worker that dies is replaced as usual.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable

from galwad.finaliser import worker, workers

_PR_SET_PDEATHSIG = 1
_BLOCKED = (signal.SIGTERM, signal.SIGINT)


class _Waiting:
    """A worker that waits for its socket, with what the finaliser uses of `subprocess.Popen`."""

    def __init__(self, earlier: list[_Waiting]) -> None:
        self._starts, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._starts.close()
            for other in earlier:
                other._starts.close()
            _become_worker(theirs)
        theirs.close()
        self._end = os.pidfd_open(self.pid)

    def start(self, connection: socket.socket) -> None:
        """Let it work for the finaliser at the other end of this socket."""
        socket.send_fds(self._starts, [b"start"], [connection.fileno()])
        self._starts.close()

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._end], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("worker", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._end)
        return self.returncode


def fork_before_the_finaliser() -> None:
    """Fork its workers, and let it use them. Call this before the process has a thread."""
    waiting: list[_Waiting] = []
    for _ in range(workers.how_many()):
        waiting.append(_Waiting(waiting))
    usual: Callable[[], tuple[subprocess.Popen[bytes], socket.socket]] = workers._start

    def start() -> tuple[subprocess.Popen[bytes] | _Waiting, socket.socket]:
        if not waiting:
            return usual()
        ours, theirs = socket.socketpair()
        with theirs:
            first = waiting.pop(0)
            first.start(theirs)
        ours.setblocking(False)
        return first, ours

    workers._start = start  # type: ignore[assignment]


def _become_worker(starts: socket.socket) -> None:
    """Wait for the start, then be a worker. Never return."""
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        message, descriptors, _, _ = socket.recv_fds(starts, 16, 1)
        if message:
            starts.close()
            os.dup2(descriptors[0], 0)
            os.close(descriptors[0])
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            status = worker.main()
    finally:
        os._exit(status)
