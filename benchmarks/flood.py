"""Measures the effect of floods on calls in progress, new calls and the switch's memory.

    python benchmarks/flood.py [--quick] [--calls 20] [--seconds 4] [--idle 200] [--only known]

A real switch runs on the loopback, with a trunk at 127.0.0.2 that calls, a PBX at 127.0.0.3 that
answers, and RTP in both directions of each call. One flood after another runs at the same time, as
fast as one process can send. Meanwhile a further call is placed and hung up five times a second.
`lost` are RTP packets that were sent and did not reach the other party. `refused` are further calls
that got 503, the right answer of an overloaded switch. `failed` are those that got no answer,
another error or no end. Ten times a second, the recording of a call is paused as the desk does it,
and resumed; `pause_ms` is the time until the switch confirms the pause. The switch's own figures
come from its socket. A phone is registered at 127.0.0.80, so floods from there come from a known
address.

The memory for each of `idle` silent calls is measured first. The last line is one JSON object.
"""

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import platform
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from _common import CALLEE, SWITCH, ends_within, free_port, resident_kb
from _floods import FLOODS, KNOWN, Flood, running
from _parties import SETTLE_S, Stage, talk
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from galwad.link import Link
from galwad.messages import (
    CallChanged,
    CallEnded,
    CallsSnapshot,
    Figures,
    Hello,
    Pause,
    PauseReply,
    Resume,
)
from telephony.sip.events import Address
from telephony.sip.message.messages import Request, Response, parse_message
from telephony.sip.ua.auth import DigestClient, ha1

PROBE_EVERY_S = 0.2
PAUSE_EVERY_S = 0.1
PAUSE_PATIENCE_S = 10.0
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
[[phones]]
extension = "301"
ha1_md5 = "{ha1}"
[media]
listen = "127.0.0.1"
ports = "{first}-{last}"
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer}"
"""


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


@dataclass
class Switch:
    """The switch process and its own figures."""

    process: asyncio.subprocess.Process
    ports: dict[str, int]
    figures: Figures | None = None
    worst_lag_ms: float = 0.0
    told: asyncio.Event = field(default_factory=asyncio.Event)
    answered: set[str] = field(default_factory=set)
    """The ids of the answered calls."""
    _link: Link | None = None
    _refs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _replies: dict[int, asyncio.Future[PauseReply]] = field(default_factory=dict)

    def resident_kb(self) -> int:
        """Return its resident memory in kB."""
        return resident_kb(self.process.pid)

    async def watch(self, path: Path) -> None:
        """Connect as a desk, and keep the figures that the switch sends."""
        self._link = link = Link(*await asyncio.open_unix_connection(str(path)))
        link.send(Hello("desk", "0"))
        while (message := await link.receive()) is not None:
            match message:
                case Figures():
                    self.figures = message
                    self.told.set()
                    self.worst_lag_ms = max(self.worst_lag_ms, message.loop_lag_ms)
                case CallsSnapshot(calls=calls):
                    self.answered = {each.call_id for each in calls if each.state == "answered"}
                case CallChanged(call=call) if call.state == "answered":
                    self.answered.add(call.call_id)
                case CallEnded(call_id=call_id):
                    self.answered.discard(call_id)
                case PauseReply(ref=ref):
                    reply = self._replies.pop(ref)
                    if not reply.done():  # else the wait for it was cancelled, or too long
                        reply.set_result(message)
                case _:
                    pass

    async def pause(self, call_id: str, took: list[float]) -> None:
        """Pause a call's recording and resume it; add to `took` the seconds until the confirmation.

        A pause that is not confirmed in time counts as `PAUSE_PATIENCE_S`. If the flood ends before
        the confirmation, the time until then counts.
        """
        begun, durable = time.perf_counter(), True
        try:
            durable = await self._command(
                Pause(next(self._refs), "page", "page", "user:x", call_id=call_id)
            )
        finally:
            took.append(time.perf_counter() - begun if durable else PAUSE_PATIENCE_S)
        await self._command(Resume(next(self._refs), "page", "page", "user:x", call_id=call_id))

    async def _command(self, command: Pause | Resume) -> bool:
        assert self._link is not None
        reply: asyncio.Future[PauseReply] = asyncio.get_running_loop().create_future()
        self._replies[command.ref] = reply
        self._link.send(command)
        try:
            async with asyncio.timeout(PAUSE_PATIENCE_S):
                return (await reply).durable
        except TimeoutError:
            return False


@contextlib.asynccontextmanager
async def switch(folder: Path, calls: int) -> AsyncIterator[Switch]:
    """Run a switch on free ports until the block ends."""
    ports = {
        "udp": free_port(SWITCH),
        "tcp": free_port(SWITCH),
        "tls": free_port(SWITCH),
        "pbx": free_port(CALLEE),
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
            ha1=ha1("301", "galwad", "secret"),
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


async def measure_idle(stage: Stage, at: Switch, count: int) -> float:
    """Return the kB of resident memory that each of `count` calls in progress adds."""
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


def register(port: int) -> None:
    """Register the phone at `KNOWN`.

    Raises:
        SystemExit: The switch does not accept the registration.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((KNOWN, 0))
        made.settimeout(5.0)
        made.connect((SWITCH, port))
        client, credentials = DigestClient("301", "secret"), ""
        for number in (1, 2):
            asked = (
                f"REGISTER sip:galwad SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {KNOWN}:5060;branch=z9hG4bK{number};rport\r\n"
                f"From: <sip:301@galwad>;tag=1\r\nTo: <sip:301@galwad>\r\nCall-ID: r@{KNOWN}\r\n"
                f"CSeq: {number} REGISTER\r\nContact: <sip:301@{KNOWN}:5060>\r\nExpires: 3600\r\n"
                f"Max-Forwards: 70\r\n{credentials}Content-Length: 0\r\n\r\n"
            ).encode()
            made.send(asked)
            request, response = parse_message(asked), parse_message(made.recv(4096))
            if not isinstance(request, Request) or not isinstance(response, Response):
                raise SystemExit("the switch did not respond to a REGISTER")
            if response.status == 200:
                return
            header = client.answer(request, response, "cnonce")
            credentials = f"{header[0]}: {header[1]}\r\n" if header else ""
    raise SystemExit("the phone cannot register")


