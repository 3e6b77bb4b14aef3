"""Measures the time of a search in an index of a million recordings.

    python benchmarks/listing.py [--quick] [--rows 1000000] [--rounds 30]

The database is a new one with invented rows (_rows.py), served by the real desk. Each search is for
a page of 50, as `galwad recordings list` requests it. It is made in three ways: by the index itself
(`index`, recording/index/), by a request to the desk, including its audit entry, which waits for
the disk (`http`), and, as a lower bound, by a bare SQL lookup of the same page's rows by their
primary keys (`bare`). Times are in ms of wall-clock time, because a user waits for them. The best
of some rounds shows what the work takes; the median also contains the machine's other work. `ratio`
is the best of the index divided by the best of the bare lookup. `command` is a whole `galwad
recordings list`, including the start of Python. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import httpx2
from _common import machine
from _rows import fill
from _site import Site, site

from galwad.host.database import open_engine
from recording.index.catalogue import Catalogue, Cursor, Filters, Page

PAGE = 50
DAY_S = 86400.0
_US = 1_000_000


@dataclass
class Search:
    """One search, as the index and as the API take it, and its times in ms."""

    filters: Filters
    body: dict[str, Any]
    after: Cursor | None = None
    rows: int = 0
    index: list[float] = field(default_factory=list)
    http: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Return the number of rows and the times."""
        return {
            "rows": self.rows,
            "bare": round(min(self.bare), 2),
            "index": round(min(self.index), 2),
            "index_median": round(statistics.median(self.index), 2),
            "ratio": round(min(self.index) / min(self.bare), 1),
            "http": round(min(self.http), 1),
            "http_median": round(statistics.median(self.http), 1),
        }


def searches(database: sqlite3.Connection) -> dict[str, Search]:
    """Return a first page, a deep page, and searches by each filter: common, rare or empty."""
    count, last = database.execute("SELECT count(*), max(started) FROM recordings").fetchone()
    deep = database.execute(
        "SELECT started, call_id FROM recordings ORDER BY started LIMIT 1 OFFSET ?", (count // 50,)
    ).fetchone()

    def one(what: str) -> str:
        return str(database.execute(f"SELECT {what} LIMIT 1").fetchone()[0])

    month = {"since": last - 800 * DAY_S, "until": last - 770 * DAY_S}
    wanted: dict[str, dict[str, Any]] = {
        "first page": {},
        "deep page": {},
        "number": {"number": one("number FROM recordings WHERE number IS NOT NULL")},
        "number, often": {
            "number": one("number FROM recordings GROUP BY 1 ORDER BY count(number) DESC")
        },
        "number, none": {"number": "+441632960999"},
        "advisor": {"advisor": "advisor7"},
        "advisor, deep": {"advisor": "advisor7"},
        "line, deep": {"line": "Council Tax"},
        "dates": month,
        "longer than 5 min": {"min_us": 300 * _US},
        "longer than 2 h": {"min_us": 7200 * _US},
        "longer than all": {"min_us": 10**6 * _US},
        "shorter than 5 s": {"max_us": 5 * _US},
        "payment": {"gap_reason": "payment"},
        "payment, deep": {"gap_reason": "payment"},
        "fault": {"gap_reason": "fault"},
        "erased, none": {"gap_reason": "erased"},
        "reference": {"reference": one("reference FROM recording_references")},
        "reference, none": {"reference": "C-none"},
        "flag": {"flag": "sensitive"},
        "flag, deep": {"flag": "sensitive"},
        "flag, none": {"flag": "restricted"},
        "flag and line": {"flag": "sensitive", "line": "Elections"},
        "flag and payment": {"flag": "sensitive", "gap_reason": "payment"},
        "advisor and fault": {"advisor": "advisor7", "gap_reason": "fault"},
        "line and advisor": {"line": "Elections", "advisor": "advisor7"},
        "line and long": {"line": "Council Tax", "min_us": 10**6 * _US},
        "payment and long": {"gap_reason": "payment", "min_us": 10**6 * _US},
        "payment, month": {"gap_reason": "payment", **month},
        "payment, line": {"gap_reason": "payment", "line": "Elections"},
    }
    names = {"min_us": "min_length_s", "max_us": "max_length_s"}
    return {
        name: Search(
            Filters(**given),
            {names.get(k, k): v / _US if k in names else v for k, v in given.items()},
            Cursor(*deep) if "deep" in name else None,
        )
        for name, given in wanted.items()
    }


def timed(took: list[float], begun: float) -> None:
    """Add the time since `begun` in ms."""
    took.append((time.perf_counter() - begun) * 1000)


async def measure(at: Site, token: str, rounds: int) -> dict[str, Search]:
    """Make every search once in each round."""
    database = sqlite3.connect(at.database)
    wanted = searches(database)
    engine = open_engine(at.database)
    catalogue = Catalogue(engine)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(base_url=at.url, headers=headers, timeout=60) as client:
        for number in range(rounds + 1):
            for search in wanted.values():
                begun = time.perf_counter()
                page = await catalogue.search(search.filters, PAGE, search.after)
                timed(search.index, begun)
                begun = time.perf_counter()
                by_key(database, page)
                timed(search.bare, begun)
                place = {} if search.after is None else {"after": str(search.after)}
                body = {**search.body, **place, "limit": PAGE}
                begun = time.perf_counter()
                reply = await client.post("/api/v1/recordings/search", json=body)
                timed(search.http, begun)
                same = [row.call_id for row in page.rows]
                if [row["call_id"] for row in reply.raise_for_status().json()["rows"]] != same:
                    raise SystemExit("the desk found something else")
                search.rows = len(page.rows)
                if number == 0:  # the first round includes one-time work
                    search.index.clear()
                    search.bare.clear()
                    search.http.clear()
    await engine.dispose()
    database.close()
    return wanted


def by_key(database: sqlite3.Connection, page: Page) -> None:
    """Read the page's rows by their keys; if it has no rows, look for a key that does not exist."""
    keys = [row.call_id for row in page.rows] or ["none"]
    marks = ",".join("?" * len(keys))
    database.execute(f"SELECT * FROM recordings WHERE call_id IN ({marks})", keys).fetchall()


def command(at: Site, token: str, rounds: int) -> float:
    """Return the ms that a whole command takes."""
    words = [sys.executable, "-m", "galwad", "recordings", "list", "--when", "last week"]
    took: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        done = subprocess.run(
            words,
            check=True,
            capture_output=True,
            env={**os.environ, "GALWAD_SERVER": at.url, "GALWAD_TOKEN": token},
        )
        timed(took, begun)
        if done.stdout.count(b"\n") <= PAGE:
            raise SystemExit("the command shows too little")
    return round(min(took))


def main() -> None:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100,000 rows, five rounds")
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=None)
    options = parser.parse_args()
    count = options.rows or (100_000 if options.quick else 1_000_000)
    rounds = options.rounds or (5 if options.quick else 30)
    with site(10) as at:
        fill(at.database, count)
        at.add_users()
        with at.running("desk"):
            token = at.sign_in()
            found = asyncio.run(measure(at, token, rounds))
            whole = command(at, token, 3)
        size = at.database.stat().st_size
    figures = {name: search.figures() for name, search in found.items()}
    for name, row in figures.items():
        print(f"{name:18}", "  ".join(f"{key} {value:6}" for key, value in row.items()))
    told = {
        "benchmark": "listing",
        "machine": machine(),
        "rows": count,
        "bytes_per_row": round(size / count),
        "searches": figures,
        "slowest": {way: max(row[way] for row in figures.values()) for way in ("index", "http")},
        "command": whole,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
