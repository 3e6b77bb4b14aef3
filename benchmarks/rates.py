"""Measures set-ups of calls at growing rates beside calls in progress that are recorded.

    python benchmarks/rates.py [--quick] [--calls 200] [--rates 50 100 150] [--seconds 20]

The real switch runs between SIPp, which calls and answers, and `calls` further calls in progress.
These exchange G.711 in both directions all the time, and the switch records them. A first row, of
rate 0, has only them. Then, at each rate, SIPp sets calls up for `seconds`; each talks for half a
second without RTP and hangs up. The desk and the finaliser do not run: this program receives the
switch's messages, confirms them, and deletes closed spools, as these two would. The settings are
those of a site, but `trunk_rate` is 10,000 and `max_calls` is 2,000 more than `calls`.

Each row says:

- `offered`, `answered`, `refused` (by status), `unanswered` after 32 s, `without_an_end` (no answer
  to the BYE), `retransmitted` by the caller. If SIPp had no time to place the calls at the rate,
  `generator_limited` is true: then the rate of the row is `offered_a_second`;
- `setup_ms`: from the INVITE to the 200, as SIPp sees it, in steps of some ms;
- `lag_ms`: by how much the switch's loop woke up late, every 10 ms, measured in its process;
- `ping_ms`: from an OPTIONS to its answer, every 10 ms, measured outside, with the kernel's times;
- `delay_ms`: from sending an RTP packet of a recorded call until it arrives at the other party, by
  the kernel's times, of the packets that arrived: null if none did. `rtp_lost` are packets that
  had not arrived two seconds after the row: lost, or later than that. The
  kernel dropped some of them: `switch_dropped` because the switch did not read them in time, and
  `dropped` because this program did not. `rtp_unsent` are packets that this program had no time to
  send. `sip_dropped` are SIP messages that the kernel dropped before the switch read them;
- `cpu_us_per_setup`: the CPU time of the switch, less that of the calls in progress, for each
  answered call, until 33 s after the last one (timers of SIP; not with `--quick`). What the calls
  in progress take is measured for ten seconds before and after the row. Half of the difference
  between these two is `cpu_us_per_setup_error`. A busy switch reads more packets at once, which
  makes the calls in progress cheaper: that is in this figure too. Both are null if the error is
  more than a quarter of the figure, or if more than 1 % of the packets were lost or not sent,
  because the switch then had less work with them;
- `resident_mb` before the row, its highest value in the row, and at the end.

Lag, pings and delays are those of the `seconds` in which calls are set up. SIPp, the traffic and
the switch share the machine: with two cores, about one is left for the switch. The last line is one
JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import uvloop
from _common import (
    CALLEE,
    CALLER,
    MEMORY,
    SWITCH,
    all_files,
    cpu_us,
    daemon,
    ends_within,
    found,
    free_port,
    machine,
    resident_kb,
    said,
    settle,
)
from _lag import lag, sampled
from _parties import Call, Stage, Voice, numbered
from _rtp import listening
from _setups import Setups, place
from _steady import LATE_S, Steady, steady
from calls import LATE_TIMERS_S, callees

from galwad.link import Link
from galwad.messages import (
    CallChanged,
    CallEnded,
    CallsSnapshot,
    Figures,
    Hello,
    LedgerHas,
    SpoolClosed,
)
from telephony.sip.events import Address

RATES = (50, 100, 150, 200, 250, 300)
MORE_CALLS = 2_000
"""The number of calls that may be set up beside those in progress."""
MOST_CALLS = 1_000
HELD = "01970000200"
"""The number that the calls in progress call."""
MAX_LAG_S = 0.25
"""The default of the setting `max_lag`."""
ROUTED = """
[[trunks]]
name = "trunk"
peers = ["{caller}"]
[[routes]]
called = "{held}"
target = "sip:600@{callee}:{pbx}"
[[routes]]
called = "*"
target = "sip:600@{callee}:{sipp}"
"""
SPOILT_SHARE = 0.01
ROUGH_SHARE = 0.25
IDLE_LOOK_S = 10.0
"""The time between two rows in which the CPU time of the calls in progress is measured."""
IDLE_ROW_S = 30.0
"""The longest time for which the row of rate 0 is measured."""
IDLE_S = 80.0
"""The longest time in which the calls of a row end, if their ends are lost on the way."""
Row = dict[str, object]


@dataclass
class Switch:
    """The switch process, and what this program knows of it as a desk and a finaliser."""

    pid: int
    port: int
    samples: Path
    """The file with the delays of its event loop."""
    spool: Path
    faults: int = 0
    """The number of unexpected exceptions, a few seconds ago."""
    live: set[str] = field(default_factory=set)
    """The ids of the calls in progress."""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def be_desk(self, path: Path) -> None:
        """Follow the calls, and confirm the end of each."""
        link = Link(*await asyncio.open_unix_connection(str(path)))
        link.send(Hello("desk", "0"))
        while (message := await link.receive()) is not None:
            match message:
                case Figures(faults=faults):
                    self.faults = faults
                case CallsSnapshot(calls=calls):
                    self.live = {call.call_id for call in calls}
                case CallChanged(call=call):
                    self.live.add(call.call_id)
                case CallEnded(call_id=call_id, for_ledger=for_ledger):
                    self.live.discard(call_id)
                    self._ended.set()
                    if for_ledger:
                        link.send(LedgerHas((call_id,)))
                case _:
                    pass

    async def be_finaliser(self, path: Path) -> None:
        """Delete each closed spool."""
        link = Link(*await asyncio.open_unix_connection(str(path)))
        link.send(Hello("finaliser", "0"))
        while (message := await link.receive()) is not None:
            if isinstance(message, SpoolClosed):
                for spool in self.spool.glob(f"{message.call_id}.*"):
                    spool.unlink(missing_ok=True)

    async def idle(self, calls: int) -> None:
        """Wait until only `calls` calls are in progress, for at most `IDLE_S`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                while len(self.live) > calls:
                    self._ended.clear()
                    await self._ended.wait()


