"""The officer's view of the demo's call: the recording is listed, verified and opened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from demo_proof import between, find
from demo_report import Report, Unseen, expect
from demo_site import Site
from demo_sound import RATE, Samples

_KEPT = {
    "advisor-1": 1,
    "caller-1": 0,
    "advisor-2": 1,
    "advisor-3": 1,
    "caller-2": 0,
    "advisor-4": 1,
}
"""The sentences that must be in the recording, with their tracks."""
_NEVER = ("caller-card", "department-1", "caller-3")
_INDEXED = 2.0
"""The seconds after the hang-up in which a recording is normally listed.

The demo waits five times as long.
"""


class Inspection:
    """Runs the officer's commands on one recording."""

    def __init__(self, report: Report, site: Site, call_id: str) -> None:
        self._report = report
        self._site = site
        self._call_id = call_id
        self.sound = site.keys / f"{call_id}.flac"

    async def run(self) -> None:
        """Run all steps."""
        self._report.title("The recording")
        account = self._site.accounts["officer"]
        with self._report.step("The officer signs in on the command line"):
            words = ("login", "--server", self._site.url, "--user", "officer", "--password-stdin")
            await self._site.run(*words, stdin=f"{account['password']}\n")
        row = await self._listed()
        await self._verified()
        await self._fetched()
        with self._report.step(
            "Speech is on its own track, whole: caller left, advisor right"
        ) as t:
            sound = self._read()
            t.append(self._speech(sound))
        with self._report.step("Card and department are silence of their true length") as t:
            t.append(self._gaps(sound, row))
        with self._report.step("`galwad recordings show` draws it"):
            shown = await self._site.run("recordings", "show", self._call_id)
            drawn = all(reason in shown for reason in ("erased", "payment", "transfer"))
            expect(drawn, "the three gaps to be drawn", shown)
        self._report.raw(shown)

    async def _listed(self) -> dict[str, Any]:
        with self._report.step("`galwad recordings list` has it soon after the hang-up") as told:
            started = asyncio.get_running_loop().time()
            rows: list[dict[str, Any]] = []
            while not rows:
                expect(
                    asyncio.get_running_loop().time() - started < 5 * _INDEXED,
                    "the recording in the list",
                )
                page = await self._site.ask("recordings", "list")
                rows = [row for row in page["rows"] if row["call_id"] == self._call_id]
            row = rows[0]
            reasons = [gap["reason"] for gap in row["gaps"]]
            expected = ["erased", "payment", "transfer"]
            expect(reasons == expected, "a pause with what it erased, and a transfer", reasons)
            expect(not row["unexplained_s"], "every second explained", row["unexplained_s"])
            expect(not row["interrupted"], "a recording that was not interrupted")
            told.append(f"{row['talk_s']:.1f} s of talk, gaps: {', '.join(reasons)}")
        return row

    async def _verified(self) -> None:
        archive = self._site.state / "archive"
        with self._report.step("`galwad recordings verify` proves it, from the server and offline"):
            identity, node = str(self._site.keys / "identity.txt"), str(archive / "demo.pub")
            keys = ("--identity", identity, "--node-key", node)
            purpose = ("--purpose", "quality-training", "--reference", "DEMO-1")
            words = ("recordings", "verify", self._call_id, *purpose)
            (online,) = await self._site.ask(*words, *keys)
            expect(online["whole"], "the server's files to be whole", online)
            (offline,) = await self._site.ask("recordings", "verify", str(archive), *keys)
            expect(offline["whole"], "its files to be whole", offline)

    async def _fetched(self) -> None:
        with self._report.step("`galwad recordings fetch` opens it with the officer's key") as told:
            purpose = ("--purpose", "quality-training", "--reference", "DEMO-1")
            keys = ("--identity", str(self._site.keys / "identity.txt"))
            words = ("recordings", "fetch", self._call_id, *purpose, *keys)
            result = await self._site.ask(*words, "--output", str(self.sound))
            told.append(f"{Path(result['file']).name}, {result['octets'] // 1000} kB")

    def _read(self) -> Samples:
        """Return the recording as (samples, 2), from -1 to 1."""
        sound, rate = soundfile.read(self.sound, dtype="float64", always_2d=True)
        expect(rate == RATE and sound.shape[1] == 2, "stereo at 8 kHz", (rate, sound.shape))
        found: Samples = sound
        return found

    def _speech(self, sound: Samples) -> str:
        least = 1.0
        for name, track in _KEPT.items():
            found, other = find(name, sound[:, track]), find(name, sound[:, 1 - track])
            expect(found.said, f"“{name}” on its track", found)
            expect(other.absent, f"“{name}” on its track alone", other)
            least = min(least, found.correlation)
        return f"{len(_KEPT)} sentences, correlation at least {least:.2f}"

    def _gaps(self, sound: Samples, row: dict[str, Any]) -> str:
        for gap in row["gaps"]:
            silence = between(sound, gap["from_us"], gap["to_us"])
            loudest = float(np.max(np.abs(silence), initial=0.0))
            least = RATE // 4 if gap["reason"] == "erased" else RATE
            expect(len(silence) > least, f"more of {gap['reason']}", len(silence))
            expect(not loudest, f"exact silence in the {gap['reason']} gap", loudest)
        for name in _NEVER:
            for track in (0, 1):
                found = find(name, sound[:, track])
                expect(found.absent, f"“{name}” nowhere in the recording", found)
        length, talk = len(sound) / RATE, row["talk_s"]
        if abs(length - talk) > 0.1:
            raise Unseen(f"a file of {talk:.2f} s, as long as the talk", f"{length:.2f} s")
        return ", ".join(
            f"{gap['reason']} {(gap['to_us'] - gap['from_us']) / 1e6:.1f} s" for gap in row["gaps"]
        )
