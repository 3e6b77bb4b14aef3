"""Measures where pauses begin and end in the recordings, on an idle and on a late machine.

    python benchmarks/edges.py [--quick] [--calls 20] [--pauses 10]

A whole site runs: switch, desk and finaliser. In each call, both parties send 20 ms frames of PCMU
in which every frame has a sound of its own, so the recording shows which frames were stored. A
supervisor pauses and resumes each call over the API, again and again. There are three rows:

- `idle`: nothing is late.
- `late switch`: the switch is stopped by SIGSTOP for up to two seconds around each request.
- `late network`: each packet is delayed by 40 to 70 ms, and in each pause by up to 2.5 s more.

The figures are times in ms, as median, 99th percentile and maximum over all pauses and both tracks.
A frame's time is when it was due: a busy machine sends it later.

- `to_pause`, `to_resume`: from a request to its effect, which is an edge of the gap. A resume takes
  effect when it is on the disk. With a late network, both are less by its smallest delay of 40 ms,
  because no packet shows this delay.
- `before`: from the last stored frame to the gap. The gap begins half a second before the pause,
  because the pause erases this time. A frame has 20 ms, so 0 to 20 is exact.
- `after`: from the gap to the first stored frame; 0 to 20 is exact.
- `stored`: the number of frames of a pause that were stored. It must be 0. With a late network, the
  frames of the last 40 ms are not counted, for the same reason.
- `lost`: the number of frames between the first and the last stored frame of a stretch between two
  pauses that were not stored.

The last line is one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import soundfile
import uvloop
from _common import CALLER, FIRST_PORT, SWITCH, all_files, ends_within, machine
from _parties import FRAME_S, SETTLE_S, Call, Stage, Voice, numbered
from _site import LINE, Site, site

from recording.age.file import open_parts
from recording.archive.manifest import Gap
from recording.archive.verify import verify_recording
from telephony.sip.events import Address

RATE = 8000
FRAME = 160
US = 1_000_000
CODES = 100
"""The number of different frames; the frames repeat after two seconds."""
TAKEN_S = 0.25
"""The time in seconds after a request in which the pause must have begun.

