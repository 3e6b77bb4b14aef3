"""Measures many hang-ups at once in the real finaliser, without a switch and a desk beside it.

    python benchmarks/hang_ups.py [--calls 100] [--seconds 60]

The calls are written to spools, half of them noise, half speech in turns (if espeak-ng is
installed). The finaliser follows them up to the last `TAIL_S` seconds. It is stopped while these
are written, so that each run has the same work left at the end. Then all calls hang up at once. The
results are:

- `cpu_ms_a_call`: what the finaliser spends from there until all spools are removed, and
  `following_ms_a_call` before that;
- `sealed_s`: from the hang-up until the desk has the message about each recording, p50 and p99;
- `start_mb`, `followed_mb`, `peak_mb`: the memory of the finaliser's processes together, at the
  start, with all calls followed, and at most, looked at every 50 ms. The files that they map count
  once (`memory_mb`). `resident_mb` is the most that they had when such a file counts in each.

CPU times are the kernel's, of all processes of the finaliser. The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from _common import (
    MEMORY,
    all_files,
    cpu_us,
    daemon,
    ends_within,
    family,
    machine,
    memory_mb,
    peak_mb,
    said,
    settle,
    signal_all,
    watch_memory,
)
from _recorded import said_by, shares

from galwad import link
from galwad.messages import AnyMessage, Hello, Indexed, Sealed, SpoolClosed
from galwad.settings import Settings, load
from recording.keys.keyring import load_or_create_boot_key
from recording.spool import Clock, SpoolWriter

Row = dict[str, Any]
PACKET = 160
PER_SECOND = 50
TAIL_S = 8
"""The seconds at the end of each call that the finaliser has not read when the call ends."""
PATIENCE_S = 60.0
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Place:
    """The node's folders, its boot key, and the sound of each party."""

    def __init__(self, folder: Path, runtime: Path, calls: int) -> None:
        more = '[desk]\nlisten = "127.0.0.1:0"\n'
        self.settings_file, _ = settle(folder, runtime, more, sip=5060, calls=calls)
        self.settings = load(self.settings_file)
        self.runtime = runtime
        self.log = folder / "finaliser.log"
        self.spool = self.settings.spool_folders[0]
        self.spool.mkdir(parents=True)
        self.boot_key = load_or_create_boot_key(self.settings.boot_keys[0])
        self.sounds, _ = said_by(calls)

    def finaliser(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Run the real finaliser, as systemd starts it."""
        command = [sys.executable, "-m", "galwad", "serve", "--only", "finaliser"]
        command += ["--config", str(self.settings_file)]
        return daemon(command, self.log, said(self.log, b"finaliser.ready"))


class Talk:
    """A call of two parties, each with its own sound."""

    def __init__(self, place: "Place", number: int) -> None:
        high, low = divmod(number, len(LETTERS) ** 2)
        middle, low = divmod(low, len(LETTERS))
        self.call_id = f"20260301-090000-abcde{LETTERS[high]}{LETTERS[middle]}{LETTERS[low]}"
        clock = Clock(1_772_355_600.0, 0.0)
        keys = place.runtime / "spool-keys"
        self._writer = SpoolWriter.create(
            place.spool, keys, self.call_id, 1, place.boot_key, None, clock
        )
        self._sounds = place.sounds[2 * number : 2 * number + 2]
        self._packets = 0
        number_of_caller = f"+4419700{number:05}"
        self._writer.event("call", {"number": number_of_caller, "withheld": False, "line": "a"}, 0)
        self._writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
        self._writer.event("segment", {"class": "centre", "to": ""}, 0)

    def go_on(self, seconds: int) -> None:
        """Let both parties talk for `seconds` more."""
        packet = self._writer.packet
        for index in range(self._packets, self._packets + seconds * PER_SECOND):
            for track, sound in enumerate(self._sounds):
                head = struct.pack("!BBHII", 0x80, 8, index & 0xFFFF, index * PACKET, track)
                at = index * PACKET % (len(sound) - PACKET)
                jitter_us = (index * 7919 + track * 104729) % 1500
                at_us = index * 20_000 + track * 9_000 + jitter_us
                packet(track, at_us, head + sound[at : at + PACKET])
            if index % PER_SECOND == PER_SECOND - 1:
                self._writer.tick((index + 1) * 20_000)
        self._packets += seconds * PER_SECOND

    def hang_up(self) -> None:
        """End the call and close the spool."""
        at_us = self._packets * 20_000
        self._writer.event("ended", {"cause": "bye"}, at_us)
        self._writer.close(at_us)


class Peers:
    """A switch and a desk, as far as the finaliser sees them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sealed: dict[str, float] = {}
        """When the message about each recording arrived."""
        self.switch: link.Link | None = None

    async def __aenter__(self) -> Self:
        self._servers = [
            await link.serve(self._settings.switch_socket, self._from_finaliser),
            await link.serve(self._settings.desk_socket, self._to_desk),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    async def _from_finaliser(self, peer: link.Link, message: AnyMessage) -> None:
        if isinstance(message, Hello):
            self.switch = peer

    async def _to_desk(self, peer: link.Link, message: AnyMessage) -> None:
        if isinstance(message, Sealed):
            self.sealed.setdefault(message.call_id, time.perf_counter())
            peer.send(Indexed(message.call_id))


async def until_idle(pid: int) -> None:
    """Wait until the finaliser has used less than 40 ms of CPU for four seconds."""
    before, since = cpu_us(pid), time.monotonic()
    deadline = since + PATIENCE_S
    while time.monotonic() < deadline:
        await asyncio.sleep(0.5)
        now = cpu_us(pid)
        if now - before > 40_000:
            before, since = now, time.monotonic()
        elif time.monotonic() - since > 4:
            return
    raise SystemExit("the finaliser has not become idle")


async def hang_up(place: Place, peers: Peers, talks: list[Talk], pid: int) -> Row:
    """Let all talk to the end and hang up; return the figures from then on."""
    signal_all(pid, signal.SIGSTOP)
    for talk in talks:
        await asyncio.to_thread(talk.go_on, TAIL_S)
        talk.hang_up()
    before_us = cpu_us(pid)
    signal_all(pid, signal.SIGCONT)
    begun = time.perf_counter()
    if peers.switch is None:
        raise SystemExit("the finaliser has not connected to the switch")
    for talk in talks:
        peers.switch.send(SpoolClosed(talk.call_id))
    until = time.monotonic() + PATIENCE_S
    while any(place.spool.glob("*.spool")):
        await asyncio.sleep(0.05)
        if time.monotonic() > until:
            raise SystemExit(place.log.read_text(encoding="utf-8"))
    return {
        "cpu_ms_a_call": round((cpu_us(pid) - before_us) / 1e3 / len(talks), 2),
        "sealed_s": shares([at - begun for at in peers.sealed.values()]),
    }


async def measure(place: Place, calls: int, seconds: int) -> Row:
    """Run the finaliser and the calls; return the figures."""
    found: list[float] = []
    with contextlib.ExitStack() as stack:
        async with Peers(place.settings) as peers:
            pid = (await asyncio.to_thread(stack.enter_context, place.finaliser())).pid
            await until_idle(pid)
            row: Row = {"processes": len(family(pid)), "start_mb": memory_mb(pid)}
            before_us = cpu_us(pid)
            talks = [Talk(place, number) for number in range(calls)]
            watching = asyncio.create_task(watch_memory(pid, found))
            for talk in talks:
                await asyncio.to_thread(talk.go_on, seconds - TAIL_S)
            await until_idle(pid)
            row["following_ms_a_call"] = round((cpu_us(pid) - before_us) / 1e3 / calls, 2)
            row["followed_mb"] = memory_mb(pid)
            row |= await hang_up(place, peers, talks, pid)
            watching.cancel()
            row["peak_mb"] = max(found)
            row["resident_mb"] = round(sum(map(peak_mb, family(pid))), 1)
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=60, help="of talk")
    options = parser.parse_args()
    if options.seconds < 2 * TAIL_S:
        parser.error(f"at least {2 * TAIL_S} seconds")
    all_files()
    ends_within(300)
    on = machine()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir=MEMORY) as runtime,
    ):
        place = Place(Path(folder), Path(runtime), options.calls)
        figures = asyncio.run(measure(place, options.calls, options.seconds))
    told = {"calls": options.calls, "seconds": options.seconds}
    print(json.dumps({"benchmark": "hang_ups", "machine": on, **told, **figures}))


if __name__ == "__main__":
    main()
