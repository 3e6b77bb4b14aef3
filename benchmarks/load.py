"""Measures losses on the wire and in the manifests with two hundred calls and a busy desk.

    python benchmarks/load.py [--quick] [--calls 200] [--seconds 20] [--rows 1000000]

A whole site runs: switch, desk and finaliser, with `rows` rows in the index. Calls come from two
trunks. In a fifth of them, both parties send from another port than their SDP names, and the rule
for both peers is "latch". Another tenth is answered by SIPp, which sends back what it hears. Every
third caller, and every sixth callee, holds a key for 3 s or 9 s (RFC 4733, in one event or in two
segments). While all speak, users sign in, list pages are read, recordings are fetched, and others
are exported by `galwad recordings fetch`. Each of these is repeated without a break.

Each party numbers its packets and keeps the numbers that it hears: `lost` were sent and never
heard. A recording is `faulty` if it is not whole when it is opened, or if its manifest has a gap, a
lost, late, duplicate or malformed packet, talk time that nothing explains, or another number of
packets, or of key packets, than were sent. `control` has the same parties without Galwad between
them, to show what they lose themselves. `late_ms` is the longest delay of a party's packet.
`a_second` is the number of packets sent in a second: a machine that is too slow sends fewer, and
loses none by that. `dropped` are packets for which the kernel had no room on their sockets. `cores`
is the CPU time while all speak, in seconds per second. `peak_mb` is the highest resident memory of
each process, with that of its children. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path

import uvloop
from _beside import Beside
from _common import (
    CALLEE,
    CALLER,
    FIRST_PORT,
    SWITCH,
    all_files,
    cpu_us,
    daemon,
    ends_within,
    family,
    found,
    free_port,
    machine,
    peak_mb,
)
from _parties import SETTLE_S, Call, Stage, numbered
from _rows import fill
from _site import ECHO, ECHO_LINE, LATCHING_CALLER, LATCHING_LINE, LINE, Site, site
from _speakers import Press, Speaker, converse

from recording.archive.accounting import balance
from recording.archive.manifest import Interval
from recording.archive.verify import verify_recording
from telephony.sip.events import Address

USERS = tuple(f"supervisor{number}" for number in range(8))
ECHOING = Path(__file__).parent / "sipp" / "uas_echo.xml"
WARMING, WARMING_S = 4, 3.0
"""The calls made before the others, so that there are recordings to fetch."""
SEALED_WITHIN_S = 120.0


def presses(number: int, every: int, seconds: float) -> list[Press]:
    """Return the keys that the party of call `number` holds if it speaks for `seconds`."""
    if number % every:
        return []
    held = 9.0 if number % (2 * every) and seconds > 12 else 3.0
    return [Press(50, min(held, seconds / 2))]


def planned(number: int, seconds: float) -> Call:
    """Return call `number`: every fifth sends from another port, every tenth is echoed."""
    keys = presses(number, 3, seconds)
    if number % 5 == 0:
        voice = partial(Speaker, astray=True, presses=presses(number, 6, seconds))
        return Call(Speaker(LATCHING_CALLER, astray=True, presses=keys), LATCHING_LINE, voice)
    voice = partial(Speaker, presses=presses(number, 6, seconds))
    return Call(Speaker(CALLER, presses=keys), ECHO_LINE if number % 10 == 1 else LINE, voice)


async def place(stage: Stage, numbers: range, seconds: float) -> dict[str, Call]:
    """Place these calls; return them by their callers' numbers, as the index stores those."""
    calls = {numbered(number): planned(number, seconds) for number in numbers}
    await stage.place({name: call for (name, _), call in calls.items()})
    return {number: call for (_, number), call in calls.items()}


def speakers_of(calls: Sequence[Call]) -> list[Speaker]:
    """Return the parties that this process plays."""
    parties = [party for call in calls for party in (call.caller, call.callee)]
    return [party for party in parties if isinstance(party, Speaker)]


