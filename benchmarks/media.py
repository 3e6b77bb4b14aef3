"""Measures the media relay: µs of CPU per packet, packets lost, and the event loop's delay.

    python benchmarks/media.py [--quick] [--calls 100 500 1000] [--seconds 10]
    python benchmarks/media.py --growth [--quick] [--calls 1 10 100 500 1000 1500]

Two processes run on the loopback: one sends and receives RTP (20 ms of G.711 in both directions of
each call), the other relays it. `recording` is our relay with a recorder and a spool for each call,
made by the switch's own code: with the watched disk, keys for recipients, and the switch's garbage
collection. `relay` is the same without recorders. The rows with `SRTP` record too, and every packet
is decrypted and encrypted: in the suite AES_CM_128_HMAC_SHA1_80, and in AEAD_AES_128_GCM. In the
same run are measured rtpengine in userspace, without and with its recording (pcap), if it is
installed; and lower bounds, which only receive a packet and send it on, in C (if there is a
compiler) and in Python, with a single socket (`one`) and with one for each stream (`many`). Each
result is the CPU time in µs of each packet that was passed on, as the kernel counts it for the
process: the median of the rounds. For each suite, `protection_us` is the time only to protect a
packet and to open it again.

Then `recording` is measured at each number of calls, beside a process that uses a core fully, as a
busy desk would. `lost` are packets that were not passed on. `missed_by_sink` are those that the
measuring process failed to read from the kernel (rtpengine does not report its count, so its `lost`
contains both). `unsent` are those that the process had no time to send. `delay` is the time from
sending a packet until the kernel has it back for the same process (with SRTP, it is not measured).
The relay gathers packets for up to 2 ms; the lag is that of the loop's other work.

With `--growth`, only `recording` is measured, at each number of calls, with nothing beside it. Of
the rounds, each row is the one with the median µs a packet. `cores` is the CPU time in each second,
and `resident_kb_before` and `resident_kb` are the memory without calls and with all of them, after
they have talked. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import uvloop
from _common import (
    MEMORY,
    all_files,
    cpu_us,
    ends_within,
    found,
    free_port,
    machine,
    resident_kb,
    settle,
)
from _floor import STOP, compiled, loop
from _rtp import HOST, SOUND_BYTES, Traffic, exchange, listening
from _rtpengine import rtpengine

from galwad.settings import Settings, load
from galwad.switch.call.spools import CallSpools, SpoolFactory
from galwad.switch.life.collector import Collector
from recording.recorder import Recorder
from recording.spool import Clock
from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, KeyPair, MasterKey, RemoteMedia, Suite

GROWTH = (1, 10, 100, 500, 1000, 1500)
FEW = (1, 10, 100)
"""The numbers of calls of `--growth`, and with `--quick`."""
SUITES = {"SRTP": Suite.AES_CM_128_HMAC_SHA1_80, "SRTP, AES-GCM": Suite.AEAD_AES_128_GCM}
"""The suite of each row with SRTP."""


def key_pair(role: str, *, ours: bool) -> KeyPair | None:
    """Return the keys of a row on one side, which are the same on every leg; None without SRTP.

    So one protected packet fits all legs. `ours` is true for the relay, false for the phones.
    """
    suite = SUITES.get(role)
    if suite is None:
        return None
    phones = MasterKey(suite, bytes(range(suite.key_bytes)))
    relay = MasterKey(suite, bytes(range(1, suite.key_bytes + 1)))
    return KeyPair(relay, phones) if ours else KeyPair(phones, relay)


Row = dict[str, float]


def protection_us(role: str, packets: int = 20_000) -> float:
    """Return the CPU time in µs to protect a packet and to open it again, in the suite of a row."""
    one, other = (Protection(pair) for ours in (True, False) if (pair := key_pair(role, ours=ours)))
    sent = [
        struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 7) + bytes(SOUND_BYTES)
        for number in range(packets)
    ]
    before = used_us()
    for packet in sent:
        other.unprotect(one.protect(packet))
    return (used_us() - before) / packets


def used_us() -> float:
    """Return the CPU time of this process and its threads so far, in microseconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


