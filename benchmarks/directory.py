"""Measures an import of a million people, and how long requests take meanwhile.

    python benchmarks/directory.py [--quick] [--people 1000000]

A whole site runs: switch, desk and finaliser, with one call in which both parties talk. A client
pauses and resumes the recording of this call, and looks a number up in the directory, again and
again with 50 ms between. Another client signs in, with 2 s between. Meanwhile `galwad directory
import` puts `people` people into the empty directory (`first`), and then imports the same file
again (`again`), which replaces each person and erases the replaced file. Of every four seconds, the
import is stopped for two (SIGSTOP). The requests of these seconds are those `without` an import, so
that both have the same load by other users of the machine.

Before and after this, `bare_cpu_s` reads the file with Python's csv module, and inserts the rows
into the same tables without checks. `cpu_to_bare` is the CPU time of an import divided by this CPU
time.

The file is in no sequence, and 96 of 100 people have only numbers in a usual form of the UK.
`seconds` are those in which the import was not stopped. In `queued_s` of them, it waited for a core
that another process had. `ms` has for each kind of request the number of requests, the median, the
99th percentile and the longest, in ms, and how many took more than 250 ms. Most of a sign-in is
argon2, which checks the password. `failed` are requests that were refused. `peak_mb` is the highest
resident memory of the import, and `lost` are RTP packets of the call that did not reach the other
party. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import csv
import json
import random
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import uvloop
from _common import CALLER, FIRST_PORT, SWITCH, all_files, cpu_us, machine, peak_mb
from _parties import Call, Stage, Voice, talk
from _site import ADMIN, PASSWORD, Site, site

from callerid.directories.embedded import EmbeddedDirectory
from callerid.directory import TABLES
from callerid.number import PhoneNumber
from telephony.sip.events import Address

BETWEEN_S, BETWEEN_SIGN_INS_S = 0.05, 2.0
SAMPLED_EVERY_S = 0.05
PATIENCE_S = 20.0
LATE_MS = 250.0
TURN_S = 2.0
"""The seconds for which the import works or is stopped, in turn."""
IMPORTS, WITHOUT = ("first", "again"), "without"
COLUMNS = (
    *("reference", "name", "numbers", "language", "kind", "shared", "do_not_pop"),
    *("address", "postcode", "email", "date_of_birth", "notes"),
)
FIRST = ("Elin", "Huw", "Siân", "Gwen", "Owen", "Mair", "Rhys", "Nia", "Ceri", "Dafydd")
LAST = ("Evans", "Jones", "Davies", "Williams", "Thomas", "Roberts", "Lewis", "Hughes", "Morgan")


def write_people(path: Path, count: int) -> None:
    """Write a CSV file with invented people. No number in it belongs to a person."""
    chance = random.Random(count)
    order = list(range(count))
    chance.shuffle(order)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for each in order:
            writer.writerow(_person(each, chance))


def _person(each: int, chance: random.Random) -> tuple[str, ...]:
    kind = chance.random()
    numbers = [f"01632 {each % 1_000_000:06}"]
    if kind < 0.5:
        numbers.append(f"+44 1632 {chance.randrange(1_000_000):06}")
    if kind > 0.96:
        numbers = [f"01632 {each % 1_000_000:06} x{chance.randrange(100, 1000)}"]
    if kind > 0.99:
        numbers = [f"+1 202 555 01{chance.randrange(100):02}"]
    return (
        f"C-{each:07}",
        f"{chance.choice(FIRST)} {chance.choice(LAST)}",
        "|".join(numbers),
        chance.choice(("cy", "en", "en", "")),
        "person" if kind < 0.97 else "organisation",
        "yes" if kind > 0.9 else "no",
        "no",
        f"{chance.randrange(1, 200)} Example Street, Exampleton",
        f"ZZ{chance.randrange(10, 99)} {chance.randrange(1, 9)}ZZ",
        f"{each}@example.org",
        f"19{chance.randrange(30, 99)}-0{chance.randrange(1, 9)}-1{chance.randrange(10)}",
        "",
    )


@dataclass
class Requests:
    """Requests of several kinds, each repeated, with the duration of each in ms by phase."""

    client: httpx2.AsyncClient
    call_id: str
    directory: EmbeddedDirectory
    phase: str = WITHOUT
    took: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)

    async def run(self, stop: asyncio.Event) -> None:
        """Send all kinds of requests until `stop` is set. A resume follows each pause."""
        calls = {"pause": self._pause, "resume": self._resume, "lookup": self._look_up}
        sign_ins = {"sign-in": self._sign_in}
        await asyncio.gather(
            self._repeat(calls, BETWEEN_S, stop), self._repeat(sign_ins, BETWEEN_SIGN_INS_S, stop)
        )

    async def _repeat(
        self,
        kinds: Mapping[str, Callable[[], Awaitable[None]]],
        between_s: float,
        stop: asyncio.Event,
    ) -> None:
        while not stop.is_set():
            for kind, work in kinds.items():
                await self._timed(kind, work)
                await asyncio.sleep(between_s)

    async def _timed(self, kind: str, work: Callable[[], Awaitable[None]]) -> None:
        took = self.took.setdefault(self.phase, {}).setdefault(kind, [])
        begun = time.perf_counter()
        try:
            await work()
        except httpx2.HTTPError:
            self.failed[self.phase] += 1
        took.append((time.perf_counter() - begun) * 1000)

    async def _pause(self) -> None:
        (await self.client.put(f"/api/v1/calls/{self.call_id}/payment")).raise_for_status()

    async def _resume(self) -> None:
        (await self.client.delete(f"/api/v1/calls/{self.call_id}/payment")).raise_for_status()

    async def _sign_in(self) -> None:
        who = {"user": ADMIN, "password": PASSWORD, "client": "cli"}
        (await self.client.post("/api/v1/login", json=who)).raise_for_status()

    async def _look_up(self) -> None:
        await self.directory.find(PhoneNumber("+441632000017"))

    def figures(self, phase: str) -> dict[str, object]:
        """Return the figures of the requests that began in this phase."""
        spread = {kind: _spread(took) for kind, took in self.took.get(phase, {}).items()}
        return {"ms": spread, "failed": self.failed[phase]}


def _spread(took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "times": len(ordered),
        "p50": round(ordered[len(ordered) // 2], 1),
        "p99": round(ordered[len(ordered) * 99 // 100], 1),
        "max": round(ordered[-1], 1),
        "late": sum(each > LATE_MS for each in ordered),
    }


def bare_cpu_s(file: Path) -> float:
    """Put the people into a new database, unchecked and with numbers as written; return the CPU."""
    database, begun = file.with_name("bare.db"), time.process_time()
    person = f"INSERT INTO people VALUES ({', '.join('?' * 13)})"
    with (
        file.open(newline="", encoding="utf-8") as lines,
        contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection,
    ):
        connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
        connection.executescript(f"PRAGMA cache_size = -65536; BEGIN; {TABLES}")
        rows = enumerate(islice(csv.reader(lines), 1, None), 1)
        while chunk := list(islice(rows, 1000)):
            connection.executemany(person, [(id_, *row[:2], *row[3:], id_) for id_, row in chunk])
            connection.executemany(
                "INSERT OR IGNORE INTO numbers VALUES (?, '', ?)",
                [(number, id_) for id_, row in chunk for number in row[2].split("|")],
            )
        connection.execute("COMMIT")
    database.unlink()
    return time.process_time() - begun


def queued_s(pid: int) -> float:
    """Return the seconds for which a process's main thread waited for a core so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


