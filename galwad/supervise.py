"""Supervision of the three processes, and notices to systemd or to our own supervisor.

`Supervisor` starts switch, desk and finaliser as child processes, and restarts a child that dies.
At its end, it first asks the switch to stop, which ends after its last call. Then the finaliser
seals the spools of these calls. The desk stops last, because advisors need its page to pause calls.
The functions `ready`, `stopping` and `watchdog` send messages of sd_notify(3) without libsystemd.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import structlog

ProcessName: TypeAlias = Literal["switch", "desk", "finaliser"]

START_ORDER: Final[tuple[ProcessName, ...]] = ("switch", "desk", "finaliser")
STOP_ORDER: Final[tuple[ProcessName, ...]] = ("switch", "finaliser", "desk")
SUPERVISED: Final = "GALWAD_SUPERVISED"

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_STEADY_S = 30.0
_STARTS_BEFORE_GIVING_UP = 3
_PATIENCE_S: Final[Mapping[ProcessName, float | None]] = {
    "switch": None,
    "finaliser": 300.0,
    "desk": 10.0,
}
"""The time in seconds in which each process must end after it was asked to stop.

None means no limit: the switch waits for the end of its calls. The finaliser needs the time to seal
the remaining spools. A reboot may destroy the boot key, and then only an officer can open a spool.
"""
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


def notify(state: str) -> bool:
    """Send the sd_notify message `state`, such as `READY=1`; return False if it was not sent.

    It is not sent if $NOTIFY_SOCKET is not set.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError as error:
            log.warning("notify.failed", errno=error.errno)
            return False
    return True


def ready() -> bool:
    """Notify systemd, or our supervisor, that this process is ready; return False if not sent."""
    return notify("READY=1")


def stopping() -> bool:
    """Notify systemd, or our supervisor, that this process stops; return False if not sent."""
    return notify("STOPPING=1")