# The relay under test


def record(factory: SpoolFactory, number: int, started: Clock) -> Recorder:
    """Return a recorder as the switch makes one, in the state RECORDING."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    name = "".join(letters[number >> shift & 31] for shift in range(0, 40, 5))
    recorder = CallSpools(factory, f"20260101-090000-{name}").recorder(started, lambda _: None)
    recorder.start()
    recorder.answered("sian", "201")
    return recorder


async def measure_lag(lags: list[float]) -> None:
    """Measure every 10 ms by how many ms the loop wakes up late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append((time.perf_counter() - before - 0.01) * 1e3)


async def collect(collector: Collector, calls: int) -> None:
    """Collect the garbage when the switch would."""
    while True:
        collector.tick(calls)
        await asyncio.sleep(1.0)


async def relay_calls(
    calls: int, sink: int, settings: Settings, keys: KeyPair | None, *, recorded: bool
) -> None:
    """Relay, and record if requested, until a line comes on standard input.

    Print the ports first, and the figures at the end.
    """
    loop = asyncio.get_running_loop()
    resident = resident_kb(os.getpid())
    factory = SpoolFactory(settings)
    factory.sync.start(loop)
    relay = Relay(PortPool(HOST, 45_000, 60_000))
    Collector.start()
    collecting = asyncio.create_task(collect(Collector(), calls))
    remote = RemoteMedia(
        HOST, sink, sink, payloads=STATIC_PAYLOADS, accepts=STATIC_PAYLOADS, keys=keys
    )
    started = Clock(time.time(), time.monotonic())
    ports, recorders = [], []
    for number in range(calls):
        a, b = f"{number}a", f"{number}b"
        ports += [relay.open(a).port, relay.open(b).port]
        relay.configure(a, remote)
        relay.configure(b, remote)
        relay.join(a, b, {0: 0}, {0: 0})
        if recorded:
            recorders.append(record(factory, number, started))
            relay.set_tap(a, 0, recorders[-1].tap)
            relay.set_tap(b, 1, recorders[-1].tap)
    lags: list[float] = []
    lag = asyncio.create_task(measure_lag(lags))
    print(json.dumps(ports), flush=True)
    before = used_us()
    await loop.run_in_executor(None, sys.stdin.readline)
    used = used_us() - before
    lag.cancel()
    legs = [relay.counters(f"{number}{side}") for number in range(calls) for side in "ab"]
    figures = {
        "cpu_us": used,
        "forwarded": sum(leg.received - leg.withheld - leg.unsent for leg in legs),
        "stored": sum(recorder.gate.stored for recorder in recorders),
        "lag_ms_p99": sorted(lags)[int(len(lags) * 0.99)],
        "lag_ms_max": max(lags),
        "resident_kb_before": resident,
        "resident_kb": resident_kb(os.getpid()),
    }
    print(json.dumps(figures), flush=True)
    collecting.cancel()
    for recorder in recorders:
        recorder.close()
    factory.sync.stop()
    relay.close_all()


def burn() -> None:
    """Parse, hash and write answers, as a busy desk does, until killed."""
    rows = [{"id": number, "name": "x" * 40} for number in range(200)]
    while os.getppid() != 1:
        hashlib.sha256(json.dumps(json.loads(json.dumps(rows))).encode()).digest()


# The runs


