"""Keeping the three processes alive, and telling systemd (or a supervisor of ours) so.

`Supervisor` starts switch, desk and finaliser as children, restarts the one that dies, with
back-off, and stops them in an order that loses nothing: the switch drains its calls first,
then the finaliser seals what they left, and the desk, with its pause key, goes last.
`ready`, `stopping` and `watchdog` are the service's side of sd_notify(3), without libsystemd.
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
    "switch": None,  # its calls take as long as they take
    "finaliser": 300.0,  # it seals what they left: after a reboot it could not
    "desk": 10.0,
}
_PR_SET_PDEATHSIG = 1

log = structlog.get_logger()


def notify(state: str) -> bool:
    """Send one sd_notify message; False when nobody asked for it."""
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
    """Say that this process serves."""
    return notify("READY=1")


def stopping() -> bool:
    """Say that this process has begun to stop."""
    return notify("STOPPING=1")


def watchdog_interval() -> float | None:
    """Seconds between signs of life (half of what is allowed), or None when nobody waits."""
    allowed, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdigit() or (whose and whose != str(os.getpid())):
        return None
    return int(allowed) / 2_000_000


async def watchdog() -> None:
    """Give signs of life from the event loop for as long as it turns; run it as a task.

    systemd looks away once it has told a unit to stop, and a loop that hangs then would never
    end. So the kernel's alarm clock (SIGALRM, which ends the process) is wound up as well, to go
    off a little after systemd would have acted.
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
    """End with SIGTERM when a supervisor of ours is gone; called first thing in a child."""
    parent = os.environ.pop(SUPERVISED, "")
    if parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if parent != str(os.getppid()):
            sys.exit(1)


class Child:
    """One process, started again whenever it ends, until `stop`."""

    def __init__(self, name: ProcessName, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self.up = asyncio.Event()
        self.hopeless = asyncio.Event()
        self._command = command
        self._listener = _NotifyListener(folder / f"{name}.notify", self.up.set)
        self._process: asyncio.subprocess.Process | None = None
        self._stop = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process else None

    async def run(self) -> None:
        """Start it, wait for its end, start it again; returns after `stop`."""
        wait, failures = _FIRST_WAIT_S, 0
        loop = asyncio.get_running_loop()
        with self._listener:
            while not self._stop.is_set():
                self.up.clear()
                started = loop.time()
                self._process = await self._spawn()
                if self._stop.is_set():
                    self.terminate()
                status = await self._process.wait()
                if self._stop.is_set():
                    return
                failures = 0 if self.up.is_set() else failures + 1
                log.error("process.died", process=self.name, status=status, restarts_in=wait)
                if failures >= _STARTS_BEFORE_GIVING_UP:
                    self.hopeless.set()
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
        # Its own process group: Ctrl-C reaches the supervisor alone, which stops in order.
        return await asyncio.create_subprocess_exec(
            *self._command, env=environment, process_group=0, stdin=asyncio.subprocess.DEVNULL
        )

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    def stop(self) -> None:
        """Ask it to end, and start it no more."""
        self._stop.set()
        self.terminate()

    def terminate(self) -> None:
        """Send SIGTERM, if it runs."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, if it runs."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class _NotifyListener:
    """A notification socket for one child, read by the running loop."""

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
    """Runs the three processes until SIGTERM or SIGINT; a second signal hurries."""

    def __init__(self, commands: Mapping[ProcessName, Sequence[str]]) -> None:
        self._commands = commands
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.children: dict[ProcessName, Child] = {}

    async def run(self) -> int:
        """Start all, keep them, drain and stop them; the exit status."""
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
        """The first time: drain and stop. The second: stop at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _announce(self) -> None:
        for child in self.children.values():
            await child.up.wait()
        log.info("service.ready")
        ready()

    async def _wait_for_the_end(self) -> bool:
        """Wait for a signal (True) or for a child that cannot be started (False)."""
        hopeless = [asyncio.create_task(c.hopeless.wait()) for c in self.children.values()]
        asked = asyncio.create_task(self._stop.wait())
        done, pending = await asyncio.wait([asked, *hopeless], return_when=asyncio.FIRST_COMPLETED)
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
        """Wait for a child that was told to stop, for as long as it may take."""
        hurry = asyncio.create_task(self._hurry.wait())
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
    """The command of one process; -P: what lies in the folder at hand is no module of ours."""
    python = [sys.executable, "-P", "-m", "galwad"]
    return [*python, "serve", "--only", name, "--config", str(config)]


def serve(config: Path) -> int:
    """Run switch, desk and finaliser as children of this process."""
    commands = {name: child(name, config) for name in START_ORDER}

    async def main() -> int:
        return await Supervisor(commands).run()

    return asyncio.run(main())
