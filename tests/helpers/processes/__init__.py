"""Processes that end with the test that starts them, and `galwad` without its imports.

`Child` is like `subprocess.Popen`, and `run_galwad` like `subprocess.run`. The processes are
children of a server (`helpers/processes/server.py`), one for each process of pytest.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

from helpers.processes.server import Request

GALWAD = (sys.executable, "-m", "galwad")
"""The command that is forked instead of started."""
_SERVER = Path(__file__).with_name("server.py")
_AT_START = dict(os.environ)
"""The environment before a test changes it."""


class _Server:
    """The server of this process."""

    def __init__(self):
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_SERVER), str(theirs.fileno())],
                env={**_AT_START, "OPENBLAS_NUM_THREADS": "1"},  # so that numpy starts no thread
                stdin=DEVNULL,
                stdout=DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._of_interpreter = _of_interpreter(_AT_START)
        assert self._requests.recv(16) == b"ready"
        atexit.register(self.close)

    def can_fork(self, command, environment):
        """Return whether a fork does what this command would do as a process of its own."""
        return (
            tuple(command[: len(GALWAD)]) == GALWAD
            and _of_interpreter(environment) == self._of_interpreter
        )

    def start(self, request, streams):
        """Start a process with these three streams; return its answers."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._requests, [request.encode()], [*streams, theirs.fileno()])
        return ours

    def close(self):
        """End the server, which ends all its children."""
        self._requests.close()
        self._process.wait()


_server = cache(_Server)


def _of_interpreter(environment):
    """Return the variables that an interpreter reads when it starts."""
    return {k: v for k, v in environment.items() if k.startswith(("PYTHON", "LD_"))}


@dataclass(frozen=True, slots=True)
class _Stream:
    """A standard stream of a child."""

    theirs: int
    ours: int | None = None
    """The other end of a pipe."""
    closing: bool = False
    """Whether `theirs` is closed here once the child has it."""

    @classmethod
    def of(cls, given, number):
        """Return the stream of this number for an argument of `Popen`."""
        if given == PIPE:
            reads, writes = os.pipe()
            return cls(reads, writes, True) if number == 0 else cls(writes, reads, True)
        if given == DEVNULL:
            return cls(os.open(os.devnull, os.O_RDWR), closing=True)
        if given is None:
            return cls(number)
        return cls(given if isinstance(given, int) else given.fileno())

    def opened(self, mode, *, text):
        """Close `theirs`, and return a file for our end of the pipe, if there is one."""
        if self.closing:
            os.close(self.theirs)
        if self.ours is None:
            return None
        return os.fdopen(self.ours, mode) if text else os.fdopen(self.ours, mode + "b")


class Child:
    """A process, with those of the attributes and methods of `subprocess.Popen` that we need.

    It is killed when the process of pytest ends, and with all its descendants. If `command` begins
    with `GALWAD`, it is forked, unless it is to be `fresh`: then, nothing of another process can
    be in its memory.
    """

    def __init__(
        self,
        command,
        *,
        env=None,
        cwd=None,
        stdin=None,
        stdout=None,
        stderr=None,
        text=False,
        start_new_session=False,
        fresh=False,
    ):
        self.args = command = [os.fspath(word) for word in command]
        self.returncode = None
        environment = dict(os.environ if env is None else env)
        forked = not fresh and _server().can_fork(command, environment)
        streams = [_Stream.of(stdin, 0), _Stream.of(stdout, 1)]
        streams.append(_Stream(streams[1].theirs) if stderr == STDOUT else _Stream.of(stderr, 2))
        request = Request(
            command=tuple(command[len(GALWAD) :] if forked else command),
            environment=environment,
            folder=os.fspath(cwd or Path.cwd()),
            forked=forked,
            new_session=start_new_session,
        )
        self._answers = _server().start(request, [stream.theirs for stream in streams])
        self.stdin, self.stdout, self.stderr = (
            stream.opened(mode, text=text) for stream, mode in zip(streams, "wrr", strict=True)
        )
        self.pid = self._next_answer()

    def _next_answer(self):
        answer = self._answers.recv(32)
        assert answer, "the server of processes has ended"
        return int(answer)

    def poll(self):
        """Return the exit status, or None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout=None):
        """Wait for the end of the process and return its exit status."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = self._next_answer()
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            self._answers.close()
        return self.returncode

    def send_signal(self, number):
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, but its status is not here yet
                os.kill(self.pid, number)

    def terminate(self):
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def kill_family(self):
        """Send SIGKILL to the process and all its descendants, and wait for its end."""
        if self.poll() is None:
            for pid in _family(self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                stream.close()
        self.wait()


def run(command, *, input="", env=None, cwd=None, timeout=60, check=False, fresh=False):  # noqa: A002
    """Run a command and return a `subprocess.CompletedProcess` with its output as text."""
    with (
        _file(input) as given,
        _file() as out,
        _file() as err,
    ):
        child = Child(command, env=env, cwd=cwd, stdin=given, stdout=out, stderr=err, fresh=fresh)
        try:
            status = child.wait(timeout)
        except BaseException:
            child.kill_family()
            raise
        texts = [(file.seek(0), file.read())[1] for file in (out, err)]
    done = subprocess.CompletedProcess(child.args, status, *texts)
    if check:
        done.check_returncode()
    return done


def _family(pid):
    """Return the process ids of a process and of all its descendants."""
    family = [pid]
    for each in family:
        with suppress(OSError):  # of a process that has ended meanwhile
            for thread in Path(f"/proc/{each}/task").iterdir():
                with suppress(OSError):
                    children = (thread / "children").read_text(encoding="ascii")
                    family += map(int, children.split())
    return family


def run_galwad(*arguments, **options):
    """Run `galwad` with these arguments, as `run` does."""
    return run([*GALWAD, *map(str, arguments)], **options)


def _file(text=""):
    """Return a file in memory with this text."""
    file = os.fdopen(os.memfd_create("stream"), "w+", encoding="utf-8")
    file.write(text)
    file.seek(0)
    return file