async def import_people(at: Site, file: Path, requests: Requests, phase: str) -> dict[str, object]:
    """Import the file, and stop the import for half of the time; return the import's figures."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "galwad", "directory", "import", str(file), "--json"),
        *("--config", str(at.settings_file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(process.communicate())
    peak = cpu = queued = working = 0.0
    try:
        while not ended.done():
            requests.phase, begun = phase, time.perf_counter()
            while not ended.done() and time.perf_counter() < begun + TURN_S:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    peak = max(peak, peak_mb(process.pid))
                    cpu = max(cpu, cpu_us(process.pid) / 1e6)
                    queued = max(queued, queued_s(process.pid))
                await asyncio.wait({ended}, timeout=SAMPLED_EVERY_S)
            working += time.perf_counter() - begun
            if not ended.done():
                process.send_signal(signal.SIGSTOP)
                requests.phase = WITHOUT
                await asyncio.sleep(TURN_S)
                process.send_signal(signal.SIGCONT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()  # if this benchmark is interrupted
    requests.phase = WITHOUT
    output, _ = ended.result()
    if process.returncode:
        raise SystemExit("the import failed")
    counts = json.loads(output)
    took = {"seconds": round(working, 1), "cpu_s": round(cpu, 1), "queued_s": round(queued, 1)}
    return {**took, "peak_mb": peak, **counts}


@contextlib.asynccontextmanager
async def talking(at: Site) -> AsyncIterator[Call]:
    """Place a call, and let both parties talk until the block ends."""
    stage = Stage(Address(SWITCH, at.sip))
    await stage.open(at.pbx)
    call = await stage.dial(Call(Voice(CALLER)))
    if call.outcome or call.callee is None:
        raise SystemExit(f"the call was not answered: {call.outcome}")
    stop = asyncio.Event()
    voices = asyncio.create_task(talk([call.caller, call.callee], stop))
    try:
        yield call
    finally:
        stop.set()
        await voices
        await stage.hang_up(call)


async def id_of_the_call(client: httpx2.AsyncClient) -> str:
    """Wait until the desk shows the call, and return its id."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            pops = (await client.get("/api/v1/calls")).raise_for_status().json()
            if pops:
                return str(pops[0]["call_id"])
            await asyncio.sleep(0.05)


