"""What floods of every kind do to calls in progress, to new calls, and to the switch's memory.

    python benchmarks/flood.py [--quick] [--calls 20] [--seconds 4] [--idle 200]

A real switch on the loopback, a trunk at 127.0.0.2 that calls, a PBX at 127.0.0.3 that answers,
and RTP in both directions of each call. One flood after another runs beside them, as fast as one
process can send; meanwhile a further call is placed and hung up five times a second. `lost` are
RTP packets that were sent and did not arrive at the other party, `refused` further calls that got
503, as an overloaded switch should say, and `failed` those that got no answer, another error or no
end. The switch's own figures come from its socket.

`idle` calls that stand without a word, and what each adds to the resident memory, come first. The
last line is one JSON object.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import platform
import re
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from galwad.link import Link
from galwad.messages import Figures, Hello
from telephony.aio.transport import SipTransport
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import (
    Address,
    DialogEnded,
    DialogRequest,
    Event,
    IncomingInvite,
    InviteAnswered,
    InviteFailed,
)
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri

SWITCH, TRUNK, PBX = "127.0.0.1", "127.0.0.2", "127.0.0.3"
FRAME_S = 0.02
SETTLE_S = 1.0
PROBE_EVERY_S = 0.2
SETTINGS = """
[node]
state = "{folder}/state"
runtime = "{folder}/run"
[sip]
listen = ["udp:127.0.0.1:{udp}", "tcp:127.0.0.1:{tcp}", "tls:127.0.0.1:{tls}"]
tls_certificate = "{folder}/sip.pem"
tls_key = "{folder}/sip.pem"
max_calls = {calls}
[[trunks]]
name = "trunk"
peers = ["127.0.0.2"]
[[routes]]
called = "*"
target = "sip:600@127.0.0.3:{pbx}"
[media]
listen = "127.0.0.1"
ports = "{first}-{last}"
[recording]
officer_key = "{officer}"
"""


# The parties


class Voice:
    """One party's end of a call's media: numbers what it sends and keeps what numbers it heard."""

    def __init__(self, host: str) -> None:
        self.made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.made.bind((host, 0))
        self.made.setblocking(False)
        self.port = self.made.getsockname()[1]
        self.host = host
        self.to: tuple[str, int] | None = None
        self.sent = 0
        self.heard: set[int] = set()

    def describe(self) -> bytes:
        """Its SDP."""
        return (
            f"v=0\r\no=- 1 1 IN IP4 {self.host}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        ).encode()

    def aim(self, sdp: bytes) -> None:
        """Send to where an SDP says."""
        port = re.search(rb"m=audio (\d+)", sdp)
        if port is not None:
            self.to = (SWITCH, int(port[1]))

    def speak(self) -> None:
        """Send the next packet."""
        if self.to is not None:
            head = struct.pack("!BBHII", 0x80, 0, self.sent & 0xFFFF, self.sent * 160, self.port)
            with contextlib.suppress(BlockingIOError):
                self.made.sendto(head + bytes(160), self.to)
                self.sent += 1

    def listen(self) -> None:
        """Take what is there."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.add(struct.unpack_from("!H", self.made.recv(2048), 2)[0])


@dataclass
class Call:
    """A call that the trunk places."""

    caller: Voice
    callee: Voice | None = None
    dialog: Dialog | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: str = ""


HEADERS = (("Content-Type", "application/sdp"),)


class Party:
    """A SIP core on an address: the trunk that calls, or the PBX that answers everything."""

    def __init__(self, calls: dict[str, Call]) -> None:
        self.transport = SipTransport(Endpoint(), self.take)
        self._calls = calls

    def take(self, event: Event) -> None:
        """Do what a polite peer does."""
        now = self.transport.now
        match event:
            case IncomingInvite(invite=invite):
                call = self._calls.get(invite.request.from_.uri.user or "")
                if call is None:
                    invite.respond(486, now=now)
                    return
                call.callee = Voice(PBX)
                call.callee.aim(invite.request.body)
                invite.respond(200, headers=HEADERS, body=call.callee.describe(), now=now)
            case InviteAnswered(client=client, dialog=dialog, response=response):
                dialog.ack(client, now=now)
                call = client.owner
                call.caller.aim(response.body)
                call.dialog = dialog
                call.changed.set()
            case InviteFailed(client=client, status=status):
                client.owner.outcome = str(status)
                client.owner.changed.set()
            case DialogRequest(transaction=transaction):
                transaction.respond(200, now=now)
            case DialogEnded(dialog=dialog):
                if isinstance(dialog.owner, Call):
                    dialog.owner.outcome = "ended"
                    dialog.owner.changed.set()
            case _:
                pass