The frames of this time are not judged, because nobody outside the switch knows when it began.
"""
LEAST_DELAY_S, JITTER_S = 0.04, 0.03
"""Between pauses, a late network delays a packet by the first time, and at most by both."""
USER = "supervisor0"
SEALED_WITHIN_S = 120.0
Figures = dict[str, float]


def _linear(code: int) -> int:
    """Return the sample of a mu-law octet (ITU-T G.711)."""
    inverted = ~code & 0xFF
    size = (((inverted & 0x0F) << 3) + 0x84) << ((inverted & 0x70) >> 4)
    return 0x84 - size if inverted & 0x80 else size - 0x84


LEVELS = {_linear(code): code - 1 for code in range(1, CODES + 1)}


class Counting(Voice):
    """A voice whose frames are numbered by their sound, and which a network delays.

    Attributes:
        spoken_at: The time in monotonic seconds at which each frame was due. A busy machine sends
            it later, with the same timestamp, as a phone on such a machine does.
        most_delay_s: The largest delay that the network adds now to the next packets, in seconds;
            0 if the network delays nothing.
    """

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.spoken_at: list[float] = []
        self.most_delay_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._arrives = 0.0
        """The time at which the network delivers the latest packet. It never changes the order."""

    def speak(self, due: float = math.nan) -> None:
        """Send the frame that is due at this time, at once or after the network's delay."""
        if self.to is None:
            return
        number = len(self.spoken_at)
        head = b"\x80\x00" + (number & 0xFFFF).to_bytes(2, "big")
        head += (number * FRAME).to_bytes(4, "big") + self.port.to_bytes(4, "big")
        data = head + bytes([1 + number % CODES]) * FRAME
        self.spoken_at.append(due)
        self.sent += 1
        if not self.most_delay_s:
            self._deliver(data)
            return
        jitter = random.uniform(0, JITTER_S)
        delay = (
            LEAST_DELAY_S
            + jitter
            + random.uniform(0.8, 1) * (self.most_delay_s - LEAST_DELAY_S - JITTER_S)
        )
        self._arrives = max(self._arrives, self._loop.time() + delay)
        self._loop.call_at(self._arrives, self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        if self.to is not None and self.made.fileno() >= 0:
            with contextlib.suppress(BlockingIOError):
                self.made.sendto(data, self.to)


def stored_frames(samples: "np.ndarray[tuple[int], np.dtype[np.int16]]") -> dict[int, int]:
    """Return the position of each frame in a channel, in samples, by the frame's number.

    A frame's sound shows its number modulo `CODES`; its place shows which of these frames it is.
    """
    edges = np.flatnonzero(np.diff(samples, prepend=0)).tolist()
    first: int | None = None
    found: dict[int, int] = {}
    for begin, end in pairwise([*edges, len(samples)]):
        code = LEVELS.get(int(samples[begin]))
        if code is None or end - begin < FRAME // 4:
            continue
        if first is None:
            first = begin - code * FRAME
        number = code + CODES * round((begin - first - code * FRAME) / (CODES * FRAME))
        found.setdefault(number, begin)
    return found


@dataclass
class Pause:
    """One pause of a call: when the client sent the requests to pause and to resume."""

    begun: float
    ended: float = math.inf


@dataclass
class Measured:
    """The times of a row in ms, and the numbers of frames that must be 0 (see the module)."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    stored: int = 0
    lost: int = 0

    def add(
        self,
        spoken_at: Sequence[float],
        kept: Mapping[int, int],
        gaps: Sequence[Gap],
        pauses: Sequence[Pause],
        least_delay_s: float,
    ) -> None:
        """Add one track: its stored frames, its gaps, and the requests of its call."""
        origin = spoken_at[min(kept)] - kept[min(kept)] / RATE
        last = -1
        erased = {gap.to_us: gap.from_us for gap in gaps if gap.reason == "erased"}
        paused = [gap for gap in gaps if gap.reason == "payment"]
        for gap, pause in zip(paused, pauses, strict=True):
            begin = origin + erased.get(gap.from_us, gap.from_us) / US
            end = origin + gap.to_us / US
            earlier = [n for n in kept if last < n and spoken_at[n] < begin]
            later = [n for n in kept if spoken_at[n] > end - FRAME_S]
            self._add("to_pause", origin + gap.from_us / US - pause.begun)
            self._add("before", begin - spoken_at[max(earlier)])
            self._add("to_resume", end - pause.ended)
            self._add("after", spoken_at[min(later)] - end)
            self.lost += max(earlier) - min(earlier) + 1 - len(earlier)
            last = min(later) - 1
            over = pause.ended - least_delay_s
            self.stored += sum(pause.begun + TAKEN_S < spoken_at[n] < over for n in kept)

    def _add(self, name: str, seconds: float) -> None:
        self.times[name].append(seconds * 1000)

    def figures(self) -> dict[str, object]:
        """Return the figures of the row."""
        times = {name: _shares(values) for name, values in self.times.items()}
        pauses = len(self.times["before"]) // 2
        return {"pauses": pauses, **times, "stored": self.stored, "lost": self.lost}


def _shares(values: Sequence[float]) -> Figures:
    ordered = sorted(values)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[math.ceil(s * len(ordered)) - 1], 1) for name, s in shares.items()}


def _last_digits(number: str) -> str:
    return "".join(filter(str.isdigit, number))[-3:]


class Row:
    """The calls of one row, and how their pauses are requested."""

    def __init__(self, name: str, at: Site, client: httpx2.AsyncClient, switch: int) -> None:
        self.name = name
        self._at, self._client, self._switch = at, client, switch
        self._calls: dict[str, Call] = {}
        self._pauses: dict[str, list[Pause]] = {}

    async def run(self, stage: Stage, numbers: range, pauses: int) -> dict[str, object]:
        """Place the calls, pause them `pauses` times, and return the figures."""
        names = [numbered(number) for number in numbers]
        calls = {name: Call(Counting(CALLER), LINE, Counting) for name, _ in names}
        await stage.place(calls)
        await self._name(dict(calls))
        self._pauses = {call_id: [] for call_id in self._calls}
        stop = asyncio.Event()
        speaking = asyncio.create_task(self._speak(stop))
        self._delay(LEAST_DELAY_S + JITTER_S)
        await asyncio.sleep(2)
        for _ in range(pauses):
            await asyncio.sleep(random.uniform(4, 5))
            await self._request("PUT", "paused")
            self._delay(random.uniform(0.1, 2.5))
            await asyncio.sleep(random.uniform(1, 2))
            await self._request("DELETE", "recording")
            self._delay(LEAST_DELAY_S + JITTER_S)
        await asyncio.sleep(3)
        stop.set()
        await speaking
        await asyncio.sleep(SETTLE_S)
        await asyncio.gather(*map(stage.hang_up, calls.values()))
        rows = await self._listed([stored for _, stored in names])
        measured = Measured()
        for call_id, folder in rows.items():
            self._judge(measured, call_id, folder)
        return measured.figures()

    async def _name(self, calls: Mapping[str, Call]) -> None:
        """Find the id of each call, which the desk shows soon after the call was answered."""
        until = time.monotonic() + 20
        while len(self._calls) < len(calls):
            if time.monotonic() > until:
                raise SystemExit("the desk does not show every call")
            shown = {_last_digits(p["caller"]["number_display"]): p for p in await self._shown()}
            found = {name: shown.get(_last_digits(name)) for name in calls}
            self._calls = {pop["call_id"]: calls[name] for name, pop in found.items() if pop}
            await asyncio.sleep(0.05)

    def _delay(self, most_s: float) -> None:
        """Let the network delay the next packets by at most this time in seconds."""
        if self.name == "late network":
            for voice in self._voices():
                voice.most_delay_s = most_s

    def _voices(self) -> list[Counting]:
        parties = [party for call in self._calls.values() for party in (call.caller, call.callee)]
        return [party for party in parties if isinstance(party, Counting)]

    async def _speak(self, stop: asyncio.Event) -> None:
        begun, step = time.monotonic(), 0
        while not stop.is_set():
            for voice in self._voices():
                voice.speak(begun + step * FRAME_S)
                voice.listen()
            step += 1
            await asyncio.sleep(max(0.0, begun + step * FRAME_S - time.monotonic()))

    async def _shown(self) -> list[dict[str, Any]]:
        reply = await self._client.get("/api/v1/calls")
        pops: list[dict[str, Any]] = reply.raise_for_status().json()
        return pops

    async def _request(self, method: str, state: str) -> None:
        """Send the request for each call, and wait until all calls are in this state."""
        late = self.name == "late switch"
        if late:
            os.kill(self._switch, signal.SIGSTOP)
        try:
            if late:
                await asyncio.sleep(random.uniform(0, 1))
            sent = [asyncio.create_task(self._ask(method, call_id)) for call_id in self._calls]
            if late:
                await asyncio.sleep(random.uniform(0.3, 1))
        finally:
            os.kill(self._switch, signal.SIGCONT)
        await asyncio.gather(*sent)
        until = time.monotonic() + 20
        while self._states(await self._shown()) != {state}:
            if time.monotonic() > until:
                raise SystemExit(f"not every call is {state}")
            await asyncio.sleep(0.05)

    def _states(self, pops: list[dict[str, Any]]) -> set[str]:
        """Return the recording states of this row's calls; calls of earlier rows are ignored."""
        return {pop["recording"] for pop in pops if pop["call_id"] in self._calls}

    async def _ask(self, method: str, call_id: str) -> None:
        await asyncio.sleep(random.uniform(0, 0.2))
        if method == "PUT":
            self._pauses[call_id].append(Pause(time.monotonic()))
        else:
            self._pauses[call_id][-1].ended = time.monotonic()
        # While the switch is stopped, the desk gets no answer in time: 503. The state shows later
        # whether the switch has carried the request out.
        reply = await self._client.request(method, f"/api/v1/calls/{call_id}/payment")
        if reply.status_code not in {200, 503}:
            raise SystemExit(f"a request failed: {reply.text}")

    async def _listed(self, numbers: Sequence[str]) -> dict[str, Path]:
        until = time.monotonic() + SEALED_WITHIN_S
        while len(rows := self._at.listed(numbers)) < len(numbers):
            if time.monotonic() > until:
                raise SystemExit("not every call was sealed and listed")
            await asyncio.sleep(0.2)
        return {row.call_id: row.folder for row in rows.values()}

    def _judge(self, measured: Measured, call_id: str, folder: Path) -> None:
        verdict = verify_recording(folder, call_id, identities=[self._at.identity])
        manifest = verdict.manifest
        if manifest is None or verdict.problems or verdict.faults:
            raise SystemExit(f"a recording is not whole: {verdict.problems} {verdict.faults}")
        header = (folder / f"{call_id}.header").read_bytes()
        with (folder / f"{call_id}.payload").open("rb") as payload:
            opened = open_parts(header, payload, [self._at.identity])
            samples, _ = soundfile.read(opened, dtype="int16")
        call, pauses = self._calls[call_id], self._pauses[call_id]
        for track, party in enumerate((call.caller, call.callee)):
            assert isinstance(party, Counting), "both parties of these calls are numbered"
            kept = stored_frames(samples[:, track])
            delay_s = LEAST_DELAY_S if self.name == "late network" else 0.0
            measured.add(party.spoken_at, kept, manifest.gaps, pauses, delay_s)


async def measure(at: Site, switch: int, options: argparse.Namespace) -> dict[str, object]:
    """Run the three rows."""
    stage = Stage(Address(SWITCH, at.sip))
    await stage.open(at.pbx)
    headers = {"Authorization": f"Bearer {await asyncio.to_thread(at.sign_in, USER)}"}
    told: dict[str, object] = {}
    async with httpx2.AsyncClient(base_url=at.url, headers=headers, timeout=30) as client:
        for place, name in enumerate(("idle", "late switch", "late network")):
            numbers = range(place * options.calls, (place + 1) * options.calls)
            told[name] = await Row(name, at, client, switch).run(stage, numbers, options.pauses)
            print(f"{name:<13}", told[name], flush=True)
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 calls with 3 pauses in each row")
    parser.add_argument("--calls", type=int, default=None, help="in each row")
    parser.add_argument("--pauses", type=int, default=None, help="of each call")
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, help="of the media")
    options = parser.parse_args()
    options.calls = options.calls or (5 if options.quick else 20)
    options.pauses = options.pauses or (3 if options.quick else 10)
    if not (0 < options.calls <= 100 and 0 < options.pauses <= 100):
        parser.error("from 1 to 100 calls, and from 1 to 100 pauses")
    all_files()
    ends_within(1800)
    with site(options.calls + 20, options.first_port) as at:
        at.add_users(USER)
        with at.running("desk", "finaliser", "switch") as pids:
            told = uvloop.run(measure(at, pids["switch"], options))
    print(json.dumps({"benchmark": "edges", "machine": machine(), **told}))


if __name__ == "__main__":
    main()