def lost(calls: Sequence[Call]) -> dict[str, int]:
    """Count the packets that were sent, and those that never reached the other end."""
    told = {"sent": 0, "of_keys": 0, "astray": 0, "lost": 0}
    for call in calls:
        caller, callee = call.caller, call.callee or call.caller  # SIPp's echo
        for mouth, ear in ((caller, callee), (callee, caller)):
            told["sent"] += mouth.sent
            told["lost"] += len(set(range(mouth.sent)) - ear.heard)
            if isinstance(mouth, Speaker):
                told["of_keys"] += mouth.keys
                told["astray"] += mouth.sent if mouth.mouth is not mouth.made else 0
    return told


def dropped(pid: int) -> int:
    """Return the datagrams that a process's sockets had no room for (/proc/net/udp, last field)."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(descriptor.readlink().name.removeprefix("socket:[").removesuffix("]"))
    rows = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return sum(int(row.split()[-1]) for row in rows if row.split()[9] in inodes)


async def control(count: int, seconds: float) -> dict[str, object]:
    """Run the parties of `count` calls, each sending directly to the other."""
    calls = []
    for number in range(count):
        call = planned(number, seconds)
        call.callee = call.voice(CALLEE)
        call.caller.to, call.callee.to = (
            (CALLEE, call.callee.port),
            (call.caller.host, call.caller.port),
        )
        calls.append(call)
    said = await speak(calls, seconds, {})
    told = lost(calls) | {"dropped": dropped(os.getpid())}
    for speaker in speakers_of(calls):
        speaker.close()
    return told | said


async def speak(calls: Sequence[Call], seconds: float, pids: dict[str, int]) -> dict[str, object]:
    """Let all parties speak; return the packet rate, the longest delay and the CPU time."""
    before, begun = cores(pids), time.perf_counter()
    late = await converse(speakers_of(calls), seconds)
    took, after = time.perf_counter() - begun, cores(pids)
    sent = sum(speaker.sent for speaker in speakers_of(calls))
    return {
        "a_second": round(sent / (took - SETTLE_S)),
        "late_ms": round(late, 1),
        "cores": {name: round((spent - before[name]) / took, 2) for name, spent in after.items()},
    }


@contextlib.contextmanager
def echo(sipp: str, at: Site) -> Iterator[None]:
    """Run a SIPp that answers, and sends back what it hears."""
    command = [sipp, "-sf", str(ECHOING), "-i", ECHO, "-p", str(at.echo), "-mi", ECHO]
    command += ["-mp", str(free_port(ECHO)), "-rtp_echo", "-nostdin", "-timeout", "600"]
    with daemon(command, at.folder / "echo.log", lambda: True):
        time.sleep(0.5)  # it writes nothing when it is ready
        yield


@contextlib.asynccontextmanager
async def busy(beside: Beside) -> AsyncIterator[None]:
    """Run the desk's other work until the block ends."""
    stop = asyncio.Event()
    work = asyncio.create_task(beside.run(stop))
    try:
        yield
    finally:
        stop.set()
        await work


async def indexed(at: Site, numbers: Sequence[str]) -> dict[str, tuple[str, Path]]:
    """Wait until these callers' recordings are listed; return the id and folder of each."""
    until = time.monotonic() + SEALED_WITHIN_S
    while time.monotonic() < until:
        rows = at.listed(numbers)
        if len(rows) == len(numbers):
            return {number: (row.call_id, row.folder) for number, row in rows.items()}
        await asyncio.sleep(0.2)
    raise SystemExit("not every call was sealed and listed")


def faults(at: Site, call: Call, call_id: str, folder: Path) -> list[str]:
    """Return the faults of a recording."""
    verdict = verify_recording(folder, call_id, identities=[at.identity])
    manifest = verdict.manifest
    if manifest is None:
        return ["no manifest"]
    wrong = [*verdict.problems, *verdict.faults, *(fault.why for fault in manifest.faults)]
    wrong += [f"a gap: {gap.reason}" for gap in manifest.gaps]
    if manifest.interrupted or manifest.damaged:
        wrong.append("interrupted or damaged")
    for track, party in zip(
        manifest.tracks, (call.caller, call.callee or call.caller), strict=True
    ):
        bad = (track.lost, track.late, track.duplicate, track.malformed, track.undecoded)
        keys = party.keys if isinstance(party, Speaker) else 0
        if any(bad) or (track.received, track.withheld) != (party.sent - keys, keys):
            kept = f"{track.received} and {track.withheld} of {party.sent - keys} and {keys}"
            wrong.append(f"{track.channel}: {kept}, {bad}")
    spans = [Interval(each.from_us, each.to_us) for each in manifest.segments]
    gaps = [Interval(each.from_us, each.to_us) for each in manifest.gaps]
    if balance(manifest.talk_us, spans, gaps).unaccounted or manifest.unexplained:
        wrong.append("segments and gaps are not the talk time")
    return wrong


