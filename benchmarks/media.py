"""What the media relay costs: µs of CPU a packet, packets lost, and the loop's lag.

    python benchmarks/media.py [--quick] [--calls 50 200 500] [--seconds 10]

Three processes on the loopback: one sends and receives RTP (20 ms of G.711 in both directions of
each call), one is the relay with a recorder and a spool for each call, as the switch has them,
and one burns a core as a busy desk would. The floor is a bare blocking `recv` and `sendto` loop
on one socket, measured in the same run. The last line is one JSON object.

The row "relay, SRTP" has SRTP on both legs of each call: every packet is opened and sealed.

The relay gathers packets for up to 2 ms; the lag is that of the loop's other work.

`lost` counts what the relay did not pass on; what the measuring process itself failed to take
from the kernel is `missed_by_sink`.
"""

import argparse
import asyncio
import contextlib
import ctypes
import ctypes.util
import gc
import hashlib
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import uvloop

from recording.recorder import Recorder
from recording.spool import Clock, SpoolSync, SpoolWriter
from telephony.aio.ports import PortPool
from telephony.aio.relay import Relay
from telephony.rtp.srtp import Protection
from telephony.sdp import STATIC_PAYLOADS, KeyPair, MasterKey, RemoteMedia, Suite

HOST = "127.0.0.1"
PACKET_BYTES = 172
TAG_BYTES = 10
SLICES = 200
"""Parts of the 20 ms in which streams send: calls begin when they like, so their packets come
spread, not in bursts that one wake-up could serve."""
STOP = b"stop"
SUITE = Suite.AES_CM_128_HMAC_SHA1_80
PHONES = MasterKey(SUITE, bytes(range(SUITE.key_bytes)))
OURS = MasterKey(SUITE, bytes(range(1, SUITE.key_bytes + 1)))
"""Keys of the row with SRTP: the same on every leg, so that one sealed packet fits them all."""


def cpu_us() -> float:
    """CPU time of this process and its threads so far, in microseconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


# The relay under test


def record(folder: Path, number: int, started: Clock, sync: SpoolSync) -> Recorder:
    """A recorder as the switch makes one, in the state RECORDING."""
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    name = "".join(letters[number >> shift & 31] for shift in range(0, 40, 5))
    call_id = f"20260101-090000-{name}"
    recorder = Recorder(
        lambda: SpoolWriter.create(
            folder / "spool", folder / "keys", call_id, 1, bytes(32), None, started
        ),
        started,
        sync=sync,
    )
    recorder.start()
    recorder.answered("sian", "201")
    return recorder


async def measure_lag(lags: list[float]) -> None:
    """How much later than asked the loop comes back, in ms, every 10 ms."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append((time.perf_counter() - before - 0.01) * 1e3)


async def relay_calls(calls: int, sink: int, folder: Path, keys: KeyPair | None) -> None:
    """Relay and record until standard input says so; print ports, then figures."""
    loop = asyncio.get_running_loop()
    sync = SpoolSync(folder / "spool")
    sync.start(loop)
    relay = Relay(PortPool(HOST, 45_000, 60_000))
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
        recorders.append(record(folder, number, started, sync))
        relay.tap(a, 0, recorders[-1].tap)
        relay.tap(b, 1, recorders[-1].tap)
    gc.freeze()
    lags: list[float] = []
    lag = asyncio.create_task(measure_lag(lags))
    print(json.dumps(ports), flush=True)
    before = cpu_us()
    await loop.run_in_executor(None, sys.stdin.readline)
    used = cpu_us() - before
    lag.cancel()
    legs = [relay.counters(f"{number}{side}") for number in range(calls) for side in "ab"]
    figures = {
        "cpu_us": used,
        "forwarded": sum(leg.forwarded for leg in legs),
        "stored": sum(recorder.gate.kept for recorder in recorders),
        "lag_ms_p99": sorted(lags)[int(len(lags) * 0.99)],
        "lag_ms_max": max(lags),
    }
    for recorder in recorders:
        recorder.close()
    sync.stop()
    relay.shut()
    print(json.dumps(figures), flush=True)