@contextlib.contextmanager
def process(folder: Path, runtime: Path, pbx: int, sipp: int, calls: int) -> Iterator[Switch]:
    """Run the switch, on an event loop whose delay is measured, until the block ends."""
    port, samples = free_port(SWITCH), runtime / "lag"
    routed = ROUTED.format(caller=CALLER, callee=CALLEE, held=HELD, pbx=pbx, sipp=sipp)
    settings, _ = settle(
        folder, runtime, routed, sip=port, calls=calls + MORE_CALLS, max_lag=MAX_LAG_S
    )
    command = [sys.executable, *sampled(samples), "serve", "--only", "switch"]
    command += ["--config", str(settings)]
    log = folder / "switch.log"
    with daemon(command, log, said(log, b"switch.ready")) as started:
        yield Switch(started.pid, port, samples, folder / "state" / "spool")


@contextlib.asynccontextmanager
async def watched(switch: Switch, runtime: Path) -> AsyncIterator[None]:
    """Be the switch's desk and finaliser until the block ends."""
    path = runtime / "switch.sock"
    tasks = [
        asyncio.create_task(task) for task in (switch.be_desk(path), switch.be_finaliser(path))
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def in_progress(stage: Stage, sink: socket.socket, count: int) -> list[int]:
    """Place calls that stay; return the switch's port for each of their parties."""

    def party(_host: str) -> Voice:
        return Voice(CALLER, sink)

    calls = {numbered(number)[0]: Call(party(CALLER), HELD, party) for number in range(count)}
    await stage.place(calls)
    parties = [party for call in calls.values() for party in (call.caller, call.callee)]
    return [party.to[1] for party in parties if party is not None and party.to is not None]


def dropped(ports: set[int]) -> int:
    """Return the packets for which the sockets at these ports had no room (/proc/net/udp)."""
    rows = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    of = {int(row.split()[1].partition(":")[2], 16): int(row.split()[-1]) for row in rows}
    return sum(of.get(port, 0) for port in ports)


class Cost(NamedTuple):
    """The CPU time of a set-up in µs, and by how much it may be wrong."""

    us: float
    error_us: float

    def figures(self) -> dict[str, int]:
        """Return the figures for the row."""
        return {"cpu_us_per_setup": round(self.us), "cpu_us_per_setup_error": round(self.error_us)}


NO_COST = {"cpu_us_per_setup": None, "cpu_us_per_setup_error": None}


def each_setup(
    spent_s: float, took_s: float, idle_cores: tuple[float, float], answered: int
) -> Cost | None:
    """Return the cost of each answered call; None if it is not known.

    It is not known if its error is more than `ROUGH_SHARE` of it.

    Args:
        spent_s: The CPU time of the switch.
        took_s: The time in which it was spent.
        idle_cores: The CPU time of the calls in progress in a second, before and after that time.
        answered: The number of answered calls.
    """
    if not answered:
        return None
    before, after = idle_cores
    cost = (spent_s - (before + after) / 2 * took_s) / answered
    error = abs(before - after) / 2 * took_s / answered
    return None if error > ROUGH_SHARE * cost else Cost(cost * 1e6, error * 1e6)


def is_spoilt(traffic: Mapping[str, float | None]) -> bool:
    """Return whether too many packets of the calls in progress were lost or not sent.

    The calls in progress then took less time than without set-ups.
    """
    sent, lost, unsent = (traffic[f"rtp_{name}"] or 0 for name in ("sent", "lost", "unsent"))
    return lost + unsent > SPOILT_SHARE * sent


class Rates:
    """The rows, one after another, beside the same calls in progress."""

    def __init__(
        self, switch: Switch, talk: Steady, ports: dict[str, set[int]], folder: Path, sipp: str
    ) -> None:
        """Prepare; `ports` are the UDP ports at which the kernel counts dropped packets, by row."""
        self._switch, self._talk, self._ports = switch, talk, ports
        self._folder, self._sipp = folder, sipp
        self._idle_cores = 0.0
        """The CPU time in a second of the calls in progress, when they were last alone."""

    async def row(self, rate: int, seconds: float, rest_s: float, look_s: float) -> Row:
        """Measure one rate.

        `rest_s` is the time that the calls' last timers may take, and `look_s` the time in which
        the calls in progress are then measured.
        """
        switch, pid = self._switch, self._switch.pid
        calls, resident = len(switch.live), resident_kb(pid)
        drops, faults = self._dropped(), switch.faults
        begun, cpu = time.perf_counter(), cpu_us(pid)
        self._talk.begin()
        placing = asyncio.create_task(self._place(rate, seconds))
        peak = await self._watch(seconds)
        ended = time.perf_counter()
        measured = await self._talk.end()
        late = await asyncio.to_thread(lag, switch.samples, begun, ended)
        setups = await placing
        if rate:
            await asyncio.sleep(rest_s)
        took, spent = time.perf_counter() - begun, (cpu_us(pid) - cpu) / 1e6
        await switch.idle(calls)
        before, self._idle_cores = self._idle_cores, await self._cores(look_s)
        cost = each_setup(spent, took, (before, self._idle_cores), setups.answered)
        return {
            **setups.figures(),
            **late.figures("lag_ms", (50, 99, 99.9)),
            **measured,
            **{name: count - drops[name] for name, count in self._dropped().items()},
            "cores": round(spent / took, 3),
            **(NO_COST if cost is None or is_spoilt(measured) else cost.figures()),
            "faults": switch.faults - faults,
            "resident_mb_before": round(resident / 1024, 1),
            "resident_mb_peak": round(peak / 1024, 1),
            "resident_mb_after": round(resident_kb(pid) / 1024, 1),
        }

    async def _cores(self, look_s: float) -> float:
        """Return the CPU time in a second that the switch takes now."""
        begun, cpu = time.perf_counter(), cpu_us(self._switch.pid)
        await asyncio.sleep(look_s)
        return (cpu_us(self._switch.pid) - cpu) / 1e6 / (time.perf_counter() - begun)

    def _dropped(self) -> dict[str, int]:
        return {name: dropped(ports) for name, ports in self._ports.items()}

    async def _place(self, rate: int, seconds: float) -> Setups:
        if not rate:
            return Setups(0, 0)
        return await place(self._sipp, self._folder, self._switch.port, rate, seconds)

    async def _watch(self, seconds: float) -> int:
        """Wait for `seconds`; return the highest resident memory in kB."""
        until, peak = time.perf_counter() + seconds, 0
        while (left := until - time.perf_counter()) > 0:
            peak = max(peak, resident_kb(self._switch.pid))
            await asyncio.sleep(min(1.0, left))
        return max(peak, resident_kb(self._switch.pid))


async def measure(options: argparse.Namespace, sipp: str) -> list[Row]:
    """Run the calls in progress and all rows."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory(dir=MEMORY) as runtime,
        listening(CALLER) as sink,
    ):
        folder, pbx, callee = Path(name), free_port(CALLEE), free_port(CALLEE)
        with (
            callees(sipp, folder, callee),
            process(folder, Path(runtime), pbx, callee, options.calls) as switch,
        ):
            async with watched(switch, Path(runtime)):
                stage = Stage(Address(SWITCH, switch.port))
                await stage.open(pbx)
                ports = await in_progress(stage, sink, options.calls)
                async with steady(sink, ports, switch.port) as talk:
                    counted = {
                        "dropped": {sink.getsockname()[1]},
                        "switch_dropped": set(ports),
                        "sip_dropped": {switch.port},
                    }
                    rates = Rates(switch, talk, counted, folder, sipp)
                    await place(sipp, folder, switch.port, 10, 1.0)  # the first calls' own work
                    await switch.idle(options.calls)
                    for rate in (0, *options.rates):
                        seconds = options.seconds if rate else min(options.seconds, IDLE_ROW_S)
                        rows.append(await rates.row(rate, seconds, options.rest, options.look))
                        show(rows[-1])
    return rows


def show(row: Row) -> None:
    """Print a row."""

    def each(name: str, *parts: str) -> str:
        figures = [row[f"{name}_{part}"] for part in parts]
        return " ".join("-" if figure is None else f"{figure:g}" for figure in figures)

    limited = f" (SIPp: {row['offered_a_second']} a second)" if row["generator_limited"] else ""
    percents = ("p50", "p99", "p99.9", "max")
    print(
        f"{row['rate']:4} a second{limited}: {row['answered']} of {row['offered']} answered,"
        f" {row['refused']} refused, {row['unanswered']} unanswered,"
        f" {row['retransmitted']} sent again; set-up {each('setup_ms', 'p50', 'p99', 'max')} ms;"
        f" lag {each('lag_ms', *percents)} ms; ping {each('ping_ms', *percents)} ms;"
        f" RTP {row['rtp_lost']} of {row['rtp_sent']} lost, {row['rtp_unsent']} unsent,"
        f" delay {each('delay_ms', *percents)} ms;"
        f" {row['cpu_us_per_setup']} ± {row['cpu_us_per_setup_error']} µs a set-up;"
        f" {row['resident_mb_before']}, {row['resident_mb_peak']},"
        f" {row['resident_mb_after']} MB",
        flush=True,
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 calls, 25 and 50 a second, 2 s")
    parser.add_argument("--calls", type=int, default=None, help="in progress")
    parser.add_argument("--rates", type=int, nargs="+", default=None, help="set-ups a second")
    parser.add_argument("--seconds", type=float, default=None, help="of each rate")
    options = parser.parse_args(words)
    options.calls = options.calls or (20 if options.quick else 200)
    options.rates = options.rates or ((25, 50) if options.quick else RATES)
    options.seconds = options.seconds or (2.0 if options.quick else 20.0)
    options.rest = 0.5 if options.quick else LATE_TIMERS_S
    options.look = 1.0 if options.quick else IDLE_LOOK_S
    if not 0 < options.calls <= MOST_CALLS:
        parser.error(f"--calls must be from 1 to {MOST_CALLS}")
    if not all(0 < rate <= MORE_CALLS for rate in options.rates):
        parser.error(f"each of --rates must be from 1 to {MORE_CALLS}")
    if not 1.0 <= options.seconds <= 3600.0:
        parser.error("--seconds must be from 1 to 3600")
    return options


def longest_s(options: argparse.Namespace) -> int:
    """Return the seconds after which this program stops, whatever happens."""
    rows: int = len(options.rates) + 1
    return int(
        120 + rows * (2 * options.seconds + 40 + options.rest + options.look + IDLE_S + LATE_S)
    )


def main() -> None:
    """Measure, print a table and the JSON line."""
    options = arguments()
    sipp = found("sipp")
    if sipp is None:
        raise SystemExit("this benchmark needs sipp")
    all_files()
    ends_within(longest_s(options))
    rows = uvloop.run(measure(options, sipp))
    how = {"calls": options.calls, "seconds": options.seconds, "quick": options.quick}
    print(json.dumps({"benchmark": "rates", "machine": machine(), **how, "rows": rows}))


if __name__ == "__main__":
    main()