async def keep_pausing(at: Switch, took: list[float]) -> None:
    """Pause one answered call after another; add to `took` the seconds that each pause took."""
    while True:
        if at.answered:
            await at.pause(random.choice(sorted(at.answered)), took)
        await asyncio.sleep(PAUSE_EVERY_S)


def percentile_ms(took: list[float], percent: int) -> float:
    """Return the percentile of some times in seconds, in ms."""
    ordered = sorted(took)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 1)


@dataclass
class Probes:
    """Calls placed and hung up during a flood: their outcomes, and the times of their setup."""

    stage: Stage
    outcomes: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    async def one(self) -> None:
        """Place a call and hang up."""
        begun = time.perf_counter()
        call = await self.stage.dial()
        refusal = call.outcome
        self.took.append(time.perf_counter() - begun)
        await self.stage.hang_up(call)
        self.outcomes[refusal or call.outcome] += 1

    def figures(self) -> dict[str, object]:
        """Return the counts of outcomes and the setup times."""
        total, refused = self.outcomes.total(), self.outcomes["503"]
        return {
            "further_calls": total,
            "refused": refused,
            "failed": total - self.outcomes["ended"] - refused,
            "outcomes": dict(self.outcomes),
            "setup_ms_median": round(statistics.median(self.took) * 1000, 1),
            "setup_ms_worst": round(max(self.took) * 1000, 1),
        }


async def run(
    flood: Flood, stage: Stage, at: Switch, calls: int, seconds: float
) -> dict[str, object]:
    """Run the flood beside calls that talk and calls that come and go; return the figures."""
    held = [await stage.dial() for _ in range(calls)]
    voices = [v for call in held if call.callee for v in (call.caller, call.callee)]
    silence, probes = asyncio.Event(), Probes(stage)
    before = at.figures
    resident = peak = at.resident_kb()
    at.worst_lag_ms = 0.0
    paused: list[float] = []
    talking = asyncio.create_task(talk(voices, silence))
    pausing = asyncio.create_task(keep_pausing(at, paused))
    async with asyncio.TaskGroup() as group:
        with running(flood, at.ports) as sent:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                group.create_task(probes.one())
                await asyncio.sleep(PROBE_EVERY_S)
                peak = max(peak, at.resident_kb())
            thrown = sent.value
            pausing.cancel()
    silence.set()
    await talking
    at.told.clear()
    await at.told.wait()  # the next figures include the flood's last seconds
    for call in held:
        await stage.hang_up(call)
    spoken = sum(voice.sent for voice in voices)
    return {
        "thrown_per_second": round(thrown / seconds),
        "talking": len(voices) // 2,
        "rtp_sent": spoken,
        "lost": spoken - sum(len(voice.heard) for voice in voices),
        "pauses": len(paused),
        "pause_ms_p50": percentile_ms(paused, 50),
        "pause_ms_p99": percentile_ms(paused, 99),
        **probes.figures(),
        "resident_mb": round(resident / 1024, 1),
        "resident_mb_peak": round(peak / 1024, 1),
        **_told(before, at),
    }


def _told(before: Figures | None, at: Switch) -> dict[str, object]:
    """Return the switch's own figures: what has grown since `before`, and present values."""
    after = at.figures
    if after is None:
        raise SystemExit("the switch told no figures")
    shed, refused = (before.sip_shed, before.calls_refused) if before else (0, 0)
    return {
        "lag_ms_worst": at.worst_lag_ms,
        "shed": after.sip_shed - shed,
        "refused_503": after.calls_refused - refused,
        "banned_now": after.sources_banned,
        "faults": after.faults,
    }


async def measure(calls: int, seconds: float, idle: int, only: str) -> dict[str, object]:
    """Measure the memory of idle calls, then every flood."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        async with switch(folder, max(calls + 30, idle + 10)) as at:
            stage = Stage(Address(SWITCH, at.ports["udp"]))
            await stage.open(at.ports["pbx"])
            memory = await measure_idle(stage, at, idle)
            print(f"{memory:.0f} kB resident for each of {idle} idle calls")
            rows = []
            register(at.ports["udp"])
            for name, flood in FLOODS.items():
                if only not in name:
                    continue
                row = {"flood": name, **await run(flood, stage, at, calls, seconds)}
                rows.append(row)
                print(
                    f"{row['flood']:14} {row['thrown_per_second']:8} a second"
                    f" {row['lost']:5} of {row['rtp_sent']} RTP lost"
                    f" {row['pause_ms_p50']:6} ms pause, p99 {row['pause_ms_p99']:7} ms"
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
    parser.add_argument("--only", default="", help="a part of the names of the floods to run")
    options = parser.parse_args()
    seconds = options.seconds or (2.0 if options.quick else 4.0)
    idle = options.idle or (50 if options.quick else 200)
    ends_within(600)
    print(json.dumps(uvloop.run(measure(options.calls, seconds, idle, options.only))))


if __name__ == "__main__":
    main()
