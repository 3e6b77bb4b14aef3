"""Measures the time from an INVITE on the wire to the caller's name on the page's event stream.

    python benchmarks/lookup.py [--quick] [--people 1000000] [--rounds 5]

A site runs with switch and desk. A trunk calls with 1, 50 or 100 calls, 10 ms one after another and
each from another number, and all ring at the same time. A PBX answers each with 180. The trunk
sends an INVITE again after 0.5 s without an answer (RFC 3261, timer A). A supervisor's event stream
receives the pops. `name_ms` has the median and the 95th and 99th percentile of the time until the
stream has the caller's name, and `ringing_ms` of the time until the caller has the 180. Then the
calls are cancelled. This is repeated `rounds` times.

`directory` are callers whom only the embedded directory has, with `people` imported people, and no
CRM. `crm` are callers whom only a CRM has, which answers over HTTP after 150 ms. With `hangs`,
`garbage` and `down`, the CRM never answers, answers with half a megabyte that is not JSON, or does
not listen; the callers are in the embedded directory. `missed` are names that did not come within
20 s. `search_ms` is the time of 1,000 searches in the embedded directory, one after another. The
last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx2
import uvloop
from _common import CALLEE, CALLER, SWITCH, daemon, free_port, machine, said
from _site import LINE, Site, site
from directory import write_people

from callerid.directories.embedded import EmbeddedDirectory
from callerid.number import PhoneNumber

AT_ONCE = (1, 50, 100)
CRMS = ("crm", "hangs", "garbage", "down")
PATIENCE_S = 20.0
BETWEEN_S = 0.01
TIMER_A_S = 0.5
SEARCHES = 1000
KNOWN = 10_000
CRM = """
[[directories]]
name = "crm"
kind = "http"
url = "http://{host}:{port}/search"
method = "POST"
body = {{ phone = "{{e164}}" }}
people = "people"
fields = {{ id = "id", name = "name", numbers = "phone" }}
concurrency = 50
keep_found = 0.0
keep_not_found = 0.0
"""


def percentiles(values: Sequence[float]) -> list[float]:
    """Return the median and the 95th and 99th percentile, in ms."""
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else []
    chosen = [cuts[49], cuts[94], cuts[98]] if cuts else list(values) * 3
    return [round(each * 1000, 1) for each in chosen]


def header(text: str, name: str) -> str:
    """Return the value of the first header field with this name."""
    for line in text.split("\r\n"):
        if line.lower().startswith(f"{name.lower()}:"):
            return line.partition(":")[2].strip()
    return ""


class Pbx(asyncio.DatagramProtocol):
    """The party that rings: it answers INVITE with 180 and CANCEL with 200 and 487."""

    def __init__(self) -> None:
        self._invites: dict[str, str] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a request."""
        text = data.decode()
        method, call_id = text.split(" ", 1)[0], header(text, "Call-ID")
        if method == "INVITE" and call_id not in self._invites:
            self._invites[call_id] = text
            self._answer(text, "180 Ringing", addr)
        elif method == "CANCEL":
            self._answer(text, "200 OK", addr)
            self._answer(self._invites[call_id], "487 Request Terminated", addr)

    def _answer(self, request: str, status: str, addr: tuple[str, int]) -> None:
        vias = [each for each in request.split("\r\n") if each.lower().startswith("via:")]
        kept = [f"{name}: {header(request, name)}" for name in ("From", "Call-ID", "CSeq")]
        to = f"To: {header(request, 'To')};tag=callee"
        contact = f"Contact: <sip:600@{CALLEE}>"
        lines = [f"SIP/2.0 {status}", *vias, *kept, to, contact, "Content-Length: 0", "", ""]
        self._transport.sendto("\r\n".join(lines).encode(), addr)


@dataclass
class Calling:
    """One call: when it was sent, and when the caller heard that it rings."""

    number: str
    sent: float = 0.0
    ringing: float = 0.0
    status: str = ""
    """The last status code that the caller got."""

    @property
    def ended(self) -> bool:
        """True if the call was refused, or has ended after its cancellation."""
        return self.status >= "300"


