"""Measures recording, from a call's first packet to the list a year later, beside rtpengine.

    python benchmarks/recordings.py [--quick] [--calls 100] [--seconds 60] [--rows 1000000]

A whole site runs: switch, desk and finaliser. Calls of G.711, half of them noise (the worst case
for FLAC), half speech in turns (if espeak-ng is installed), talk for `seconds` and then all hang up
at the same moment. The results are:

- the CPU cost of a call for each process: for the switch, the share of a core while they talk; for
  the finaliser and the desk, seconds for an hour of call, including all work after the hang-up;
- `times_real_time`: seconds of talk for a second of the finaliser's CPU;
- the time from each call's BYE until its recording is in the index (`listed`), and until its first
  bytes reach a client that fetches each as soon as it is listed (`fetchable`): p50 and p99;
- the bytes of an hour of call, in the spool and in the archive; `peak_mb`: each process's memory,
  that of the finaliser with its workers.

This is done twice. In the round `straight`, the finaliser is suspended while they talk, as after a
crash, and then finds closed spools. The round `followed` is the normal case, with `rows` more
recordings in the index. Before these are added, `galwad keys rewrap` rewraps the recordings of the
first round for other recipients (its start is not counted). At the end, every search of listing.py
is made. `alone` is one call of an hour (`--quick`: of five minutes), by sealing.py.

The same sound also goes through rtpengine in userspace, if it is installed. It relays and records
to pcap, unencrypted; a recording there is complete when its metadata are. In it and in `straight`,
the calls talk a third of the time.

CPU times are the kernel's. Waiting times (`fetchable`, lists) are wall-clock times, and say little
on a machine with other work; `load` shows that. The last line is one JSON object.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from _common import FIRST_PORT, all_files, cpu_us, ends_within, found, machine
from _recorded import HOUR_S, Crowd, Row, Talk, said_by, shares
from _rows import fill
from _rtp import exchange, listening
from _rtpengine import rtpengine
from _site import Site, site
from listing import measure as searched
from sealing import apart, followed, straight

JsonRow = dict[str, Any]
PROCESSES = ("desk", "finaliser", "switch")
SECOND_ROUND = 500
"""The first caller's number in the second round."""


def talk(
    at: Site, pids: dict[str, int], token: str, options: argparse.Namespace, *, follow: bool
) -> Talk:
    """Run one round of calls."""

    async def all_of_it() -> Talk:
        crowd = Crowd(at, pids, token)
        return await crowd.talk(range(first, first + options.calls), seconds, followed=follow)

    first, seconds = (SECOND_ROUND, options.seconds) if follow else (0, options.seconds / 3)
    done = uvloop.run(all_of_it())
    print("followed" if follow else "straight", done.waited(), done.cpu, flush=True)
    return done


def in_service(options: argparse.Namespace) -> JsonRow:
    """Run everything that needs the real processes; return the figures."""
    with site(options.calls + 50, options.first_port) as at:
        at.add_users()
        with at.running(*PROCESSES) as pids:
            token = at.sign_in()
            plain = talk(at, pids, token, options, follow=False)
            rewraps = rewrapped(at, pids, token)
        print("rewraps ", rewraps, flush=True)
        fill(at.database, options.rows)
        theirs = beside(options)
        with at.running(*PROCESSES) as pids:
            token = at.sign_in()
            best = talk(at, pids, token, options, follow=True)
            found_in = asyncio.run(searched(at, token, options.rounds))
    ours: JsonRow = {
        "rounds": {"followed": figures(best), "straight": figures(plain)},
        "bytes_per_call_hour": {"spool": round(best.spool / best.hours), **best.archived()},
        "rewraps": rewraps,
        "lists": listed({name: search.figures() for name, search in found_in.items()}),
    }
    if theirs is not None:
        ours |= {"rtpengine": theirs, "to_rtpengine": to_rtpengine(ours, theirs)}
    return ours


def figures(done: Talk) -> JsonRow:
    """Return the figures of a round."""
    switch = done.cpu["switch"]["talking"]
    sealing = sum(done.cpu["finaliser"].values())
    return {
        "call_s": done.seconds,
        "packets": {"sent": done.sent, "passed_on": done.passed_on, "unsent": done.unsent},
        "switch_percent_of_a_core_per_call": percent(switch, len(done.rows), done.seconds),
        "switch_us_per_packet": round(switch * 1e6 / max(done.passed_on, 1), 2),
        "cpu_s_per_call_hour": {
            name: round(sum(spent.values()) / done.hours, 2) for name, spent in done.cpu.items()
        },
        "finaliser_times_real_time": round(done.hours * HOUR_S / sealing),
        "seconds_from_hang_up": done.waited(),
        "peak_mb": done.peaks_mb,
    }


def percent(cpu_s: float, calls: int, seconds: float) -> float:
    """Return the share of a core for each call, in percent."""
    return round(100 * cpu_s / (calls * seconds), 3)


def listed(searches: dict[str, dict[str, float]]) -> JsonRow:
    """Return the ms of searches of the list: the first page, and the slowest of all."""
    ways = ("index", "index_median", "http", "http_median")
    return {
        "first_page_ms": {way: searches["first page"][way] for way in ways},
        "slowest_ms": {way: max(row[way] for row in searches.values()) for way in ways},
    }