@contextlib.contextmanager
def child(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that prints ports, then figures, and end it with the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def myself(*role: object) -> list[str]:
    """Return the command that runs this file in another role."""
    return [sys.executable, __file__, "--role", *map(str, role)]


def run(role: str, calls: int, seconds: float, *, loaded: bool = False) -> Row:
    """Run one role with the traffic of `calls` calls."""
    with (
        listening() as sink,
        tempfile.TemporaryDirectory() as folder,
        child(myself(role, calls, sink.getsockname()[1], folder)) as process,
        child(myself("burn")) if loaded else contextlib.nullcontext(),
    ):
        ports = json.loads(_line(process))
        traffic = exchange(sink, ports, seconds, key_pair(role, ours=False))
        _tell(process)
        return row(json.loads(_line(process)), calls, traffic)


def run_floor(command: list[str], calls: int, seconds: float, sockets: int) -> Row:
    """Run a loop that receives and sends on, over that many sockets."""
    with (
        listening() as sink,
        child([*command, str(sink.getsockname()[1]), str(sockets)]) as process,
    ):
        ports = json.loads(_line(process))
        traffic = exchange(sink, ports * (2 * calls // sockets), seconds)
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(STOP, (HOST, ports[0]))
        return row(json.loads(_line(process)), calls, traffic)


def run_rtpengine(program: str, calls: int, seconds: float, *, record: bool) -> Row:
    """Run rtpengine; the packets that came back count as passed on."""
    with (
        listening() as sink,
        tempfile.TemporaryDirectory() as folder,
        rtpengine(program, Path(folder)) as engine,
    ):
        port = sink.getsockname()[1]
        ports = [each for _ in range(calls) for each in engine.call(port, record=record)]
        before = cpu_us(engine.pid)
        traffic = exchange(sink, ports, seconds)
        time.sleep(0.5)
        figures: Row = {"cpu_us": cpu_us(engine.pid) - before, "forwarded": traffic.back}
        return row(figures, calls, traffic)


def row(figures: Row, calls: int, traffic: Traffic) -> Row:
    """Return the figures of a run."""
    forwarded = figures["forwarded"]
    return {
        **figures,
        **traffic.delay(),
        "calls": calls,
        "sent": traffic.sent,
        "unsent": traffic.unsent,
        "lost": traffic.sent - forwarded,
        "missed_by_sink": forwarded - traffic.back,
        "us_per_packet": round(figures["cpu_us"] / max(forwarded, 1), 2),
    }


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise SystemExit("the child has no output")
    return process.stdout.readline() or "{}"


def _tell(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write("\n")
            process.stdin.flush()


def serve_role(role: str, rest: list[str]) -> None:
    """Run as one of the child processes."""
    signal.alarm(600)
    all_files()
    if role == "burn":
        burn()
    if role == "floor":
        loop(int(rest[0]), int(rest[1]))
        return
    calls, sink, folder = int(rest[0]), int(rest[1]), Path(rest[2])
    keys = key_pair(role, ours=True)
    with tempfile.TemporaryDirectory(dir=MEMORY) as runtime:
        settings, _ = settle(folder, Path(runtime), "", sip=free_port(HOST), calls=calls)
        uvloop.run(relay_calls(calls, sink, load(settings), keys, recorded=role != "relay"))


def runners(folder: Path, calls: int, seconds: float) -> dict[str, Callable[[], Row]]:
    """Return everything to compare, by name; programs that the machine lacks are left out."""
    many = 2 * calls
    found_runners: dict[str, Callable[[], Row]] = {}
    floors = {"Python": myself("floor")}
    program = compiled(folder)
    if program is None:
        print("no compiler here: no floor in C")
    else:
        floors = {"C": [str(program)], **floors}
    for name, command in floors.items():
        for kind, sockets in (("one", 1), ("many", many)):
            found_runners[f"{name}, {kind}"] = partial(run_floor, command, calls, seconds, sockets)
    for name in ("relay", "recording", *SUITES):
        found_runners[name] = partial(run, name, calls, seconds)
    engine = found("rtpengine")
    if engine is None:
        print("no rtpengine here: no row of it")
    else:
        plain = partial(run_rtpengine, engine, calls, seconds)
        found_runners["rtpengine"] = partial(plain, record=False)
        found_runners["rtpengine, pcap"] = partial(plain, record=True)
    return found_runners


def compare(calls: int, seconds: float, rounds: int) -> dict[str, list[Row]]:
    """Run everything once in each round."""
    with tempfile.TemporaryDirectory() as folder:
        compared = runners(Path(folder), calls, seconds)
        rows: dict[str, list[Row]] = {name: [] for name in compared}
        for _ in range(rounds):
            for name, measure in compared.items():
                rows[name].append(measure())
                told(name, rows[name][-1])
    return rows


def told(name: str, of: Row) -> None:
    """Print a row."""
    lag = f"{of['lag_ms_p99']:7.1f} ms p99 lag" if "lag_ms_p99" in of else ""
    if "delay_ms_p99" in of:
        delays = " ".join(f"{of[f'delay_ms_{name}']:.1f}" for name in ("p50", "p99", "max"))
        lag += f"  delay {delays} ms"
    print(
        f"{name:22} {of['calls']:4.0f} calls {of['us_per_packet']:6.2f} µs a packet"
        f" {of['lost']:6.0f} of {of['sent']:7.0f} lost {of['unsent']:7.0f} unsent {lag}",
        flush=True,
    )


def growth(calls: Sequence[int], seconds: float, rounds: int) -> list[Row]:
    """Return a row of `recording` for each number of calls: the one with the median cost."""
    rows = []
    for number in calls:
        measured = [run("recording", number, seconds) for _ in range(rounds)]
        row = sorted(measured, key=lambda each: each["us_per_packet"])[rounds // 2]
        rows.append(row | {"cores": round(row["cpu_us"] / 1e6 / seconds, 4)})
        told("recording", rows[-1])
    return rows


def comparison(calls: Sequence[int], seconds: float, rounds: int) -> dict[str, object]:
    """Compare everything at the first number of calls, and measure `recording` at each."""
    compared = compare(calls[0], seconds, rounds)
    protection = {
        role: round(statistics.median(protection_us(role) for _ in range(5)), 2) for role in SUITES
    }
    print("to protect and open a packet, µs", protection)
    loaded = [run("recording", number, seconds, loaded=True) for number in calls]
    for figures in loaded:
        told("recording, busy desk", figures)
    cost = {
        name: statistics.median(each["us_per_packet"] for each in rows)
        for name, rows in compared.items()
    }
    ratios = {
        name: round(cost["recording"] / other, 2)
        for name, other in cost.items()
        if name != "recording"
    }
    print("recording, to", ratios)
    return {
        "calls": calls[0],
        "us_per_packet": cost,
        "protection_us": protection,
        "recording_to": ratios,
        "rounds": compared,
        "busy_desk": loaded,
    }


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="What the media relay costs.")
    parser.add_argument("--quick", action="store_true", help="one round of 2 s a run, few calls")
    parser.add_argument(
        "--growth", action="store_true", help="only recording, from 1 to 1500 calls"
    )
    parser.add_argument("--calls", type=int, nargs="+", default=None)
    parser.add_argument("--seconds", type=float, default=None, help="of each run")
    parser.add_argument("--rounds", type=int, default=None)
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        serve_role(options.role[0], options.role[1:])
        return
    ends_within(900)
    seconds = options.seconds or (2.0 if options.quick else 10.0)
    rounds = options.rounds or (1 if options.quick else 3)
    result: dict[str, object] = {"seconds": seconds, "quick": options.quick}
    if options.growth:
        calls = options.calls or (FEW if options.quick else GROWTH)
        result["growth"] = growth(calls, seconds, rounds)
    else:
        calls = options.calls or (FEW[-1:] if options.quick else [100, 500, 1000])
        result |= comparison(calls, seconds, rounds)
    print(json.dumps({"benchmark": "media", "machine": machine(), **result}))


if __name__ == "__main__":
    main()