def watchdog_interval() -> float | None:
    """Return half the watchdog's time in seconds; None if systemd expects no messages."""
    allowed, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or (whose and whose != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


async def watchdog() -> None:
    """Send watchdog messages while the event loop runs. Run this as a task.

    Each message also restarts a kernel timer, whose SIGALRM ends a hung process after 1.5 times
    systemd's limit. The timer is needed because systemd ignores its watchdog while a unit stops.
    """
    interval = watchdog_interval()
    if interval is None:
        return
    try:
        while True:
            notify("WATCHDOG=1")
            signal.setitimer(signal.ITIMER_REAL, interval * 3)
            await asyncio.sleep(interval)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def die_with_parent() -> None:
    """Let the kernel end this process with SIGTERM when the supervisor that started it ends.

    Exit with status 1 if the supervisor has ended already.
    """
    parent = os.environ.pop(SUPERVISED, "")
    if parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent != str(os.getppid()):
            sys.exit(1)


class Child:
    """A child process that is started again each time it ends, until `stop` is called."""

    def __init__(self, name: ProcessName, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.cannot_start = asyncio.Event()
        self._command = command
        self._listener = _NotifyListener(folder / f"{name}.notify", self.ready.set)
        self._process: asyncio.subprocess.Process | None = None
        self._stop = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id of the child; None while the child does not run."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process else None

    async def run(self) -> None:
        """Run the child, and start it again each time it ends. Return after `stop` is called."""
        wait, failures = _FIRST_WAIT_S, 0
        loop = asyncio.get_running_loop()
        with self._listener:
            while not self._stop.is_set():
                self.ready.clear()
                started = loop.time()
                self._process = await self._spawn()
                if self._stop.is_set():
                    self.terminate()
                status = await self._process.wait()
                if self._stop.is_set():
                    return
                failures = 0 if self.ready.is_set() else failures + 1
                log.error("process.died", process=self.name, status=status, restarts_in=wait)
                if failures >= _STARTS_BEFORE_GIVING_UP:
                    self.cannot_start.set()
                if loop.time() - started > _STEADY_S:
                    wait = _FIRST_WAIT_S
                await self._pause(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _spawn(self) -> asyncio.subprocess.Process:
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._listener.path),
            SUPERVISED: str(os.getpid()),
        }
        environment.pop("WATCHDOG_USEC", None)
        # Because the child gets its own process group, Ctrl-C reaches only the supervisor. The
        # supervisor then stops the children one after the other, in `STOP_ORDER`.
        return await asyncio.create_subprocess_exec(
            *self._command, env=environment, process_group=0, stdin=asyncio.subprocess.DEVNULL
        )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def stop(self) -> None:
        """Ask the child to end, and do not start it again."""
        self._stop.set()
        self.terminate()

    def terminate(self) -> None:
        """Send SIGTERM to the child if it runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to the child if it runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class _NotifyListener:
    """The socket to which one child sends its sd_notify messages."""

    def __init__(self, path: Path, on_ready: Callable[[], None]) -> None:
        self.path = path
        self._on_ready = on_ready
        self._socket: socket.socket | None = None

    def __enter__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(self.path))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def __exit__(self, *_: object) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        if self._socket is not None:
            message = self._socket.recv(4096)
            if b"READY=1" in message.split(b"\n"):
                self._on_ready()


class Supervisor:
    """Runs the three processes until SIGTERM or SIGINT, or until one of them cannot be started.

    The first signal lets the processes finish their work. A second signal kills them.
    """

    def __init__(self, commands: Mapping[ProcessName, Sequence[str]]) -> None:
        self._commands = commands
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self.children: dict[ProcessName, Child] = {}

    async def run(self) -> int:
        """Run the three processes; return 0 after a signal, 1 if a process cannot be started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.signalled)
        with tempfile.TemporaryDirectory(prefix="galwad-") as folder:
            self.children = {
                name: Child(name, self._commands[name], Path(folder)) for name in START_ORDER
            }
            runners = {n: asyncio.create_task(c.run()) for n, c in self.children.items()}
            announced = asyncio.create_task(self._announce())
            fine = await self._wait_for_the_end()
            announced.cancel()
            stopping()
            await self._stop_in_order(runners)
        return 0 if fine else 1

    def signalled(self) -> None:
        """At the first signal, let the processes finish their work. At the second, kill them."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _announce(self) -> None:
        for child in self.children.values():
            await child.ready.wait()
        log.info("service.ready")
        ready()

    async def _wait_for_the_end(self) -> bool:
        """Wait for a signal or for a child that cannot be started; return True if a signal came."""
        cannot_start = [asyncio.create_task(c.cannot_start.wait()) for c in self.children.values()]
        asked = asyncio.create_task(self._stop.wait())
        done, pending = await asyncio.wait(
            [asked, *cannot_start], return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        if asked not in done:
            log.error("service.cannot_start")
        return asked in done

    async def _stop_in_order(self, runners: Mapping[ProcessName, asyncio.Task[None]]) -> None:
        log.info("service.stopping")
        for name in STOP_ORDER:
            self.children[name].stop()
            await self._drained(name, runners[name])

    async def _drained(self, name: ProcessName, runner: asyncio.Task[None]) -> None:
        """Wait until a child that was asked to stop has ended.

        If the child needs longer than its time in `_PATIENCE_S`, or if a second signal arrives,
        send SIGTERM to the child again, and send SIGKILL if it has not ended one second later.
        """
        hurry = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait(
            [runner, hurry], timeout=_PATIENCE_S[name], return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        if not runner.done():
            log.warning("process.killed", process=name)
            self.children[name].terminate()
            await asyncio.wait([runner], timeout=1.0)
            self.children[name].kill()
        await runner


def child(name: str, config: Path) -> list[str]:
    """Return the command that runs the process `name` with the settings file `config`."""
    # With -P, Python loads no modules from the current folder.
    python = [sys.executable, "-P", "-m", "galwad"]
    return [*python, "serve", "--only", name, "--config", str(config)]


def serve(config: Path) -> int:
    """Run switch, desk and finaliser as children of this process; return the exit status."""
    commands = {name: child(name, config) for name in START_ORDER}

    async def main() -> int:
        return await Supervisor(commands).run()

    return asyncio.run(main())