def cores(pids: dict[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each process so far, and of the parties in this process."""
    return {name: cpu_us(pid) / 1e6 for name, pid in pids.items()} | {
        "parties": time.process_time()
    }


async def measure(at: Site, pids: dict[str, int], options: argparse.Namespace) -> dict[str, object]:
    """Run the calls beside the desk's other work; return the figures."""
    stage = Stage(Address(SWITCH, at.sip), (CALLER, LATCHING_CALLER))
    await stage.open(at.pbx)
    warming = await place(stage, range(900, 900 + WARMING), WARMING_S)
    await converse(speakers_of([*warming.values()]), WARMING_S)
    await asyncio.gather(*map(stage.hang_up, warming.values()))
    sealed = [call_id for call_id, _ in (await indexed(at, [*warming])).values()]
    token = await asyncio.to_thread(at.sign_in)
    beside = Beside(at, token, USERS, sealed)
    begun = time.perf_counter()
    calls = await place(stage, range(options.calls), options.seconds)
    dialled = time.perf_counter() - begun
    async with busy(beside):
        said = await speak([*calls.values()], options.seconds, pids)
    told = said | lost([*calls.values()]) | {"dropped": dropped(os.getpid())}
    begun = time.perf_counter()
    await asyncio.gather(*map(stage.hang_up, calls.values()))
    found_rows = await indexed(at, [*calls])
    sealing = time.perf_counter() - begun
    wrong = {
        call_id: bad
        for number, (call_id, folder) in found_rows.items()
        if (bad := faults(at, calls[number], call_id, folder))
    }
    return told | {
        "switch_dropped": dropped(pids["switch"]),
        "dialled_s": round(dialled, 1),
        "sealed_s": round(sealing, 1),
        "manifests": len(found_rows),
        "faulty": wrong,
        "beside": beside.figures(),
        "peak_mb": {name: sum(map(peak_mb, family(pid))) for name, pid in pids.items()},
    }


def run(options: argparse.Namespace) -> dict[str, object]:
    """Run the control, then the calls."""
    sipp = found("sipp")
    if sipp is None:
        raise SystemExit("this benchmark needs sipp")
    alone = uvloop.run(control(options.calls, min(options.seconds, 10.0)))
    print("control ", alone, flush=True)
    with site(options.calls + 50, options.first_port) as at:
        fill(at.database, options.rows)
        at.add_users(*USERS)
        with echo(sipp, at), at.running("desk", "finaliser", "switch") as pids:
            measured = uvloop.run(measure(at, pids, options))
    print("calls   ", measured)
    return {"control": alone, **measured}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="50 calls of 8 s, 100,000 rows")
    parser.add_argument("--calls", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=None, help="of talk")
    parser.add_argument("--rows", type=int, default=None, help="in the index")
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, help="of the media")
    options = parser.parse_args()
    options.calls = options.calls or (50 if options.quick else 200)
    options.seconds = options.seconds or (8.0 if options.quick else 20.0)
    options.rows = options.rows or (100_000 if options.quick else 1_000_000)
    if not 0 < options.calls <= 900 or not math.isfinite(options.seconds):
        parser.error("from 1 to 900 calls")
    all_files()
    ends_within(600)
    told = {"calls": options.calls, "seconds": options.seconds, "rows": options.rows}
    print(json.dumps({"benchmark": "load", "machine": machine(), **told, **run(options)}))


if __name__ == "__main__":
    main()
