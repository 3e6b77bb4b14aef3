"""What the benchmarks share: CPU time of other programs, a switch and other daemons to measure.

CPU time is what the kernel says that a process and its children have had (proc(5)), to 10 ms; so
what is measured must last for some seconds. Nothing here measures by the wall clock: on a machine
that others use, too, that says little.
"""

import contextlib
import os
import platform
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import _aside  # noqa: F401 - before the package `recording`

from recording.keys.keyring import OfficerKeys, RecipientSet

SWITCH, CALLER, CALLEE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
"""Where the program under test is, who calls, and who is called."""
MEMORY = Path("/dev/shm")
"""What is in memory alone, as /run is in service."""
PATIENCE_S = 20.0
_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")

PORTS = range(4_000, 10_000)
"""Of the programs under test: Linux gives none of them out by itself, and the media lie above."""
FIRST_PORT = 20_000
"""Of the media, where nothing else is said."""

SETTINGS = """
[node]
state = "{folder}/state"
runtime = "{runtime}"
[sip]
listen = ["udp:{host}:{sip}"]
max_calls = {calls}
max_lag = 10.0
trunk_rate = 10000
[media]
listen = "{host}"
ports = "{first}-{last}"
[recording]
officer_key = "{officer}"
recipients = "{folder}/recipients.json"
"""
TO_THE_CALLEE = """
[[trunks]]
name = "trunk"
peers = ["{caller}"]
[[routes]]
called = "*"
target = "sip:600@{callee}:{port}"
"""
PROFILED = """
import cProfile, time
from galwad.cli import main
profile = cProfile.Profile(time.process_time)
try:
    profile.runcall(main)
finally:
    profile.dump_stats({profile!r})
"""


def machine() -> dict[str, object]:
    """What it was measured on."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*:\s*(.+)", info)
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def cpu_us(pid: int) -> float:
    """Microseconds of CPU that a process, its threads and its children have had."""
    total = 0.0
    for each in (pid, *_offspring(pid)):
        fields = _stat(each)
        total += sum(int(ticks) for ticks in fields[11:13]) * _TICK_US
    return total


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the state on; the name before it may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 20
    return text.rpartition(")")[2].split()


def _offspring(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            found += [int(child), *_offspring(int(child))]
    return found


def resident_kb(pid: int) -> int:
    """A process's resident memory."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found[1]) if found else 0


def peak_mb(pid: int) -> float:
    """The greatest resident memory that a process has had, in megabytes."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+)", text)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def free_port(host: str) -> int:
    """A port that nobody has, by UDP or TCP, nor will be given before its program starts."""
    for port in random.sample(PORTS, len(PORTS)):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connections,
            contextlib.suppress(OSError),
        ):
            datagrams.bind((host, port))
            connections.bind((host, port))
            return port
    raise SystemExit(f"no port of {host} is free from {PORTS.start} to {PORTS.stop - 1}")


def found(name: str) -> str | None:
    """Where a program is; None if the machine has none."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def daemon(
    command: Sequence[str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in the foreground once `ready` says so; killed with its children at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + PATIENCE_S
        while not ready():
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(log.read_text(encoding="utf-8", errors="replace"))
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def said(log: Path, word: bytes) -> Callable[[], bool]:
    """Whether a program has written this word."""
    return lambda: word in log.read_bytes()


def answers(host: str, port: int, question: bytes, answer: bytes = b"") -> Callable[[], bool]:
    """Whether a program answers a datagram."""

    def asked() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((CALLER, 0))
            probe.settimeout(0.2)
            try:
                probe.connect((host, port))
                probe.send(question)
                return answer in probe.recv(4096)
            except OSError:
                return False

    return asked


def all_files() -> None:
    """Let this process have as many files open as the machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle(
    folder: Path, runtime: Path, more: str, *, sip: int, calls: int, first_port: int = FIRST_PORT
) -> tuple[Path, OfficerKeys]:
    """Write settings, and `more` of them, with a signed set of recipients; where, and whose."""
    officer = OfficerKeys.generate()
    people = RecipientSet.of([("officer", officer.identity.recipient)], 1)
    (folder / "recipients.json").write_bytes(people.sign(officer.signing))
    text = SETTINGS.format(
        folder=folder,
        runtime=runtime,
        host=SWITCH,
        sip=sip,
        calls=calls,
        first=first_port,
        last=first_port + 4 * calls + 399,
        officer=officer.public_key,
    )
    settings = folder / "galwad.toml"
    settings.write_text(text + more, encoding="utf-8")
    return settings, officer


@contextlib.contextmanager
def switch(
    folder: Path, port: int, callee: int, calls: int, profile: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The real switch, as systemd starts it; all calls from `CALLER` go to `CALLEE`.

    Its runtime folder is in memory, as /run is.
    `profile` is where cProfile writes when the switch has been told to end.
    """
    run = ["-m", "galwad"] if profile is None else ["-c", PROFILED.format(profile=str(profile))]
    log = folder / "switch.log"
    with tempfile.TemporaryDirectory(dir=MEMORY) as runtime:
        routed = TO_THE_CALLEE.format(caller=CALLER, callee=CALLEE, port=callee)
        settings, _ = settle(folder, Path(runtime), routed, sip=port, calls=calls)
        command = [sys.executable, *run, "serve", "--only", "switch", "--config", str(settings)]
        with daemon(command, log, said(log, b"switch.ready")) as process:
            yield process
            if profile is not None:
                process.send_signal(signal.SIGTERM)
                process.wait()
