"""Measures how long pauses take, and how many fail, while the desk is flooded.

    python benchmarks/desk_flood.py [--quick] [--seconds 10] [--only streams] [--files 1024]

The real switch and desk run on the loopback, with one call in progress. The desk may open `files`
files. One flood after another runs at the same time, as fast as one process can send: connections
that send nothing, from four addresses, from a thousand, or from the supervisor's; requests of which
half is missing; sign-ins with wrong passwords; requests with cookies of no session; and event
streams of one advisor's many sessions.

Meanwhile a supervisor, who has an open event stream, pauses or resumes the call every 0.1 s,
each time over a new connection (`new_ms`) and over one that is kept (`kept_ms`). Event streams are
all open before the first pause. `refused` are requests without the answer 200 within five seconds.
`cores` is the desk's CPU time during the probes, in seconds per second: it does not depend on other
programs on the machine. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from dataclasses import dataclass, field

import httpx2
import uvloop
from _common import (
    SWITCH,
    all_files,
    cpu_us,
    daemon,
    ends_within,
    machine,
    peak_mb,
    resident_kb,
    said,
)
from _desk_floods import FLOODS, DeskFlood, streams
from _floods import running
from _parties import Stage
from _site import Site, site

from galwad.host.database import open_engine
from galwad.people.sessions import Sessions
from telephony.sip.events import Address

ADVISOR, SUPERVISOR = "sian", "mair"
PER_SESSION = 8
"""The streams that a session may have."""
PATIENCE_S = 5.0


@dataclass
class Probes:
    """Pauses and resumes: their times in ms, and how many failed."""

    times: list[float] = field(default_factory=list)
    refused: int = 0

    async def one(self, client: httpx2.AsyncClient, path: str, method: str) -> None:
        """Send one request and count its outcome."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE_S):
                reply = await client.request(method, path)
        except (httpx2.HTTPError, TimeoutError):
            self.refused += 1
            return
        if reply.status_code != 200:
            self.refused += 1
            return
        self.times.append((time.perf_counter() - began) * 1000)

    def figures(self) -> dict[str, object]:
        """Return the median and 99th percentile."""
        if len(self.times) < 2:
            return {"p50": None, "p99": None, "refused": self.refused}
        cuts = statistics.quantiles(self.times, n=100, method="inclusive")
        return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "refused": self.refused}


async def probe(
    at: Site, token: str, call_id: str, seconds: float, every: float
) -> dict[str, object]:
    """Pause and resume again and again; return the figures."""
    new, kept = Probes(), Probes()
    bearer = {"Authorization": f"Bearer {token}"}
    path = f"/api/v1/calls/{call_id}/payment"
    several = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with (
        httpx2.AsyncClient(base_url=at.url, headers=bearer, limits=several, timeout=None) as fresh,
        httpx2.AsyncClient(base_url=at.url, headers=bearer, timeout=None) as steady,
        asyncio.TaskGroup() as group,
    ):
        until = time.perf_counter() + seconds
        number = 0
        while time.perf_counter() < until:
            method = "PUT" if number % 2 == 0 else "DELETE"
            group.create_task(new.one(fresh, path, method))
            group.create_task(kept.one(steady, path, method))
            number += 1
            await asyncio.sleep(every)
    return {"new_ms": new.figures(), "kept_ms": kept.figures()}


async def page(at: Site, token: str) -> None:
    """Keep an event stream of the supervisor open, as a page does; connect again after its end."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=at.url, headers=bearer, timeout=None) as client:
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                async with client.stream("GET", "/api/v1/events") as stream:
                    async for _ in stream.aiter_bytes():
                        continue
            await asyncio.sleep(0.5)


async def call_in_progress(at: Site, token: str) -> str:
    """Return the id of the call, which the desk must have heard of."""
    bearer = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=at.url, headers=bearer, timeout=PATIENCE_S) as client:
        while True:
            found = (await client.get("/api/v1/calls")).json()
            calls = found["calls"] if isinstance(found, dict) else found
            if calls:
                return str(calls[0]["call_id"])
            await asyncio.sleep(0.1)


async def open_sessions(at: Site, count: int) -> list[str]:
    """Return the tokens of this number of sessions of the advisor."""
    engine = open_engine(at.database)
    sessions = Sessions(engine)
    tokens = [await sessions.open(ADVISOR, "cli") for _ in range(count)]
    await engine.dispose()
    return tokens


async def measure(at: Site, desk: int, options: argparse.Namespace) -> list[dict[str, object]]:
    """Measure the pauses without a flood, and with each one."""
    stage = Stage(Address(SWITCH, at.sip))
    await stage.open(at.pbx)
    call = await stage.dial()
    token = await asyncio.to_thread(at.sign_in, SUPERVISOR)
    sessions = -(-options.streams // PER_SESSION)
    advisors = await open_sessions(at, sessions)
    call_id = await call_in_progress(at, token)
    reading = asyncio.create_task(page(at, token))
    floods: dict[str, DeskFlood | None] = {"nothing": None}
    floods[f"{options.streams} streams"] = streams(advisors, options.streams)
    floods[f"{options.streams} streams of one session"] = streams(advisors[:1], options.streams)
    floods.update(FLOODS)
    rows = []
    for name, flood in floods.items():
        row: dict[str, object] = {"flood": name}
        if options.only not in name:
            continue
        with contextlib.ExitStack() as stack:
            sent = None
            if flood is not None:
                sent = stack.enter_context(running(flood, {"desk": at.desk}))
                while "streams" in name and sent.value < options.streams:  # noqa: ASYNC110 - a process counts
                    await asyncio.sleep(0.1)
                await asyncio.sleep(options.seconds / 2)
            before = cpu_us(desk)
            row |= await probe(at, token, call_id, options.seconds, options.every)
            row["cores"] = round((cpu_us(desk) - before) / 1e6 / options.seconds, 2)
            row["sent"] = sent.value if sent is not None else 0
            row["resident_mb"] = round(resident_kb(desk) / 1024, 1)
        rows.append(row)
        print(f"{name:26} {row}", flush=True)
        await asyncio.sleep(options.rest)
    reading.cancel()
    await stage.hang_up(call)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 s a flood")
    parser.add_argument("--seconds", type=float, default=None, help="of each flood's probes")
    parser.add_argument("--only", default="", help="the floods with this text in their names")
    parser.add_argument("--files", type=int, default=1024, help="that the desk may open")
    parser.add_argument("--every", type=float, default=0.1, help="seconds between two probes")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rest", type=float, default=2.0, help="seconds between two floods")
    options = parser.parse_args()
    options.seconds = options.seconds or (3.0 if options.quick else 10.0)
    all_files()
    ends_within(600)
    with site(50) as at:
        at.add_users(SUPERVISOR, ADVISOR)
        command = ["prlimit", f"--nofile={options.files}:{options.files}", sys.executable]
        command += ["-m", "galwad", "serve", "--only", "desk", "--config", str(at.settings_file)]
        log = at.log("desk")
        with at.running("switch"), daemon(command, log, said(log, b"desk.ready")) as desk:
            rows = uvloop.run(measure(at, desk.pid, options))
            peak = peak_mb(desk.pid)
    told = {"files": options.files, "seconds": options.seconds, "peak_mb": peak, "floods": rows}
    print(json.dumps({"benchmark": "desk_flood", "machine": machine(), **told}))


if __name__ == "__main__":
    main()