def bare_loop(sink: int) -> None:
    """The floor: take a packet, send it on, nothing else."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((HOST, 0))
    print(json.dumps([made.getsockname()[1]]), flush=True)
    count, target, before = 0, (HOST, sink), cpu_us()
    while (data := made.recv(2048)) != STOP:
        made.sendto(data, target)
        count += 1
    print(json.dumps({"cpu_us": cpu_us() - before, "forwarded": count}), flush=True)


def burn() -> None:
    """What a busy desk does: parse, hash, write answers; until it is killed."""
    rows = [{"id": number, "name": "x" * 40} for number in range(200)]
    while os.getppid() != 1:
        hashlib.sha256(json.dumps(json.loads(json.dumps(rows))).encode()).digest()


# The measuring process


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("spans", ctypes.c_void_p),
        ("span_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("size", ctypes.c_uint))


class Batch:
    """Datagrams for `sendmmsg` and `recvmmsg`: many for one system call."""

    def __init__(
        self, count: int, ports: list[int] | None = None, end: Protection | None = None
    ) -> None:
        """Room for `count` packets; those to send have one of `ports` each, sealed by `end`."""
        self.count = count
        self._end = end
        self._size = PACKET_BYTES if end is None else PACKET_BYTES + TAG_BYTES
        self.data = ctypes.create_string_buffer(count * self._size)
        self._spans = (_Span * count)()
        self._names = ctypes.create_string_buffer(16 * count)
        self.messages = (_Message * count)()
        for index in range(count):
            self._spans[index].base = ctypes.addressof(self.data) + index * self._size
            self._spans[index].size = self._size
            header = self.messages[index].header
            header.spans = ctypes.addressof(self._spans) + index * ctypes.sizeof(_Span)
            header.span_count = 1
            if ports:
                name = struct.pack("=H", socket.AF_INET) + struct.pack(
                    "!H4s8x", ports[index], socket.inet_aton(HOST)
                )
                ctypes.memmove(ctypes.addressof(self._names) + 16 * index, name, 16)
                header.name = ctypes.addressof(self._names) + 16 * index
                header.name_size = 16

    def number(self, sequence: int) -> None:
        """Give every packet the header of the `sequence`-th."""
        head = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 7)
        if self._end is not None:
            head = self._end.protect(head + bytes(PACKET_BYTES - len(head)))
        for offset in range(0, self.count * self._size, self._size):
            ctypes.memmove(ctypes.addressof(self.data) + offset, head, len(head))


def exchange(
    sink: socket.socket, ports: list[int], seconds: float, *, sealed: bool = False
) -> tuple[int, int]:
    """Send to each port every 20 ms; return how many were sent and how many came back.

    As phones do (RFC 4961), it sends from the port at which it receives.
    """
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    size = -(-len(ports) // SLICES)
    keys = KeyPair(PHONES, OURS)
    batches = [
        Batch(len(part), part, Protection(keys) if sealed else None)
        for part in (ports[start : start + size] for start in range(0, len(ports), size))
    ]
    room = Batch(256)
    sent = back = 0
    begun = time.perf_counter()
    for step in range(int(seconds * 50) * len(batches)):
        batch = batches[step % len(batches)]
        batch.number(step // len(batches))
        sent += max(libc.sendmmsg(sink.fileno(), batch.messages, batch.count, 0), 0)
        back += _drain(libc, sink, room)
        wait = begun + (step + 1) * 0.02 / len(batches) - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
    while select.select([sink], [], [], 0.5)[0]:
        back += _drain(libc, sink, room)
    return sent, back


def _drain(libc: ctypes.CDLL, sink: socket.socket, room: Batch) -> int:
    total = 0
    while True:
        got: int = libc.recvmmsg(
            sink.fileno(), room.messages, room.count, socket.MSG_DONTWAIT, None
        )
        if got <= 0:
            return total
        total += got
        if got < room.count:
            return total


# The runs


@contextlib.contextmanager
def child(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This file in another role, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--role", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(role: str, calls: int, seconds: float, *, loaded: bool = False) -> dict[str, float]:
    """One role with the traffic of `calls` calls."""
    sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sink.bind((HOST, 0))
    with (
        sink,
        tempfile.TemporaryDirectory() as folder,
        child(role, str(calls), str(sink.getsockname()[1]), folder) as process,
        child("burn") if loaded else contextlib.nullcontext(),
    ):
        ports = json.loads(_line(process))
        if role == "bare":
            sent, back = exchange(sink, ports * (2 * calls), seconds)
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(STOP, (HOST, ports[0]))
        else:
            sent, back = exchange(sink, ports, seconds, sealed=role == "srtp")
        _tell(process)
        figures: dict[str, float] = json.loads(_line(process))
    forwarded = figures["forwarded"]
    return figures | {
        "calls": calls,
        "sent": sent,
        "lost": sent - forwarded,
        "missed_by_sink": forwarded - back,
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
    """Be one of the child processes."""
    signal.alarm(600)
    if role == "burn":
        burn()
    calls, sink, folder = int(rest[0]), int(rest[1]), Path(rest[2])
    if role == "bare":
        bare_loop(sink)
        return
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for name in ("spool", "keys"):
        (folder / name).mkdir()
    keys = KeyPair(OURS, PHONES) if role == "srtp" else None
    uvloop.run(relay_calls(calls, sink, folder, keys))


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="What the media relay costs.")
    parser.add_argument("--quick", action="store_true", help="3 s a run instead of 10")
    parser.add_argument("--calls", type=int, nargs="+", default=[50, 200, 500])
    parser.add_argument("--seconds", type=float, default=None, help="of each run")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        serve_role(options.role[0], options.role[1:])
        return
    seconds = options.seconds or (3.0 if options.quick else 10.0)
    typical = sorted(options.calls)[len(options.calls) // 2]
    bare = [run("bare", typical, seconds)]
    alone = run("relay", typical, seconds)
    secure = run("srtp", typical, seconds)
    bare.append(run("bare", typical, seconds))
    loaded = [run("relay", calls, seconds, loaded=True) for calls in options.calls]
    rows = [("bare loop", bare[0]), ("relay", alone)]
    rows += [("relay, SRTP", secure), ("bare loop", bare[1])]
    rows += [("relay, busy desk", figures) for figures in loaded]
    for name, row in rows:
        lag = f"{row['lag_ms_p99']:8.2f}" if "lag_ms_p99" in row else f"{'':8}"
        print(
            f"{name:18} {row['calls']:4.0f} calls {row['us_per_packet']:7.2f} µs a packet"
            f" {row['lost']:6.0f} lost {lag} ms p99 lag"
        )
    floor = min(row["us_per_packet"] for row in bare)
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "seconds": seconds,
                "bare_us_per_packet": floor,
                "relay_us_per_packet": alone["us_per_packet"],
                "relay_to_bare": round(alone["us_per_packet"] / floor, 2),
                "srtp_us_per_packet": secure["us_per_packet"],
                "srtp_to_plain": round(secure["us_per_packet"] / alone["us_per_packet"], 2),
                "alone": alone,
                "srtp": secure,
                "busy_desk": loaded,
            }
        )
    )


if __name__ == "__main__":
    main()
