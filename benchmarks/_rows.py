"""A million index rows of invented recordings, such as a centre has after some years.

Some callers call often, most only once. Few calls are long. One in seven has a payment, one in ten
a transfer, one in four thousand a fault. One in fifty is flagged. There is no audio.
"""

import itertools
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from galwad.host.database import upgrade
from recording.index.tables import flags, gap_reasons, gaps, recordings, references

YEARS = 4
LINES = ("Council Tax", "Housing", "Waste", "Planning", "Parking", "Licensing", "Elections")
LINE_SHARES = (40, 25, 15, 10, 5, 4, 1)
ADVISORS = 200
REASONS = (("payment", 0.15), ("transfer", 0.1), ("fault", 0.00025))
FETCHED = 0.001
FLAGGED = 0.02
_CHUNK = 20_000
_YEAR_S = 365 * 86400
_TABLES = (recordings, gaps, gap_reasons, references, flags)
Rows = dict[str, list[dict[str, object]]]


def fill(path: Path, count: int) -> None:
    """Create the database with `count` rows, up to today."""
    upgrade(path)
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("BEGIN")
        made = calls(count, time.time())
        while chunk := list(itertools.islice(made, _CHUNK)):
            for table in _TABLES:
                rows = [row for each in chunk for row in each.get(table.name, ())]
                if rows:
                    named = sqlite.dialect(paramstyle="named")
                    text = insert(table).compile(dialect=named, column_keys=list(rows[0]))
                    database.executemany(str(text), rows)
        database.execute("COMMIT")
    database.close()


def calls(count: int, now: float) -> Iterator[Rows]:
    """Yield the rows of one call after another, by table."""
    chance = random.Random(1)  # the same rows in each run
    for number in range(count):
        started = now - YEARS * _YEAR_S * (1 - number / count)
        yield _call(chance, started)


def _call(chance: random.Random, started: float) -> Rows:
    at = time.gmtime(started)
    letters = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz234567", k=8))
    call_id = time.strftime("%Y%m%d-%H%M%S-", at) + letters
    talk_us = int(chance.lognormvariate(5.2, 0.9) * 1e6)
    advisor = int(chance.triangular(0, ADVISORS, 0))
    line = chance.choices(LINES, LINE_SHARES)[0]
    caller = min(int(chance.expovariate(1 / 150_000)), 999_999)
    found = [(reason, chance.random()) for reason, share in REASONS if chance.random() < share]
    row: dict[str, object] = {
        "call_id": call_id,
        "folder": time.strftime("%Y/%m/%d", at),
        "started": started,
        "talk_us": talk_us,
        "interrupted": 0,
        "number": f"+441970{caller:06}" if chance.random() < 0.9 else None,
        "line": line,
        "advisor": f"advisor{advisor}",
        "extension": str(200 + advisor),
        "payload_size": talk_us // 100,
        "payload_sha256": f"{chance.getrandbits(256):064x}",
        "manifest_sha256": f"{chance.getrandbits(256):064x}",
        "unexplained_us": 0,
    }
    silent = [
        {
            "call_id": call_id,
            "position": position,
            "reason": reason,
            "trigger": "page",
            "actor": f"user:advisor{advisor}",
            "from_us": int(talk_us * place / 2),
            "to_us": int(talk_us * place),
        }
        for position, (reason, place) in enumerate(found)
    ]
    key = {"call_id": call_id, "started": started, "talk_us": talk_us, "line": line}
    kinds = [{**key, "reason": reason} for reason, _ in found]
    rows: Rows = {recordings.name: [row], gaps.name: list(silent), gap_reasons.name: list(kinds)}
    if chance.random() < FETCHED:
        case = f"C-{chance.randrange(1000)}"
        rows[references.name] = [{"call_id": call_id, "reference": case}]
    if chance.random() < FLAGGED:
        facts = {"started": started, "reason": "health", "since": started}
        rows[flags.name] = [{"flag": "sensitive", "call_id": call_id, **facts}]
    return rows
