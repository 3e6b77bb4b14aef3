"""The RTP of the calls in progress of rates.py, and pings, in a process of their own.

The packets of all parties go through one socket. Each packet contains the time at which it was
sent, and the kernel adds the time at which it arrives, so the delays do not depend on when this
process runs. The same is true of the pings: an OPTIONS every 10 ms, over a socket of its own, which
measures how long a peer waits for an answer. Packets that the process has no time to send are
counted as unsent.

`Steady` starts the process and asks it for the figures of a time. The packets of all times are
sent in the same way; those between two times are not counted.
"""

import asyncio
import contextlib
import json
import select
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
from _common import CALLER, SWITCH
from _histogram import Histogram
from _rtp import CONTROL_BYTES, SO_TIMESTAMPNS, Batch, batches, library

FRAME_NS = 20_000_000
PING_NS = 10_000_000
LATE_S = 2.0
"""The time after a measured time in which its late packets and answers may still arrive."""
BEHIND_NS = 200_000_000
"""If the process is behind its plan by more than this, it leaves packets out."""
ROOM = 256
Figures = dict[str, float | None]
OPTIONS = (
    "OPTIONS sip:{switch}:{port} SIP/2.0\r\n"
    "Via: SIP/2.0/UDP {caller}:{own};branch=z9hG4bKping{number}\r\n"
    "From: <sip:ping@{caller}>;tag=p\r\nTo: <sip:{switch}:{port}>\r\nCall-ID: ping{number}\r\n"
    "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


@dataclass
class Tally:
    """The packets and pings that were sent in a time; times are in ns since 1970."""

    begun: int
    ended: int = sys.maxsize
    sent: int = 0
    unsent: int = 0
    back: int = 0
    delays: Histogram = field(default_factory=Histogram)
    pinged: int = 0
    answered: int = 0
    pings: Histogram = field(default_factory=Histogram)
    behind: Histogram = field(default_factory=Histogram)
    """The ms by which the process sent later than planned."""

    def figures(self) -> Figures:
        """Return the figures for the parent; delays are None if nothing arrived."""
        return {
            "rtp_sent": self.sent,
            "rtp_unsent": self.unsent,
            "rtp_lost": self.sent - self.back,
            **self.delays.figures("delay_ms", (50, 99, 99.9)),
            "pings": self.pinged,
            "pings_unanswered": self.pinged - self.answered,
            **self.pings.figures("ping_ms", (50, 99, 99.9)),
            "generator_behind_ms_p99": round(self.behind.percentile(99), 2),
        }


class Pings:
    """Sends OPTIONS requests, and measures the time until each is answered."""

    def __init__(self, port: int) -> None:
        """Bind a socket at the trunk's address; `port` is the switch's for SIP."""
        self._made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._made.bind((CALLER, 0))
        self._made.connect((SWITCH, port))
        self._made.setblocking(False)
        self._port, self._own = port, self._made.getsockname()[1]
        self._number = 0
        self._waiting: dict[int, int] = {}

    def send(self, tally: Tally | None) -> None:
        """Send the next request."""
        self._number += 1
        request = OPTIONS.format(
            switch=SWITCH, port=self._port, caller=CALLER, own=self._own, number=self._number
        )
        self._waiting[self._number] = time.time_ns()
        with contextlib.suppress(OSError):
            self._made.send(request.encode())
        if tally is not None and time.time_ns() < tally.ended:
            tally.pinged += 1

    def receive(self, tally: Tally | None) -> None:
        """Count the answers that have arrived."""
        while True:
            try:
                answer, control, _, _ = self._made.recvmsg(2048, CONTROL_BYTES)
            except OSError:
                break
            seconds, ns = struct.unpack("=qq", control[0][2])
            number = int(answer.partition(b"\nCall-ID: ping")[2].split(b"\r", 1)[0])
            sent = self._waiting.pop(number, None)
            if tally is not None and sent is not None and tally.begun <= sent < tally.ended:
                tally.answered += 1
                tally.pings.add([(seconds * 1_000_000_000 + ns - sent) / 1e6])
        old = time.time_ns() - 60_000_000_000
        while self._waiting and (first := next(iter(self._waiting.items())))[1] < old:
            del self._waiting[first[0]]


class Talk:
    """The traffic of the process: what is sent when, and the figures of the present time."""

    def __init__(self, sink: socket.socket, ports: list[int], sip: int) -> None:
        """Prepare a packet for each of `ports` every 20 ms, and pings to the port `sip`."""
        self._sink, self._parts = sink, batches(ports)
        self._count = len(ports)
        self._room = Batch(ROOM)
        self._room.receive_times()
        self._libc = library()
        self._pings = Pings(sip)
        self.tally: Tally | None = None

    def run(self) -> None:
        """Send and receive until standard input ends, and obey its lines `begin` and `end`."""
        begun, part_ns, step, pinged = time.time_ns(), FRAME_NS // len(self._parts), 0, 0
        while True:
            due = begun + step * part_ns
            wait = due - time.time_ns()
            if wait > 0:
                time.sleep(wait / 1e9)
            elif -wait > BEHIND_NS:
                step += self._leave_out(-wait // part_ns, step)
            self._send(step, due)
            self._receive()
            if time.time_ns() - pinged >= PING_NS:
                pinged = time.time_ns()
                self._pings.send(self.tally)
                self._pings.receive(self.tally)
                if select.select([sys.stdin], [], [], 0)[0] and not self._obey():
                    return
                self._report()
            step += 1

    def _send(self, step: int, due: int) -> None:
        batch = self._parts[step % len(self._parts)]
        batch.number(step // len(self._parts))
        sent = max(self._libc.sendmmsg(self._sink.fileno(), batch.messages, batch.count, 0), 0)
        now = time.time_ns()
        if self.tally is not None and now < self.tally.ended:
            self.tally.sent += sent
            self.tally.unsent += batch.count - sent
            self.tally.behind.add([(now - due) / 1e6])

    def _leave_out(self, parts: int, step: int) -> int:
        packets = sum(self._parts[(step + n) % len(self._parts)].count for n in range(parts))
        if self.tally is not None and time.time_ns() < self.tally.ended:
            self.tally.unsent += packets
        return parts

    def _receive(self) -> None:
        while True:
            got: int = self._libc.recvmmsg(
                self._sink.fileno(), self._room.messages, ROOM, socket.MSG_DONTWAIT, None
            )
            if got <= 0:
                return
            if self.tally is not None:
                sent, arrived = self._room.times(got)
                counted = (sent >= self.tally.begun) & (sent < self.tally.ended)
                self.tally.back += int(np.count_nonzero(counted))
                self.tally.delays.add(((arrived - sent) / 1e6)[counted])
            if got < ROOM:
                return

    def _obey(self) -> bool:
        line = sys.stdin.readline().strip()
        if line == "begin":
            self.tally = Tally(time.time_ns())
        elif line == "end" and self.tally is not None:
            self.tally.ended = time.time_ns()
        return bool(line)

    def _report(self) -> None:
        tally = self.tally
        if tally is not None and time.time_ns() > tally.ended + LATE_S * 1e9:
            print(json.dumps(tally.figures()), flush=True)
            self.tally = None


class Steady:
    """The process, as its parent sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Take a process that runs."""
        self._process = process

    def begin(self) -> None:
        """Begin a measured time."""
        self._say("begin")

    async def end(self) -> Figures:
        """End the measured time; return its figures when its late packets have arrived."""
        self._say("end")
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("the process that sends the RTP has ended")
        figures: Figures = json.loads(line)
        return figures

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())


@contextlib.asynccontextmanager
async def steady(sink: socket.socket, ports: list[int], sip: int) -> AsyncIterator[Steady]:
    """Talk in a process of its own until the block ends: from `sink` to each of `ports`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, str(sink.fileno()), str(sip), json.dumps(ports),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        pass_fds=[sink.fileno()],
    )  # fmt: skip
    try:
        yield Steady(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def main() -> None:
    """Talk, as the parent asks."""
    sink, sip, ports = sys.argv[1:]
    with contextlib.closing(socket.socket(fileno=int(sink))) as made:
        Talk(made, json.loads(ports), int(sip)).run()


if __name__ == "__main__":
    main()
