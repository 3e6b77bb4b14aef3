"""Measures the memory that each call in progress adds to the switch.

    python benchmarks/memory.py [--quick] [--calls 100 500]

The real switch runs between a SIPp that calls and a SIPp that answers, as in calls.py. After some
calls have come and gone, many more stay up in silence, each with its two legs, its sockets for RTP
and RTCP, its spool and its checkpoint. The result is the resident memory of the process at 0 calls
and at each number of calls, what a call adds between the first and the last, and the number of open
files. It does not include the kernel's memory for sockets: with nothing queued, that is about a
kilobyte each. The last line is one JSON object.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from _common import (
    CALLEE,
    CALLER,
    PATIENCE_S,
    SWITCH,
    ends_within,
    found,
    free_port,
    machine,
    resident_kb,
    switch,
)
from calls import SCENARIOS, callees, place_calls

RATE = 40
FILES_PER_CALL = 8


@contextlib.contextmanager
def standing(sipp: str, folder: Path, port: int, count: int) -> Iterator[None]:
    """Keep `count` calls up until the block ends."""
    command = [sipp, f"{SWITCH}:{port}", "-sf", str(SCENARIOS / "uac.xml"), "-i", CALLER]
    command += ["-p", str(free_port(CALLER)), "-m", str(count), "-r", str(RATE), "-l", str(count)]
    command += ["-d", "3600000", "-nostdin", "-cid_str", f"{count}-%u-%p@%s"]
    with (folder / "uac.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def open_files(pid: int) -> int:
    """Return the number of open files and sockets of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def wait_for(pid: int, files: int, calls: int) -> None:
    """Wait until `calls` calls are up, as the number of open files shows."""
    until = time.monotonic() + calls / RATE + PATIENCE_S
    while open_files(pid) < files + calls * FILES_PER_CALL and time.monotonic() < until:
        time.sleep(0.2)
    time.sleep(2.0)  # for the work that follows an answer


def measure(calls: list[int]) -> dict[str, object]:
    """Return the figures."""
    sipp = found("sipp")
    if sipp is None:
        raise SystemExit("this benchmark needs sipp")
    with tempfile.TemporaryDirectory() as name:
        folder, callee, port = Path(name), free_port(CALLEE), free_port(SWITCH)
        with (
            callees(sipp, folder, callee),
            switch(folder, port, callee, sum(calls) + 50) as process,
            contextlib.ExitStack() as held,
        ):
            place_calls(sipp, folder, port, 100, RATE)
            time.sleep(2.0)
            pid, files = process.pid, open_files(process.pid)
            resident, rows = resident_kb(pid), []
            stand = 0
            for wanted in calls:
                held.enter_context(standing(sipp, folder, port, wanted - stand))
                wait_for(pid, files, wanted)
                stand = wanted
                row = {"calls": wanted, "resident_kb": resident_kb(pid)}
                rows.append(row | {"files": open_files(pid)})
            first, last = {"calls": 0, "resident_kb": resident, "files": files}, rows[-1]
            return {
                "rows": [first, *rows],
                "kb_per_call": round((last["resident_kb"] - resident) / last["calls"], 1),
                "files_per_call": round((last["files"] - files) / last["calls"], 2),
            }


def main() -> None:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="50 and 150 calls")
    parser.add_argument("--calls", type=int, nargs="+", default=None)
    options = parser.parse_args()
    ends_within(300)
    result = measure(options.calls or ([50, 150] if options.quick else [100, 500]))
    for row in result["rows"]:  # type: ignore[attr-defined]  # a list of dicts
        print("  ".join(f"{key} {value:7}" for key, value in row.items()))
    print(f"{result['kb_per_call']} kB and {result['files_per_call']} files for each call")
    print(json.dumps({"benchmark": "memory", "machine": machine(), **result}))


if __name__ == "__main__":
    main()