async def measure(at: Site, file: Path) -> dict[str, Any]:
    """Send requests during two imports; return all figures."""
    token = await asyncio.to_thread(at.sign_in)
    headers = {"Authorization": f"Bearer {token}"}
    directory = EmbeddedDirectory(at.database.with_name("directory.db"))
    figures: dict[str, Any] = {}
    async with (
        httpx2.AsyncClient(base_url=at.url, headers=headers, timeout=60) as client,
        talking(at) as call,
    ):
        call_id = await id_of_the_call(client)
        requests, stop = Requests(client, call_id, directory), asyncio.Event()
        sending = asyncio.create_task(requests.run(stop))
        imports = {name: await import_people(at, file, requests, name) for name in IMPORTS}
        stop.set()
        await sending
    for name in (*IMPORTS, WITHOUT):
        figures[name] = imports.get(name, {}) | requests.figures(name)
        print(f"{name:<8}", figures[name])
    caller, callee = call.caller, call.callee or call.caller
    pairs = ((caller, callee), (callee, caller))
    sent = sum(mouth.sent for mouth, _ in pairs)
    lost = sum(len({n & 0xFFFF for n in range(mouth.sent)} - ear.heard) for mouth, ear in pairs)
    return figures | {"sent": sent, "lost": lost}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="50,000 people")
    parser.add_argument("--people", type=int, default=None)
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, help="of the media")
    options = parser.parse_args()
    people = options.people or (50_000 if options.quick else 1_000_000)
    all_files()
    with site(20, options.first_port) as at:
        at.add_users()
        file = at.folder / "people.csv"
        write_people(file, people)
        size = file.stat().st_size
        bare = bare_cpu_s(file)
        with at.running("desk", "finaliser", "switch"):
            figures = uvloop.run(measure(at, file))
        bare = (bare + bare_cpu_s(file)) / 2
        ratios = {name: round(figures[name]["cpu_s"] / bare, 2) for name in IMPORTS}
        figures |= {"bare_cpu_s": round(bare, 1), "cpu_to_bare": ratios}
    facts = {"benchmark": "directory", "machine": machine(), "people": people, "bytes": size}
    print(json.dumps(facts | figures))


if __name__ == "__main__":
    main()