class Stage:
    """The trunk, the PBX and their calls."""

    def __init__(self, switch: Address) -> None:
        self.calls: dict[str, Call] = {}
        self.trunk, self.pbx = Party(self.calls), Party(self.calls)
        self._switch = switch
        self._count = 0

    async def open(self, pbx_port: int) -> None:
        """Bind both."""
        await self.trunk.transport.listen(Address(TRUNK, 0))
        await self.pbx.transport.listen(Address(PBX, pbx_port))

    async def dial(self, seconds: float = 40.0) -> Call:
        """Place a call; its outcome is empty once it is answered."""
        self._count += 1
        name, call = f"caller{self._count}", Call(Voice(TRUNK))
        self.calls[name] = call
        self.trunk.transport.endpoint.invite(
            Uri(user="01970000100", host=SWITCH, port=self._switch.port),
            from_=NameAddr.parse(f"<sip:{name}@{TRUNK}>"),
            to=NameAddr("", Uri(user="01970000100", host=SWITCH, port=self._switch.port)),
            destination=self._switch,
            headers=HEADERS,
            body=call.caller.describe(),
            owner=call,
            now=self.trunk.transport.now,
        )
        self.trunk.transport.flush()
        await self._change(call, seconds)
        return call

    async def hang_up(self, call: Call) -> None:
        """End it from the caller's side."""
        if call.dialog is not None:
            call.changed.clear()
            call.dialog.request("BYE", now=self.trunk.transport.now)
            self.trunk.transport.flush()
            await self._change(call, 40.0)
        call.caller.made.close()
        if call.callee is not None:
            call.callee.made.close()

    @staticmethod
    async def _change(call: Call, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await call.changed.wait()
        except TimeoutError:
            call.outcome = "silence"


async def talk(voices: list[Voice], stop: asyncio.Event) -> None:
    """All speak every 20 ms, each at its own moment of these, until told to stop."""
    begun, step, parts = time.perf_counter(), 0, 10
    while not stop.is_set():
        for voice in voices[step % parts :: parts]:
            voice.speak()
        for voice in voices:
            voice.listen()
        step += 1
        await asyncio.sleep(max(0.0, begun + step * FRAME_S / parts - time.perf_counter()))
    await asyncio.sleep(SETTLE_S)
    for voice in voices:
        voice.listen()


# The floods: each is a process that sends until it is killed


def _invite(number: int, host: str, more: str = "") -> bytes:
    return (
        f"INVITE sip:{number}@galwad SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number:x};rport\r\n"
        f"From: <sip:a@{host}>;tag={number:x}\r\nTo: <sip:{number}@galwad>\r\n"
        f"Call-ID: {number:x}@{host}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:a@{host}>\r\n{more}Content-Length: 0\r\n\r\n"
    ).encode()


def _from(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


def flood_junk(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """Random octets over UDP from one address."""
    made, data = _from("127.0.0.66"), [os.urandom(200) for _ in range(64)]
    while True:
        for each in data:
            made.sendto(each, (SWITCH, ports["udp"]))
        sent.value += len(data)


def flood_invites(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """INVITEs without credentials from one address, each another call."""
    made, number = _from("127.0.0.67"), 0
    while True:
        number += 1
        made.sendto(_invite(number, "127.0.0.67"), (SWITCH, ports["udp"]))
        sent.value = number


def flood_crowd(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """The same from 2,000 addresses: as many as one process has sockets for."""
    hosts = [f"127.7.{number >> 8}.{number & 255}" for number in range(1, 2001)]
    crowd, number = [_from(host) for host in hosts], 0
    while True:
        for made, host in zip(crowd, hosts, strict=True):
            number += 1
            made.sendto(_invite(number, host), (SWITCH, ports["udp"]))
        sent.value = number


def flood_headers(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """INVITEs of 64 kB, from 2,000 addresses."""
    hosts = [f"127.8.{number >> 8}.{number & 255}" for number in range(1, 2001)]
    crowd, number, more = [_from(host) for host in hosts], 0, "X: y\r\n" * 10_000
    while True:
        for made, host in zip(crowd, hosts, strict=True):
            number += 1
            made.sendto(_invite(number, host, more), (SWITCH, ports["udp"]))
        sent.value = number


def flood_trunk(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """A trunk that has gone mad: calls without an end, none of which is ever acknowledged."""
    made, number = _from(TRUNK), 0
    while True:
        number += 1
        made.sendto(_invite(number, TRUNK), (SWITCH, ports["udp"]))
        sent.value = number


def flood_connections(
    ports: dict[str, int], sent: "multiprocessing.sharedctypes.Synchronized[int]"
) -> None:
    """TCP connections that say nothing or half a head of 64 kB, TLS that stops in the handshake."""
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    greeting, kept, number = hello.read(), [], 0
    half = b"INVITE sip:x SIP/2.0\r\n" + b"X: y\r\n" * 10_000
    while True:
        number += 1
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        made.bind((f"127.9.{number >> 8 & 255}.{number & 255}", 0))
        kind = number % 3
        with contextlib.suppress(OSError):
            made.connect_ex((SWITCH, ports["tls" if kind == 0 else "tcp"]))
            time.sleep(0.0002)
            if kind < 2:
                made.send(greeting if kind == 0 else half)
        kept.append(made)
        if len(kept) > 5000:
            kept.pop(0).close()
        sent.value = number


Flood = Callable[[dict[str, int], "multiprocessing.sharedctypes.Synchronized[int]"], None]
FLOODS: tuple[Flood, ...] = (
    flood_junk,
    flood_invites,
    flood_crowd,
    flood_headers,
    flood_trunk,
    flood_connections,
)


@contextlib.contextmanager
def running(flood: Flood, ports: dict[str, int]):  # noqa: ANN201 - a context with the count sent
    """The flood in a process of its own."""
    sent = multiprocessing.get_context("fork").Value("q", 0, lock=False)
    process = multiprocessing.get_context("fork").Process(
        target=_be, args=(flood, ports, sent), daemon=True
    )
    process.start()
    try:
        yield sent
    finally:
        process.kill()
        process.join()


def _be(flood: Flood, ports: dict[str, int], sent: object) -> None:
    signal.alarm(120)
    flood(ports, sent)  # type: ignore[arg-type]  # a shared number


# The switch


def _certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "galwad")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)


def _free(kind: socket.SocketKind, host: str = SWITCH) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Switch:
    """The process, and what it says of itself."""

    process: asyncio.subprocess.Process
    ports: dict[str, int]
    figures: Figures | None = None
    worst_lag_ms: float = 0.0
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def resident_kb(self) -> int:
        """Its resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) if found else 0

    async def watch(self, path: Path) -> None:
        """Be a desk that only listens."""
        link = Link(*await asyncio.open_unix_connection(str(path)))
        link.send(Hello("desk", "0"))
        while (message := await link.receive()) is not None:
            if isinstance(message, Figures):
                self.figures = message
                self.told.set()
                self.worst_lag_ms = max(self.worst_lag_ms, message.loop_lag_ms)


@contextlib.asynccontextmanager
async def switch(folder: Path, calls: int) -> AsyncIterator[Switch]:
    """A switch on free ports, ended with the block."""
    ports = {
        "udp": _free(socket.SOCK_DGRAM),
        "tcp": _free(socket.SOCK_STREAM),
        "tls": _free(socket.SOCK_STREAM),
        "pbx": _free(socket.SOCK_DGRAM, PBX),
    }
    first = 20_000
    (folder / "run").mkdir(mode=0o700)
    _certificate(folder / "sip.pem")
    (folder / "galwad.toml").write_text(
        SETTINGS.format(
            folder=folder,
            calls=calls,
            first=first,
            last=first + 8 * calls + 99,
            officer=base64.b64encode(bytes(range(1, 33))).decode(),
            **ports,
        ),
        encoding="utf-8",
    )
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "galwad", "serve", "--only", "switch",
            "--config", str(folder / "galwad.toml"),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    started = Switch(process, ports)
    try:
        while b"switch.ready" not in (folder / "log").read_bytes():
            if process.returncode is not None:
                raise SystemExit((folder / "log").read_text(encoding="utf-8"))
            await asyncio.sleep(0.05)
        watching = asyncio.create_task(started.watch(folder / "run" / "switch.sock"))
        yield started
        watching.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# The runs


async def measure_idle(stage: Stage, at: Switch, count: int) -> float:
    """KB of resident memory for each of so many calls that stand."""
    warm = [await stage.dial() for _ in range(20)]
    for call in warm:
        await stage.hang_up(call)
    before = at.resident_kb()
    held = [await stage.dial() for _ in range(count)]
    answered = sum(not call.outcome for call in held)
    await asyncio.sleep(SETTLE_S)
    after = at.resident_kb()
    for call in held:
        await stage.hang_up(call)
    return (after - before) / max(answered, 1)


async def run(
    flood: Flood, stage: Stage, at: Switch, calls: int, seconds: float
) -> dict[str, object]:
    """So many talking calls, the flood, and calls that come and go beside them."""
    held = [await stage.dial() for _ in range(calls)]
    voices = [v for call in held if call.callee for v in (call.caller, call.callee)]
    silence, probes, took = asyncio.Event(), Counter[str](), list[float]()
    before, resident = at.figures, at.resident_kb()
    at.worst_lag_ms = 0.0
    talking = asyncio.create_task(talk(voices, silence))
    peak = resident

    async def probe() -> None:
        begun = time.perf_counter()
        call = await stage.dial()
        answered = call.outcome or "answered"
        took.append(time.perf_counter() - begun)
        await stage.hang_up(call)
        probes[answered if answered != "answered" else call.outcome] += 1

    async with asyncio.TaskGroup() as group:
        with running(flood, at.ports) as sent:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                group.create_task(probe())
                await asyncio.sleep(PROBE_EVERY_S)
                peak = max(peak, at.resident_kb())
            thrown = sent.value
    silence.set()
    await talking
    at.told.clear()
    await at.told.wait()  # the next figures tell of the flood's last seconds
    for call in held:
        await stage.hang_up(call)
    spoken = sum(voice.sent for voice in voices)
    pairs = [(c.caller, c.callee) for c in held if c.callee]
    heard = sum(len(b.heard) for b in voices)
    after = at.figures
    failed = probes.total() - probes["ended"] - probes["503"]
    return {
        "flood": flood.__name__.removeprefix("flood_"),
        "thrown_per_second": round(thrown / seconds),
        "talking": len(pairs),
        "rtp_sent": spoken,
        "lost": spoken - heard,
        "further_calls": probes.total(),
        "refused": probes["503"],
        "failed": failed,
        "outcomes": dict(probes),
        "setup_ms_median": round(statistics.median(took) * 1000, 1),
        "setup_ms_worst": round(max(took) * 1000, 1),
        "lag_ms_worst": at.worst_lag_ms,
        "resident_mb": round(resident / 1024, 1),
        "resident_mb_peak": round(peak / 1024, 1),
        "shed": _grown(before, after, "sip_shed"),
        "refused_503": _grown(before, after, "calls_refused"),
        "banned_now": after.sources_banned if after else None,
        "faults": after.faults if after else None,
    }


def _grown(before: Figures | None, after: Figures | None, name: str) -> int | None:
    if after is None:
        return None
    return getattr(after, name) - (getattr(before, name) if before else 0)


async def measure(calls: int, seconds: float, idle: int) -> dict[str, object]:
    """Everything."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with switch(folder, max(calls + 30, idle + 10)) as at:
            stage = Stage(Address(SWITCH, at.ports["udp"]))
            await stage.open(at.ports["pbx"])
            memory = await measure_idle(stage, at, idle)
            print(f"{memory:.0f} kB resident for each of {idle} idle calls")
            rows = []
            for flood in FLOODS:
                row = await run(flood, stage, at, calls, seconds)
                rows.append(row)
                print(
                    f"{row['flood']:12} {row['thrown_per_second']:8} a second"
                    f" {row['lost']:5} of {row['rtp_sent']} RTP lost"
                    f" {row['refused']:3} refused, {row['failed']:3} failed"
                    f" of {row['further_calls']} calls"
                    f" {row['setup_ms_worst']:8} ms worst setup {row['lag_ms_worst']:6} ms lag"
                    f" {row['resident_mb_peak']:6} MB",
                    flush=True,
                )
            return {
                "python": platform.python_version(),
                "calls": calls,
                "seconds": seconds,
                "idle_kb_per_call": round(memory, 1),
                "floods": rows,
            }


def main() -> None:
    """Run all and print the figures."""
    parser = argparse.ArgumentParser(description="What floods do to a switch in service.")
    parser.add_argument("--quick", action="store_true", help="2 s a flood, 50 idle calls")
    parser.add_argument("--calls", type=int, default=20, help="talking beside each flood")
    parser.add_argument("--seconds", type=float, default=None, help="of each flood")
    parser.add_argument("--idle", type=int, default=None, help="calls for the memory of one")
    options = parser.parse_args()
    seconds = options.seconds or (2.0 if options.quick else 4.0)
    idle = options.idle or (50 if options.quick else 200)
    signal.alarm(600)
    print(json.dumps(uvloop.run(measure(options.calls, seconds, idle))))


if __name__ == "__main__":
    main()
