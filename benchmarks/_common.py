"""Code that the benchmarks share: CPU time of other programs, and starting a switch or a daemon.

CPU time is what the kernel reports for a process and its children (proc(5)), in steps of 10 ms, so
a measured run must last for some seconds. Nothing here measures wall-clock time, which says little
on a machine with other users.
"""

import asyncio
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

from recording.keys.keyring import OfficerKeys, RecipientSet

SWITCH, CALLER, CALLEE = "127.0.0.1", "127.0.0.2", "127.0.0.3"
"""The addresses of the program under test, of the calling side and of the called side."""
MEMORY = Path("/dev/shm")
"""A folder that exists only in memory, as /run does in service."""
PATIENCE_S = 20.0
_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")

PORTS = range(4_000, 10_000)
"""The ports for the programs under test.

Linux does not give these to other programs by itself, and the media ports are above them.
"""
FIRST_PORT = 20_000
"""The first media port, unless another is given."""

SETTINGS = """
[node]
state = "{folder}/state"
runtime = "{runtime}"
[sip]
listen = ["udp:{host}:{sip}"]
max_calls = {calls}
max_lag = {max_lag}
trunk_rate = 10000
[media]
listen = "{host}"
ports = "{first}-{last}"
[[retention]]
category = "general"
keep = "by hand"
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
from galwad.cli.main import main
profile = cProfile.Profile(time.process_time)
try:
    profile.runcall(main)
finally:
    profile.dump_stats({profile!r})
"""


def machine() -> dict[str, object]:
    """Return facts about the machine that the benchmark ran on."""
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
    """Return the CPU time of a process, its threads and its children, in microseconds."""
    total = 0.0
    for each in family(pid):
        fields = _stat(each)
        total += sum(int(ticks) for ticks in fields[11:13]) * _TICK_US
    return total


def family(pid: int) -> list[int]:
    """Return the ids of a process, its children and their children."""
    return [pid, *_offspring(pid)]


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5)'s stat from the state on: the name before it may hold spaces."""
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
    """Return the resident memory of a process in kB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found[1]) if found else 0


def peak_mb(pid: int) -> float:
    """Return the highest resident memory that a process has had, in MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+)", text)
    return round(int(found[1]) / 1024, 1) if found else 0.0


def signal_all(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process and its children."""
    for each in family(pid):
        os.kill(each, number)


async def watch_memory(pid: int, found: list[float]) -> None:
    """Add the memory of a process and its children to `found` each 50 ms, until cancelled."""
    while True:
        found.append(memory_mb(pid))
        await asyncio.sleep(0.05)


def memory_mb(pid: int) -> float:
    """Return the memory that a process and its children use now, in MB.

    This is the anonymous memory of each process, and the largest amount of mapped files, because
    the processes map the same files. The exact share of each page (PSS, proc(5)) is not read: it
    takes the kernel about 4 ms for each process, which would slow down what is measured.
    """
    anonymous, files = 0, 0
    for each in family(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            text = Path(f"/proc/{each}/status").read_text(encoding="ascii")
            sizes = {name: int(kb) for name, kb in re.findall(r"(Rss\w+):\s+(\d+)", text)}
            anonymous += sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0)
            files = max(files, sizes.get("RssFile", 0))
    return round((anonymous + files) / 1024, 1)


def free_port(host: str) -> int:
    """Return a port of `PORTS` that is free for UDP and TCP; Linux gives it to no other program."""
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
    """Return the path of a program; None if the machine does not have it."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def ends_within(seconds: int) -> None:
    """End the benchmark with an error after so many seconds, and with it what it has started."""

    def late(*_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)  # in case that the processes do not end
        raise SystemExit(f"the benchmark has not ended in {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)


@contextlib.contextmanager
def daemon(
    command: Sequence[str], log: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, then kill it and its children.

    The block begins when `ready` returns True.
    """
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
    """Return a check for `daemon`: has the program written this word to its log?"""
    return lambda: word in log.read_bytes()


def answers(host: str, port: int, question: bytes, answer: bytes = b"") -> Callable[[], bool]:
    """Return a check for `daemon`: does the program answer a datagram?"""

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
    """Let this process open as many files as the machine allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle(
    folder: Path,
    runtime: Path,
    more: str,
    *,
    sip: int,
    calls: int,
    first_port: int = FIRST_PORT,
    max_lag: float = 10.0,
) -> tuple[Path, OfficerKeys]:
    """Write the settings, with `more` added, and a signed set of recipients.

    With the default `max_lag`, in seconds, the switch refuses no call because it is late.

    Returns:
        The path of the settings, and the officer's keys.
    """
    officer = OfficerKeys.generate()
    people = RecipientSet.of([("officer", officer.identity.recipient)], 1)
    (folder / "recipients.json").write_bytes(people.sign(officer.signing))
    text = SETTINGS.format(
        folder=folder,
        runtime=runtime,
        host=SWITCH,
        sip=sip,
        calls=calls,
        max_lag=max_lag,
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
    """Run the real switch, as systemd starts it; all calls from `CALLER` go to `CALLEE`.

    Its runtime folder is in memory, as /run is. If `profile` is given, cProfile writes there when
    the switch ends.
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
