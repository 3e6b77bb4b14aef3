"""Segments and gaps add up to the talk time, to the microsecond.

Random calls with payments, transfers, identities, failing disks, and a process that is killed and
started again any number of times. Each is sealed, and its manifest is compared with its talk time.

Covers `recording/archive/call_facts.py`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from recording.archive.summary import RecordingSummary, party_networks
from recording.errors import SpoolWriteError
from recording.index.coverage import compare
from recording.index.ledger import AnsweredCall
from recording.policy import DestinationClass, ShutCauses, Trigger
from recording.recorder import Recorder
from recording.spool import Clock, SpoolWriter

US = 1_000_000
CALL_ID = "20260301-090000-abcdefgh"
SIAN = "user:sian"
WALL, MONO = 1_772_355_600.25, 500.0

STEPS = st.one_of(
    st.tuples(st.just("talk"), st.integers(1, 150)),
    st.tuples(st.just("hold"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("release"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("refer"), st.sampled_from(list(DestinationClass))),
    st.tuples(st.just("back"), st.none()),
    st.tuples(st.just("returned"), st.none()),
    st.tuples(st.just("named"), st.sampled_from(list(DestinationClass))),
    st.tuples(st.just("refused"), st.none()),
    st.tuples(st.just("killed"), st.integers(0, 300)),
)


@dataclass
class Lives:
    """One call, and the lives of the process that records it; the test sets `now`."""

    office: Office
    rtp: Callable[..., bytes]
    erase_back_s: float
    now: float = MONO
    life: int = 0

    def begin(self, standing: ShutCauses | None = None) -> None:
        """Begin a life of the process: the call's first, or one that continues the call."""
        self.life += 1
        office, life = self.office, self.life
        office.spools.mkdir(exist_ok=True)
        started = Clock(WALL + self.now - MONO, self.now)
        self.recorder = Recorder(
            lambda: SpoolWriter.create(
                *(office.spools, office.runtime, CALL_ID, life, office.boot_key, None, started)
            ),
            started,
            clock=lambda: self.now,
            wall=lambda: WALL + self.now - MONO,
            erase_back_s=self.erase_back_s,
        )
        self.recorder.event("call", {"number": "+442079460123", "line": "main"})
        for track in (0, 1):
            self.recorder.event("media", {"track": track, "payloads": {"8": ["PCMA", 8000, 1, ""]}})
        if standing is None:
            self.recorder.answered("sian", "201")
        else:
            self.recorder.restored(standing, "sian", "201")

    def kill(self, hundredths: int) -> None:
        """Kill the process; after this time the next life continues from the files on disk."""
        standing = self.recorder.shut_causes
        root = self.office.root.with_name(f"life-{self.life}")
        shutil.copytree(self.office.root, root)
        self.recorder.close()
        self.office = Office(root, self.office.officer, self.office.boot_key, self.office.node)
        self.now = round(self.now + hundredths / 100, 2)
        self.begin(standing)

    def talk(self, packets: int) -> None:
        """Send this many packets of 20 ms from each party, with a tick a second."""
        for _ in range(packets):
            index = round((self.now - MONO) * 50)
            for track in (0, 1):
                self.recorder.tap(track, self.rtp(track, index), self.now, False)
            self.now = round(self.now + 0.02, 2)
            if index % 50 == 49:
                self.recorder.tick()

    async def take(self, what: str, detail) -> None:
        """Take one step."""
        match what:
            case "talk":
                self.talk(detail)
            case "killed":
                self.kill(detail)
            case "hold":
                self.recorder.pause(detail, Trigger.PAGE, SIAN)
            case "release":
                await self.recorder.resume(detail, SIAN)
            case "refer":
                self.recorder.referred(detail, "phone:201", "somewhere")
            case "back":
                self.recorder.transfer_failed()
            case "returned":
                self.recorder.returned()
            case "named":
                self.recorder.identity_changed("system")
                self.recorder.identity_classed(detail)
            case "refused":
                self.recorder._disk_failed(SpoolWriteError("tried"))

    async def run(self, steps) -> None:
        """Run the whole call."""
        self.begin()
        self.talk(10)
        for step in steps:
            await self.take(*step)
        self.talk(10)
        self.recorder.ended("bye")
        self.recorder.close()


def row_of(recording) -> RecordingSummary:
    """Return the index's row."""
    manifest, personal = recording.manifest, recording.personal
    return RecordingSummary(
        **msgspec.structs.asdict(personal),
        call_id=CALL_ID,
        folder=recording.folder,
        started=manifest.started_us / US,
        talk_us=manifest.talk_us,
        interrupted=manifest.interrupted,
        payload_size=manifest.payload.size,
        payload_sha256=manifest.payload.sha256,
        manifest_sha256=recording.manifest_sha256,
        unexplained_us=manifest.unexplained_us,
        gaps=tuple(manifest.gaps),
        network=party_networks(manifest.tracks),
    )


@given(st.lists(STEPS, max_size=14), st.sampled_from([0.0, 2.0]))
@settings(deadline=None, max_examples=examples(40))
def test_segments_and_gaps_add_up_to_the_talk_time_after_any_number_of_crashes(
    tmp_path_factory, rtp, steps, erase_back_s
):
    root = tmp_path_factory.mktemp("talk") / "life-0"
    root.mkdir()
    lives = Lives(Office(root), rtp, erase_back_s)
    asyncio.run(lives.run(steps))
    office = lives.office
    spools = sorted(office.spools.glob("*.spool"), key=lambda path: int(path.name.split(".")[1]))
    recording = office.seal(*spools)
    manifest = recording.manifest
    # Each life measures time from its own start, which is rounded.
    assert abs(manifest.talk_us - (lives.now - MONO) * US) <= lives.life
    assert manifest.unexplained == []
    parts = sorted((p.from_us, p.to_us) for p in (*manifest.segments, *manifest.gaps))
    assert (parts[0][0], parts[-1][1]) == (0, manifest.talk_us)
    assert all(end == start for (_, end), (start, _) in pairwise(parts))
    told = AnsweredCall(CALL_ID, WALL, WALL + manifest.talk_us / US, manifest.talk_us)
    data = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    covered = compare(row_of(recording), data, told)
    assert covered.is_clean, covered.problems
    assert covered.recorded_us + covered.gap_us == covered.talk_us