def rewrapped(at: Site, pids: dict[str, int], token: str) -> Row:
    """Rewrap all headers for other recipients, with the officer's command."""
    at.change_recipients()
    words = ["keys", "rewrap", str(at.folder), "--reference", "KEYS-1", "--json"]
    counted_s, _ = command(at, token, [*words, "--dry-run"])
    before = sum(map(cpu_us, pids.values()))
    took_s, answer = command(at, token, words)
    count = answer["rewrapped"]
    if count != answer["recordings"] or answer["failed"]:
        raise SystemExit(f"not all was rewrapped: {answer}")
    return {
        "headers": count,
        "per_second": round(count / (took_s - counted_s), 1),
        "server_cpu_ms_each": round((sum(map(cpu_us, pids.values())) - before) / 1e3 / count, 2),
    }


def command(at: Site, token: str, words: list[str]) -> tuple[float, dict[str, int]]:
    """Run a `galwad` command; return the seconds that it took, and its answer."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "galwad", *words],
        check=True,
        stdout=subprocess.PIPE,
        cwd=at.folder,
        env={**os.environ, "GALWAD_SERVER": at.url, "GALWAD_TOKEN": token},
    )
    return time.perf_counter() - begun, json.loads(done.stdout)


def beside(options: argparse.Namespace) -> JsonRow | None:
    """Run the same packets through rtpengine, recorded to pcap; None if it is not installed."""
    program = found("rtpengine")
    if program is None:
        print("no rtpengine here: no row of it")
        return None
    sounds, _ = said_by(options.calls)
    seconds = options.seconds / 3
    media_ports = options.first_port, options.first_port + 4 * options.calls + 399
    with (
        listening() as sink,
        tempfile.TemporaryDirectory() as folder,
        rtpengine(program, Path(folder), *media_ports) as engine,
    ):
        port = sink.getsockname()[1]
        ports = [each for _ in range(options.calls) for each in engine.call(port, record=True)]
        before = cpu_us(engine.pid)
        traffic = exchange(sink, ports, seconds, sounds=sounds)
        spent = (cpu_us(engine.pid) - before) / 1e6
        complete = shares(engine.hang_up())
        size = engine.recorded
    hours = options.calls * seconds / HOUR_S
    return {
        "call_s": seconds,
        "packets": {
            "sent": traffic.sent,
            "passed_on": traffic.back,
            "unsent": traffic.unsent,
        },
        "percent_of_a_core_per_call": percent(spent, options.calls, seconds),
        "us_per_packet": round(spent * 1e6 / max(traffic.back, 1), 2),
        "cpu_s_per_call_hour": round(spent / hours, 2),
        "seconds_from_hang_up": complete,
        "bytes_per_call_hour": round(size / hours),
    }


def alone(seconds: int, runs: int) -> Row:
    """Seal a single call of noise, by sealing.py; return its seconds and times real time."""
    row = apart(straight, seconds, runs) | apart(followed, seconds, runs)
    following_s = row["following_s_per_call_hour"] * seconds / HOUR_S + row["followed_s"]
    return {
        "call_s": seconds,
        "straight_s": round(row["straight_s"], 3),
        "straight_times_real_time": round(seconds / row["straight_s"]),
        "followed_s": round(row["followed_s"], 3),
        "followed_times_real_time": round(seconds / following_s),
    }


def to_rtpengine(ours: JsonRow, theirs: JsonRow) -> Row:
    """Return our figures divided by those of rtpengine."""
    done, spent = ours["rounds"]["followed"], ours["rounds"]["followed"]["cpu_s_per_call_hour"]
    sizes, waits = ours["bytes_per_call_hour"], done["seconds_from_hang_up"]["fetchable"]
    all_theirs = theirs["cpu_s_per_call_hour"]
    return {
        "switch_us_per_packet": round(done["switch_us_per_packet"] / theirs["us_per_packet"], 2),
        "cpu_of_all_three": round(sum(spent.values()) / all_theirs, 2),
        "bytes_per_call_hour": {
            kind: round(size / theirs["bytes_per_call_hour"], 2) for kind, size in sizes.items()
        },
        "hang_up_p99_later_s": round(waits["p99"] - theirs["seconds_from_hang_up"]["p99"], 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 s of talk, 50,000 rows")
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=None, help="of talk")
    parser.add_argument("--rows", type=int, default=None, help="in the index")
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, help="of the media")
    options = parser.parse_args()
    options.seconds = options.seconds or (20.0 if options.quick else 60.0)
    if options.rows is None:
        options.rows = 50_000 if options.quick else 1_000_000
    options.rounds = 3 if options.quick else 20
    if not 0 < options.calls <= SECOND_ROUND or not math.isfinite(options.seconds):
        parser.error(f"from 1 to {SECOND_ROUND} calls")
    all_files()
    ends_within(400)
    told = {"calls": options.calls, "rows": options.rows, "quick": options.quick}
    on = machine()
    result = in_service(options)
    result["alone"] = alone(300 if options.quick else 3600, 1 if options.quick else 2)
    on["load_at_the_end"] = os.getloadavg()[0]
    for name, row in result.items():
        print(f"{name:20} {row}")
    print(json.dumps({"benchmark": "recording", "machine": on, **told, **result}))


if __name__ == "__main__":
    main()
