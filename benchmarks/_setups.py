"""Set-ups of calls at a rate, by SIPp, for rates.py: what became of each, and how long it took.

Each final answer to an INVITE is counted by its status. An INVITE without an answer is sent again,
as RFC 3261 (17.1.1.2) says, and fails after about 32 s. SIPp has one thread: if it gets too little
of the processor, it cannot place the calls at the rate. The figures say so.
"""

import asyncio
import csv
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _common import CALLER, SWITCH, free_port
from _histogram import Histogram
from calls import SCENARIOS, TALK_MS

STATS = "stats.csv"
SCENARIO = SCENARIOS / "uac_rates.xml"
GIVES_UP_S = 40.0
"""The time after the last INVITE in which each call is over: 64*T1, and some for the BYE."""
OFFERED_SHARE = 0.97
"""A generator that places a smaller share of the rate is named in the row."""
LIMIT = 20_000
"""The most calls that SIPp has open. It is more than SIPp places while it waits for one call."""


@dataclass(frozen=True)
class Setups:
    """The outcomes of the calls of one rate."""

    rate: int
    calls: int
    """The number of calls that were to be placed."""
    placed: int = 0
    answered: int = 0
    refused: Mapping[int, int] = field(default_factory=dict)
    """The number of refused calls by status."""
    ended: int = 0
    """The number of answered calls whose BYE was answered too."""
    retransmitted: int = 0
    a_second: float = 0.0
    """The rate at which the calls were placed."""
    times: Histogram = field(default_factory=Histogram)
    """The ms from the first INVITE of each answered call to its 200."""

    def figures(self) -> dict[str, object]:
        """Return the figures of a row."""
        refused = sum(self.refused.values())
        return {
            "rate": self.rate,
            "calls": self.calls,
            "offered": self.placed,
            "offered_a_second": round(self.a_second, 1),
            "generator_limited": self.limited,
            "answered": self.answered,
            "refused": refused,
            "refused_by_status": {str(status): count for status, count in self.refused.items()},
            "unanswered": self.placed - self.answered - refused,
            "without_an_end": self.answered - self.ended,
            "retransmitted": self.retransmitted,
            **self.times.figures("setup_ms", (50, 99)),
        }

    @property
    def limited(self) -> bool:
        """True if SIPp could not place the calls at the rate."""
        return self.placed < self.calls or self.a_second < self.rate * OFFERED_SHARE


async def place(sipp: str, folder: Path, port: int, rate: int, seconds: float) -> Setups:
    """Place `rate` calls a second to `port` for `seconds`; return when each is over."""
    calls = max(round(rate * seconds), 1)
    results = Path(tempfile.mkdtemp(dir=folder))
    process = await asyncio.create_subprocess_exec(
        sipp, f"{SWITCH}:{port}", "-sf", str(SCENARIO), "-i", CALLER,
        "-p", str(free_port(CALLER)), "-m", str(calls), "-r", str(rate), "-l", str(LIMIT),
        "-d", str(TALK_MS), "-nostdin", "-timer_resol", "2", "-cid_str", f"{rate}-%u-%p@%s",
        "-trace_stat", "-stf", str(results / STATS), "-fd", "1", "-trace_rtt", "-rtt_freq", "50",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=results,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds * 2 + GIVES_UP_S):
            await process.wait()
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return read(results, rate, calls)


def read(results: Path, rate: int, calls: int) -> Setups:
    """Return the figures in SIPp's files, of which there is one set in the folder `results`.

    Raises:
        SystemExit: SIPp has written none.
    """
    if not (results / STATS).is_file():
        raise SystemExit("sipp ended before it placed a call; run it by hand to see why")
    with (results / STATS).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    last = rows[-1]
    found = Histogram()
    for path in results.glob("*_rtt.csv"):
        for line in path.read_text(encoding="ascii").splitlines()[1:]:
            found.add([float(line.split(";")[1])])
    return Setups(
        rate,
        calls,
        placed=int(last["OutgoingCall(C)"]),
        answered=int(last["answered(C)"]),
        refused={
            int(name[1]): int(count)
            for column, count in last.items()
            if column and (name := re.match(r"status(\d+)\(C\)", column)) and int(count)
        },
        ended=int(last["ended(C)"]),
        retransmitted=int(last["Retransmissions(C)"]),
        a_second=placed_a_second(rows),
        times=found,
    )


def placed_a_second(rows: Sequence[Mapping[str, str]]) -> float:
    """Return the rate at which calls were placed, from SIPp's lines of each second.

    SIPp does not say when in its second the last call was placed. So the length of this second is
    estimated: from its calls, and the rate of the second before it.
    """
    placed = [int(row["OutgoingCall(C)"]) for row in rows]
    when = [_seconds(row["ElapsedTime(C)"]) for row in rows]
    last = next(n for n, count in enumerate(placed) if count == placed[-1])
    if last == 0:
        return placed[-1] / max(when[0], 1e-9)
    before = (placed[last - 1] - placed[max(last - 2, 0)]) / max(
        when[last - 1] - when[max(last - 2, 0)], 1e-9
    )
    rest = placed[last] - placed[last - 1]
    part = (
        min(rest / before, when[last] - when[last - 1]) if before else when[last] - when[last - 1]
    )
    return placed[-1] / max(when[last - 1] + part, 1e-9)


def _seconds(text: str) -> float:
    """Return the seconds of SIPp's `00:00:01:003000` (or `00:00:01`)."""
    hours, minutes, seconds, *us = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{(us or ['0'])[0]}")