class Trunk(asyncio.DatagramProtocol):
    """The party that calls."""

    def __init__(self, switch: tuple[str, int]) -> None:
        self._switch = switch
        self.calls: dict[str, Calling] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def call(self, number: str) -> Calling:
        """Send an INVITE from this number, in E.164."""
        call_id = f"{random.getrandbits(64):x}@{CALLER}"
        calling = self.calls[call_id] = Calling(number)
        calling.sent = time.monotonic()
        self._invite(call_id, TIMER_A_S)
        return calling

    def _invite(self, call_id: str, wait_s: float) -> None:
        if not self.calls[call_id].status:
            self._send("INVITE", call_id, f"<sip:{LINE}@{SWITCH}>")
            asyncio.get_running_loop().call_later(wait_s, self._invite, call_id, 2 * wait_s)

    def cancel_all(self) -> None:
        """Cancel every call that has not ended."""
        for call_id, calling in self.calls.items():
            if not calling.ended:
                self._send("CANCEL", call_id, f"<sip:{LINE}@{SWITCH}>")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Note a 180, and acknowledge the end of a call."""
        del addr
        now = time.monotonic()
        text = data.decode()
        call_id = header(text, "Call-ID")
        calling, status = self.calls[call_id], text.split(" ", 2)[1]
        if header(text, "CSeq").endswith("CANCEL"):
            return
        calling.status = status
        if status == "180" and not calling.ringing:
            calling.ringing = now
        elif calling.ended:
            self._send("ACK", call_id, header(text, "To"))

    def _send(self, method: str, call_id: str, to: str) -> None:
        calling = self.calls[call_id]
        branch = call_id.partition("@")[0]
        lines = [
            f"{method} sip:{LINE}@{SWITCH} SIP/2.0",
            f"Via: SIP/2.0/UDP {CALLER}:{self.port};branch=z9hG4bK{branch}",
            f"From: <sip:{calling.number}@{CALLER}>;tag={branch}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: 1 {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:{calling.number}@{CALLER}:{self.port}>",
            "Content-Length: 0",
            "",
            "",
        ]
        self._transport.sendto("\r\n".join(lines).encode(), self._switch)

    @property
    def port(self) -> int:
        """The port from which the trunk calls."""
        return int(self._transport.get_extra_info("sockname")[1])


@dataclass
class Stream:
    """The supervisor's event stream: when each number got its name."""

    named: dict[str, float] = field(default_factory=dict)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, url: str, token: str) -> None:
        """Read the stream until cancelled."""
        headers = {"Authorization": f"Bearer {token}"}
        client = httpx2.AsyncClient(base_url=url, headers=headers, timeout=None, trust_env=False)
        async with client, client.stream("GET", "/api/v1/events") as reply:
            async for line in reply.aiter_lines():
                now = time.monotonic()
                self.opened.set()
                if line.startswith("data: "):
                    caller = json.loads(line[6:]).get("caller") or {}
                    number = (caller.get("number_display") or "").replace(" ", "")
                    if caller.get("candidates"):
                        self.named.setdefault(number, now)


@contextlib.contextmanager
def crm(at: Site, kind: str, port: int) -> Iterator[None]:
    """Run the CRM; with "down", nothing listens on its port."""
    if kind == "down":
        yield
        return
    kind = "answers" if kind == "crm" else kind
    log = at.folder / "crm.log"
    script = str(Path(__file__).with_name("_crm.py"))
    with daemon([sys.executable, script, SWITCH, str(port), kind], log, said(log, b"ready")):
        yield


@contextlib.asynccontextmanager
async def parties(at: Site) -> AsyncIterator[tuple[Trunk, Stream]]:
    """Open the trunk, the PBX and the event stream."""
    loop = asyncio.get_running_loop()
    callee, _ = await loop.create_datagram_endpoint(Pbx, (CALLEE, at.pbx))
    caller, trunk = await loop.create_datagram_endpoint(
        lambda: Trunk((SWITCH, at.sip)), (CALLER, 0)
    )
    stream = Stream()
    reading = asyncio.create_task(stream.read(at.url, await asyncio.to_thread(at.sign_in)))
    try:
        await stream.opened.wait()
        yield trunk, stream
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        caller.close()
        callee.close()


