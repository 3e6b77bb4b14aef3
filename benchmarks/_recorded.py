"""Calls that the real processes record and that all end at once, for recordings.py.

Half of them are noise, the other half speech. As soon as a recording is in the index, a client
fetches it, and the measured time ends with the first bytes that it receives. Afterwards each
recording is fetched whole and must be the sealed one.
"""

import asyncio
import math
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx2
from _common import CALLER, SWITCH, cpu_us, peak_mb, signal_all, watch_memory
from _parties import Call, Stage, Voice, numbered
from _rtp import exchange, listening
from _site import LINE, WHY, Listed, Site, fetch
from _sound import noise, speech

from telephony.sip.events import Address

POLL_S = 0.02
PATIENCE_S = 120.0
HOUR_S = 3600.0
Row = dict[str, float]


def said_by(calls: int) -> tuple[list[bytes], int]:
    """Return the sound of each party, call by call, and the number of calls that are noise."""
    random, spoken = [noise(0), noise(1)], speech()
    noisy = calls if spoken is None else calls // 2
    return noisy * random + (calls - noisy) * list(spoken or ()), noisy


def shares(seconds: Sequence[float]) -> Row:
    """Return the median and the 99th percentile."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(ordered[math.ceil(share * len(ordered)) - 1], 3)

    return {"p50": at(0.5), "p99": at(0.99)}


@dataclass
class Talk:
    """The results of calls that have ended; times are seconds of one clock."""

    seconds: float
    sounds: list[bytes]
    noisy: int
    """The number of calls, counted from the first, that are noise."""
    sent: int = 0
    passed_on: int = 0
    unsent: int = 0
    spool: int = 0
    """The size of the spools in bytes, when all had talked and none had hung up."""
    cpu: dict[str, Row] = field(default_factory=dict)
    """CPU seconds of each process: during the talk, and from then until all were fetched."""
    peaks_mb: Row = field(default_factory=dict)
    """The highest memory of each process so far.

    That of the finaliser counts its worker processes, and the files that they map once. It is
    looked at every 50 ms, from the first call on.
    """
    hung_up: dict[str, float] = field(default_factory=dict)
    listed: dict[str, float] = field(default_factory=dict)
    fetched: dict[str, float] = field(default_factory=dict)
    rows: dict[str, Listed] = field(default_factory=dict)

    @property
    def hours(self) -> float:
        """The duration of all calls together."""
        return len(self.rows) * self.seconds / HOUR_S

    def waited(self) -> dict[str, Row]:
        """Return the seconds from each call's BYE until its recording was listed and fetched."""
        return {
            what: shares([when[number] - begun for number, begun in self.hung_up.items()])
            for what, when in (("listed", self.listed), ("fetchable", self.fetched))
        }

    def archived(self) -> dict[str, int]:
        """Return the bytes of a call-hour in the archive, for noise and for speech."""
        sizes = [self.rows[number].size for number in self.hung_up]
        kinds = {"noise": sizes[: self.noisy], "speech": sizes[self.noisy :]}
        return {
            kind: round(sum(found) * HOUR_S / (len(found) * self.seconds))
            for kind, found in kinds.items()
            if found
        }


class Crowd:
    """Calls through a site's switch; one socket sends the packets of all."""

    def __init__(self, at: Site, pids: Mapping[str, int], token: str) -> None:
        """Prepare the calls; `pids` are the running processes, `token` is an administrator's."""
        self._at, self._pids = at, pids
        self._stage = Stage(Address(SWITCH, at.sip))
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx2.AsyncClient(base_url=at.url, headers=headers, timeout=60)

    async def talk(self, numbers: range, seconds: float, *, followed: bool) -> Talk:
        """Place the calls, let them talk, hang up, and wait until each can be fetched.

        If they are not `followed`, the finaliser and its workers are suspended (SIGSTOP) until they
        hang up.
        """
        talk = Talk(seconds, *said_by(len(numbers)))
        finaliser = self._pids["finaliser"]
        memory: list[float] = []
        watching = asyncio.create_task(watch_memory(finaliser, memory))
        await self._stage.open(self._at.pbx)
        with listening(CALLER) as sink:
            calls = await self._place(numbers, sink)
            if not followed:
                signal_all(finaliser, signal.SIGSTOP)
            before = self._spent()
            await self._speak(talk, sink, calls)
            talked = self._spent()
            signal_all(finaliser, signal.SIGCONT)
            await self._hang_up(talk, calls)
            ended = self._spent()
        watching.cancel()
        talk.peaks_mb = {name: peak_mb(pid) for name, pid in self._pids.items()}
        talk.peaks_mb["finaliser"] = max(memory)
        for name in self._pids:
            talk.cpu[name] = {
                "talking": talked[name] - before[name],
                "ending": ended[name] - talked[name],
            }
        for row in talk.rows.values():
            await fetch(self._client, row.call_id)
        await self._client.aclose()
        return talk

    async def _place(self, numbers: range, sink: socket.socket) -> dict[str, Call]:
        def party(_host: str) -> Voice:
            return Voice(CALLER, sink)

        calls = {numbered(number): Call(party(CALLER), LINE, party) for number in numbers}
        await self._stage.place({name: call for (name, _), call in calls.items()})
        return {number: call for (_, number), call in calls.items()}

    async def _speak(self, talk: Talk, sink: socket.socket, calls: Mapping[str, Call]) -> None:
        parties = [party for call in calls.values() for party in (call.caller, call.callee)]
        ports = [party.to[1] for party in parties if party is not None and party.to is not None]
        traffic = await asyncio.to_thread(exchange, sink, ports, talk.seconds, sounds=talk.sounds)
        talk.sent, talk.passed_on, talk.unsent = traffic.sent, traffic.back, traffic.unsent
        talk.spool = sum(file.stat().st_size for file in self._at.spool.glob("*.spool"))

    def _spent(self) -> Row:
        return {name: cpu_us(pid) / 1e6 for name, pid in self._pids.items()}

    async def _hang_up(self, talk: Talk, calls: Mapping[str, Call]) -> None:
        """Hang up all calls at once, and wait for their recordings."""

        async def one(number: str, call: Call) -> None:
            talk.hung_up[number] = time.perf_counter()
            await self._stage.hang_up(call)

        watching = asyncio.create_task(self._watch(talk, [*calls]))
        await asyncio.gather(*(one(*each) for each in calls.items()))
        await watching

    async def _watch(self, talk: Talk, numbers: Sequence[str]) -> None:
        """Ask the index repeatedly, and queue new recordings to be fetched."""
        until = time.monotonic() + PATIENCE_S
        new: asyncio.Queue[str] = asyncio.Queue()
        taking = asyncio.create_task(self._take(talk, new, len(numbers)))
        while waiting := [number for number in numbers if number not in talk.rows]:
            if time.monotonic() > until:
                raise SystemExit("not every call was sealed and listed")
            for number, row in self._at.listed(waiting).items():
                talk.rows[number] = row
                talk.listed[number] = time.perf_counter()
                new.put_nowait(number)
            await asyncio.sleep(POLL_S)
        await taking

    async def _take(self, talk: Talk, new: asyncio.Queue[str], count: int) -> None:
        """Fetch one recording after the other, and check the first bytes."""
        for _ in range(count):
            number = await new.get()
            url = f"/api/v1/recordings/{talk.rows[number].call_id}/fetch"
            async with self._client.stream("POST", url, json=WHY) as reply:
                first = await anext(reply.raise_for_status().aiter_raw())
            if not first.startswith(b"age-encryption.org/v1"):
                raise SystemExit("what was fetched is no recording")
            talk.fetched[number] = time.perf_counter()
