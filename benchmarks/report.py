"""Measures how cost grows with calls, and writes the tables and the picture of docs/performance.md.

    python benchmarks/report.py [--quick]       measure, keep the results, write the page
    python benchmarks/report.py --into FOLDER   measure, and only keep the results in FOLDER
    python benchmarks/report.py --from FOLDER   measure nothing, write the page from these results

It runs, one after another, `media.py --growth`, `rates.py`, and `rates.py` for ten minutes at 150
set-ups a second: about 24 minutes. The last line of each, its JSON, is stored in docs/performance/
(or FOLDER). Between its two marker comments, docs/performance.md has what this program makes of
these files, and docs/images/growth.svg is the picture. All other text of the page is written by
hand. A test compares page and picture with the stored results.

Nothing else may run on the machine meanwhile. How busy the machine is before each run is stored
with the results, and the page says whether there was other work.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from _growth import BEGIN, END, PICTURE, RESULTS, Results, about, generated
from _picture import picture

ROOT = Path(__file__).resolve().parent.parent
PAGE = Path("docs/performance.md")
STORED = Path("docs/performance")
RUNS = {
    "media": ("media.py", "--growth", "--seconds", "8"),
    "rates": ("rates.py",),
    "long": ("rates.py", "--rates", "150", "--seconds", "600"),
}
"""The command of each stored result."""
QUICK = {
    "media": ("media.py", "--growth", "--quick"),
    "rates": ("rates.py", "--quick"),
    "long": ("rates.py", "--quick", "--rates", "50", "--seconds", "4"),
}
LOOK_S = 3.0
"""The time for which other programs are watched before each run."""


# Measuring


def measure(folder: Path, *, quick: bool) -> None:
    """Run each benchmark, and store its result in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, command in (QUICK if quick else RUNS).items():
        before = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "busy_before": round(busy_cores(), 2),
        }
        print("==>", *command, flush=True)
        result = json.loads(run(command))
        text = json.dumps(before | {"command": list(command)} | result, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def busy_cores(seconds: float = LOOK_S) -> float:
    """Return how many cores the machine's programs use, in a look of so many seconds."""

    def spent() -> float:
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
        user, nice, system, _idle, _wait, irq, softirq, *_ = map(int, line.split()[1:])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")

    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def run(command: Sequence[str]) -> str:
    """Run a benchmark and show its output; return the last line.

    Raises:
        SystemExit: The benchmark failed.
    """
    words = [sys.executable, str(Path(__file__).with_name(command[0])), *command[1:]]
    last = ""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line
            if not line.startswith("{"):
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{command[0]} failed; nothing more was measured")
    return last


# The page


def read(folder: Path) -> Results:
    """Return the stored results.

    Raises:
        SystemExit: A result is missing.
    """
    missing = [f"{name}.json" for name in RESULTS if not (folder / f"{name}.json").is_file()]
    if missing:
        hint = f"run: python benchmarks/report.py --into {folder}"
        raise SystemExit(f"{folder} has no {', '.join(missing)}\n{hint}")
    return {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in RESULTS
    }


def drawing(results: Results) -> str:
    """Return the picture."""
    return picture(results["media"]["growth"], results["rates"]["rows"], about(results))


def with_part(page: str, part: str) -> str:
    """Return the page with its generated part replaced.

    Raises:
        SystemExit: The page does not have each marker comment once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise SystemExit(f"{PAGE} must have these two lines once each:\n{BEGIN}\n{END}")
    return before + part + after


def write(root: Path, results: Results) -> None:
    """Write the generated part of the page, and the picture."""
    page = root / PAGE
    page.write_text(
        with_part(page.read_text(encoding="utf-8"), generated(results)), encoding="utf-8"
    )
    (root / PICTURE).write_text(drawing(results), encoding="utf-8")


def keep(results: Results, folder: Path) -> None:
    """Store results in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        text = json.dumps(result, indent=1)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Measure or read, and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="runs of seconds, to see that it works"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--into", type=Path, metavar="FOLDER", help="only keep the results here")
    where.add_argument("--from", type=Path, metavar="FOLDER", dest="source", help="measure nothing")
    options = parser.parse_args()
    stored = ROOT / STORED
    if options.source is None:
        measure(options.into or stored, quick=options.quick)
    if options.into is None:
        results = read(options.source or stored)
        keep(results, stored)
        write(ROOT, results)
        print(f"wrote {PAGE} and {PICTURE}")


if __name__ == "__main__":
    main()