async def ring(at: Site, numbers: Sequence[str], at_once: int, rounds: int) -> dict[str, object]:
    """Call with `at_once` calls at a time; return the figures."""
    unused = iter(numbers)
    names: list[float] = []
    ringing: list[float] = []
    missed = 0
    async with parties(at) as (trunk, stream):
        for _ in range(rounds):
            calls = []
            for _ in range(at_once):
                calls.append(trunk.call(next(unused)))
                await asyncio.sleep(BETWEEN_S)
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                wanted = {f"0{call.number[3:]}" for call in calls}
                if wanted <= stream.named.keys() and all(call.ringing for call in calls):
                    break
                await asyncio.sleep(0.01)
            for call in calls:
                named = stream.named.get(f"0{call.number[3:]}")
                missed += named is None
                names += [] if named is None else [named - call.sent]
                ringing += [call.ringing - call.sent] if call.ringing else []
            trunk.cancel_all()
            await asyncio.sleep(1.0)
    return {
        "calls": at_once * rounds,
        "name_ms": percentiles(names) if names else [],
        "ringing_ms": percentiles(ringing) if ringing else [],
        "missed": missed,
    }


async def search(at: Site, numbers: Sequence[str]) -> list[float]:
    """Return the percentiles of searches in the embedded directory."""
    directory = EmbeddedDirectory(at.database.with_name("directory.db"))
    took = []
    for number in numbers:
        begun = time.monotonic()
        await directory.find(PhoneNumber(number))
        took.append(time.monotonic() - begun)
    return percentiles(took)


def measure(at: Site, kind: str, known: Sequence[str], rounds: int) -> dict[str, object]:
    """Measure one kind of directory at each number of calls; print and return the figures."""
    unknown = [f"+441999{number:06}" for number in range(len(known))]
    numbers = unknown if kind == "crm" else known
    plain, port = at.settings_file.read_text(encoding="utf-8"), free_port(SWITCH)
    if kind != "directory":
        text = plain + CRM.format(host=SWITCH, port=port)
        at.settings_file.write_text(text, encoding="utf-8")
    figures: dict[str, object] = {}
    with contextlib.ExitStack() as stack:
        if kind != "directory":
            stack.enter_context(crm(at, kind, port))
        stack.enter_context(at.running("switch", "desk"))
        for at_once in AT_ONCE:
            used = random.sample(numbers, at_once * rounds)
            figures[str(at_once)] = row = uvloop.run(ring(at, used, at_once, rounds))
            print(f"{kind:<9} {at_once:>3} at once", row, flush=True)
    at.settings_file.write_text(plain, encoding="utf-8")
    return figures


def import_people(at: Site, count: int) -> list[str]:
    """Import people into the embedded directory; return 10,000 numbers of those people."""
    file = at.folder / "people.csv"
    write_people(file, count)
    command = [sys.executable, "-m", "galwad", "directory", "import", str(file)]
    command += ["--config", str(at.settings_file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    numbers = []
    with file.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            digits = row["numbers"].partition("|")[0].replace(" ", "")
            if digits.startswith("01632") and digits.isdecimal():
                numbers.append(f"+44{digits[1:]}")
            if len(numbers) == KNOWN:
                break
    return numbers


def main() -> None:
    """Measure all kinds of directories and print the figures."""
    parser = argparse.ArgumentParser(description="The time from an INVITE to the caller's name.")
    parser.add_argument("--quick", action="store_true", help="20,000 people, 2 rounds")
    parser.add_argument("--people", type=int, default=1_000_000, help="in the embedded directory")
    parser.add_argument("--rounds", type=int, default=5, help="of each number of calls")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    people, rounds = (20_000, 2) if wanted.quick else (wanted.people, wanted.rounds)
    with site(calls=200) as at:
        at.add_users()
        known = import_people(at, people)
        figures: dict[str, object] = {"search_ms": asyncio.run(search(at, known[:SEARCHES]))}
        print("search    ", figures["search_ms"], flush=True)
        for kind in ("directory", *CRMS):
            figures[kind] = measure(at, kind, known, rounds)
    print(json.dumps({"machine": machine(), "people": people, "figures": figures}))


if __name__ == "__main__":
    main()
