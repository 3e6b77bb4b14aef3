"""Lets programs that never rest compete for one processor, and prints how much each one got.

Run it as root, with the seconds of the contest and, for each program, its niceness and the CPU
weight of its control group, such as `1 -10: 0: 0:`. Without a weight, it stays in the present
group. The output is one line of JSON: the processor seconds of each program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def group_with(weight: int, number: int) -> Path:
    """Make a control group with this CPUWeight, as systemd does, and return its folder."""
    name = f"galwad-contest-{os.getpid()}-{number}"
    if "cpu" in _words(ROOT / "cgroup.controllers"):
        if "cpu" not in _words(ROOT / "cgroup.subtree_control"):
            (ROOT / "cgroup.subtree_control").write_text("+cpu")
        file, value = "cpu.weight", weight
    else:
        name = f"cpu/{name}"
        file, value = "cpu.shares", weight * 1024 // 100
    folder = ROOT / name
    folder.mkdir()
    (folder / file).write_text(str(value))
    return folder


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def begin(niceness: int, folder: Path | None, started: int) -> int:
    """Start a program that waits until `started` is closed, and then never rests."""
    process = os.fork()
    if process:
        return process
    os.nice(niceness)
    if folder is not None:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
    os.read(started, 1)
    while True:
        pass


def main(seconds: float, programs: list[str]) -> list[float]:
    """Hold the contest, and return the processor seconds of each program."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    parts = [text.partition(":") for text in programs]
    folders = [
        group_with(int(weight), number) if weight else None
        for number, (_, _, weight) in enumerate(parts)
    ]
    waiting, start = os.pipe()
    os.set_inheritable(start, False)
    processes = []
    for (niceness, _, _), folder in zip(parts, folders, strict=True):
        processes.append(begin(int(niceness), folder, waiting))
    os.write(start, b"x" * len(processes))
    time.sleep(seconds)
    for process in processes:
        os.kill(process, signal.SIGKILL)
    used = []
    for process in processes:
        usage = os.wait4(process, 0)[2]
        used.append(usage.ru_utime + usage.ru_stime)
    for folder in folders:
        if folder is not None:
            folder.rmdir()
    return used


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(float(sys.argv[1]), sys.argv[2:])))
