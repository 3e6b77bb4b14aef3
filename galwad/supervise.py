"""Supervision of the three processes, and notices to systemd or to our own supervisor.

`Supervisor` starts switch, desk and finaliser as children. It restarts a child that dies, after a
growing wait. It stops them in an order that loses nothing: the switch drains its calls first, then
the finaliser seals what they left, and the desk, with its pause key, stops last. `ready`,
`stopping` and `watchdog` are the service's side of sd_notify(3), without libsystemd.
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
    "switch": None,  # its calls may last any time
    "finaliser": 300.0,  # it must seal what they left: after a reboot it could not
    "desk": 10.0,
}
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


def notify(state: str) -> bool:
    """Send one sd_notify message; return False if none was requested or it cannot be sent."""
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
    """Notify that this process is ready."""
    return notify("READY=1")


def stopping() -> bool:
    """Notify that this process has begun to stop."""
    return notify("STOPPING=1")


def watchdog_interval() -> float | None:
    """Return the seconds between watchdog messages, half of those allowed.

    Return None if no watchdog waits for this process.
    """
    allowed, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or (whose and whose != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


async def watchdog() -> None:
    """Send watchdog messages while the event loop runs; run this as a task.

    systemd's watchdog no longer applies once systemd has asked a unit to stop, and a loop that
    hangs then would never end. The kernel's alarm timer (SIGALRM, which ends the process) is
    therefore set too. It would fire a little after systemd would have acted.
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
    """Have SIGTERM sent to this process when our supervisor ends; call it first in a child.

    Exit with status 1 if the supervisor has already ended.
    """
    parent = os.environ.pop(SUPERVISED, "")
    if parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent != str(os.getppid()):
            sys.exit(1)


class Child:
    """One process, which is started again whenever it ends, until `stop`."""

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
        """The process id; None while the process does not run."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process else None

    async def run(self) -> None:
        """Run the process, and start it again each time it ends; return after `stop`."""
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
        # With its own process group, the child does not get Ctrl-C: only the supervisor does, and
        # stops the children in order.
        return await asyncio.create_subprocess_exec(
            *self._command, env=environment, process_group=0, stdin=asyncio.subprocess.DEVNULL
        )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def stop(self) -> None:
        """Ask the process to end, and do not start it again."""
        self._stop.set()
        self.terminate()

    def terminate(self) -> None:
        """Send SIGTERM if the process runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL if the process runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class _NotifyListener:
    """The notification socket for one child, read by the running loop."""

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
    """Runs the three processes until SIGTERM or SIGINT; a second signal stops them at once."""

    def __init__(self, commands: Mapping[ProcessName, Sequence[str]]) -> None:
        self._commands = commands
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self.children: dict[ProcessName, Child] = {}

    async def run(self) -> int:
        """Start the processes and keep them running, then stop them; return the exit status."""
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
        """Drain and stop at the first signal; stop at once at the second."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _announce(self) -> None:
        for child in self.children.values():
            await child.ready.wait()
        log.info("service.ready")
        ready()

    async def _wait_for_the_end(self) -> bool:
        """Wait for a signal (return True) or for a child that cannot be started (return False)."""
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
        """Wait for a child that is stopping; kill it after its time, or at a second signal."""
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
    """Return the command of one process; -P: Python modules in the current folder are not used."""
    python = [sys.executable, "-P", "-m", "galwad"]
    return [*python, "serve", "--only", name, "--config", str(config)]


def serve(config: Path) -> int:
    """Run switch, desk and finaliser as children of this process."""
    commands = {name: child(name, config) for name in START_ORDER}

    async def main() -> int:
        return await Supervisor(commands).run()

    return asyncio.run(main())
