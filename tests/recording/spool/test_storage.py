"""A spool whose disk goes away: the call continues in another, and both are one recording.

Covers `recording/spool/outbox.py` and `recording/spool/format.py`.
"""

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from helpers.recording.states import state_of
from recording.archive.accounting import balance, packet_problems
from recording.archive.manifest import Interval
from recording.errors import ArchiveError, SpoolSyncError
from recording.policy import DestinationClass, RecordingState, Trigger
from recording.recorder import Recorder
from recording.spool import Clock, EventRecord, PacketRecord, SpoolWriter, is_live
from recording.spool.storage import MOVE_AFTER_US
from recording.spool.sync import TICK_S

US = 1_000_000
AWAY_S = MOVE_AFTER_US / US
CALL_ID = "20260301-090000-abcdefgh"
SIAN = "user:sian"
WALL = 1_772_355_600.25
MONO = 500.0
PATIENCE_S = 30


@dataclass
class Live:
    """A call in an office whose spool folder is a disk that tests take away; they turn its clock.

    `rtp` makes the packets of each party; `kept` and `dropped` hold their indices in the call.
    """

    office: Office
    rtp: Callable[..., bytes]
    now: float = MONO
    life: int = 0
    opened: list[SpoolWriter] = field(default_factory=list)
    kept: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)

    def __post_init__(self):
        self.office.spools.mkdir(exist_ok=True)
        self.recorder = Recorder(
            self._open,
            Clock(WALL, MONO),
            clock=lambda: self.now,
            wall=lambda: WALL + self.now - MONO,
        )
        self.tick_at = self.now + TICK_S
        self.recorder.event("call", {"number": "+442079460123", "line": "main"})
        for track in (0, 1):
            self.recorder.event("media", {"track": track, "payloads": {"8": ["PCMA", 8000, 1, ""]}})
        self.recorder.answered("sian", "201")

    def _open(self):
        self.life += 1
        office = self.office
        writer = SpoolWriter.create(
            *(office.spools, office.runtime, CALL_ID, self.life, office.boot_key, None),
            Clock(WALL, MONO),
        )
        self.opened.append(writer)
        return writer

    @property
    def at_us(self):
        return round((self.now - MONO) * US)

    def talk(self, seconds, *, silent=False):
        for _ in range(round(seconds * 50)):
            index = round(self.at_us / 20_000)
            for track in () if silent else (0, 1):
                self.recorder.tap(track, self.rtp(track, index), self.now, False)
            if not silent:
                (self.kept if self.recorder.gate.is_open else self.dropped).add(index)
            self.now = round(self.now + 0.02, 3)
            if self.now >= self.tick_at:
                self.recorder.tick()
                self.tick_at += TICK_S

    def away(self):
        """Take the disk away, so that the folder below its mount point is visible."""
        gone = Path(mkdtemp(dir=self.office.root))
        self.office.spools.rename(gone / "spool")
        self.office.spools.mkdir()
        return gone / "spool"

    def back(self, disk):
        """Mount the disk again, over the files that were written meanwhile."""
        below = Path(mkdtemp(dir=self.office.root))
        self.office.spools.rename(below / "spool")
        disk.rename(self.office.spools)
        return below / "spool"

    def end(self):
        """Hang up, and return the spools when no process holds one any more."""
        self.recorder.ended("bye")
        self.recorder.close()
        return self.spools()

    def spools(self):
        limit = time.monotonic() + PATIENCE_S
        while True:
            if not any(is_live(path) for path in self.office.spools.glob("*.spool")):
                # Copies may have been completed since the folder was read.
                return sorted(self.office.spools.glob("*.spool"))
            assert time.monotonic() < limit, "somebody holds a spool"
            time.sleep(0.01)

    def heard(self, index, track=0):
        """Return whether the recording contains this packet's sound at its time."""
        samples, _ = self.office.audio()
        return bool(np.any(samples[index * 160 + 16 : index * 160 + 144, track]))


@pytest.fixture
def live(office, rtp):
    return Live(office, rtp)


def told(path, office, kind):
    with office.keys.open(path) as reader:
        return [
            (record.at_us, dict(record.fields))
            for record in reader
            if isinstance(record, EventRecord) and record.kind == kind
        ]


def balanced(manifest):
    parts = [
        [Interval(part.from_us, part.to_us) for part in parts]
        for parts in (manifest.segments, manifest.gaps)
    ]
    return not balance(manifest.talk_us, *parts).unaccounted and not manifest.unexplained


def test_a_call_whose_disk_stays_away_continues_in_a_new_spool_as_one_recording(live, office):
    live.talk(5)
    live.away()
    live.talk(AWAY_S + 3)
    assert state_of(live.recorder) is RecordingState.RECORDING
    live.talk(3)
    first, second = live.end()
    assert (first.name, second.name) == (f"{CALL_ID}.1.spool", f"{CALL_ID}.2.spool")
    manifest = office.seal(first, second).manifest
    assert balanced(manifest)
    assert [(life.life, life.interrupted) for life in manifest.lives] == [(1, True), (2, False)]
    (gap,) = manifest.gaps
    assert (gap.reason, gap.trigger, gap.actor) == ("fault", "storage", "system")
    assert 5 * US <= gap.from_us <= 6 * US
    assert MOVE_AFTER_US <= gap.to_us - gap.from_us <= MOVE_AFTER_US + 2 * US
    assert manifest.talk_us == live.at_us
    lost = sorted(live.dropped)
    assert lost == list(range(gap.from_us // 20_000, gap.to_us // 20_000))
    for index in (10, lost[0] - 2, lost[-1] + 2, live.at_us // 20_000 - 2):
        assert live.heard(index), index
    assert not live.heard(lost[0] + 1)
    assert not live.heard(lost[-1] - 1)


def test_the_open_frame_moves_to_the_new_spool_even_after_a_moment_of_silence(live, office):
    live.talk(5)
    live.talk(live.tick_at - live.now)
    live.talk(0.2, silent=True)
    begun = live.at_us // 20_000
    live.talk(0.4)
    live.away()
    live.talk(AWAY_S + 3)
    manifest = office.seal(*live.end()).manifest
    assert balanced(manifest)
    (gap,) = manifest.gaps
    assert gap.from_us >= (begun + 20) * 20_000
    assert live.heard(begun + 1)
    assert live.heard(begun + 18)


def test_audio_lost_on_the_first_disk_before_the_new_spool_begins_is_in_a_gap(live, office):
    live.talk(5)
    kept, until = live.opened[0].path.stat().st_size, live.tick_at - TICK_S
    live.talk(3)
    live.away()
    live.talk(AWAY_S + 3)
    first, second = live.end()
    first.write_bytes(first.read_bytes()[:kept])
    manifest = office.seal(first, second).manifest
    assert balanced(manifest)
    lost = round((until - MONO) * 50) + 50
    assert not live.heard(lost)
    assert any(gap.from_us < lost * 20_000 < gap.to_us for gap in manifest.gaps)


def test_a_disk_that_returns_in_time_is_written_to_as_before(live, office):
    live.talk(2)
    disk = live.away()
    live.talk(AWAY_S - 2)
    assert state_of(live.recorder) is RecordingState.FAULT
    live.back(disk)
    live.talk(3)
    (path,) = live.end()
    assert len(live.opened) == 1
    manifest = office.seal(path).manifest
    assert balanced(manifest)
    assert [gap.reason for gap in manifest.gaps] == ["fault"]
    assert not manifest.interrupted


async def test_a_pause_from_before_the_move_stays_in_force_and_ends_in_the_new_spool(live, office):
    live.talk(2)
    live.recorder.pause("page", Trigger.PAGE, SIAN)
    live.talk(1)
    live.away()
    live.talk(AWAY_S + 3)
    assert state_of(live.recorder) is RecordingState.PAUSED
    assert live.recorder.status().pause_holders == ("page",)
    assert not live.recorder.gate.is_open
    assert await live.recorder.resume("page", SIAN)
    live.talk(2)
    paths = live.end()
    holder = {"holder": "page", "trigger": "page", "actor": SIAN}
    assert told(paths[1], office, "holder") == [(2 * US, holder)]
    manifest = office.seal(*paths).manifest
    assert balanced(manifest)
    assert [(gap.reason, gap.from_us) for gap in manifest.gaps] == [("payment", 2 * US)]
    assert not any(live.heard(index) for index in sorted(live.dropped)[1:-1:50])


async def test_a_pause_made_while_the_disk_is_away_is_written_to_the_new_spool(live, office):
    live.talk(2)
    live.away()
    live.talk(2)
    live.recorder.pause("page", Trigger.PAGE, SIAN)
    assert not await live.recorder.make_durable()
    live.talk(AWAY_S)
    assert state_of(live.recorder) is RecordingState.PAUSED
    assert live.recorder.status().storage_works
    await live.recorder.resume("page", SIAN)
    live.talk(1)
    manifest = office.seal(*live.end()).manifest
    assert balanced(manifest)
    assert [gap.reason for gap in manifest.gaps] == ["fault", "payment"]


def test_a_transfer_in_progress_continues_in_the_new_spool(live, office):
    live.talk(1)
    live.recorder.referred(DestinationClass.CENTRE, "phone:201", "welsh-line")
    live.talk(1)
    live.away()
    live.talk(AWAY_S + 3)
    paths = live.end()
    assert [fields["to"] for _, fields in told(paths[1], office, "segment")] == ["welsh-line"]


def test_without_the_first_spool_the_second_is_sealed_as_the_whole_call_with_a_gap(live, office):
    live.talk(4)
    live.away()
    live.talk(AWAY_S + 3)
    live.talk(2)
    first, second = live.end()
    first.unlink()
    sealed = office.seal(second)
    manifest = sealed.manifest
    assert balanced(manifest)
    assert manifest.talk_us == live.at_us
    assert manifest.started_us == round(WALL * US)
    assert {(gap.reason, gap.trigger) for gap in manifest.gaps} == {("fault", "storage")}
    assert manifest.gaps[0].from_us == 0
    assert "the spool of its beginning is missing" in [fault.why for fault in manifest.faults]
    assert (sealed.personal.number, sealed.personal.advisor) == ("+442079460123", "sian")
    assert not live.heard(10)
    assert live.heard(live.at_us // 20_000 - 2)


def test_a_first_disk_that_returns_during_the_call_hides_no_audio_stored_meanwhile(live, office):
    live.talk(3)
    disk = live.away()
    live.talk(AWAY_S + 3)
    live.back(disk)
    live.talk(AWAY_S + 3)
    live.talk(1)
    paths = live.end()
    assert [path.name.split(".")[1] for path in paths] == ["1", "2", "3"]
    manifest = office.seal(*paths).manifest
    assert balanced(manifest)
    assert len(manifest.gaps) == 2
    assert all(live.heard(index) for index in sorted(live.kept)[1:-1:25])


def test_a_spool_hidden_below_the_mounted_disk_is_a_gap_between_the_other_spools(live, office):
    live.talk(3)
    disk = live.away()
    live.talk(AWAY_S + 3)
    live.back(disk)
    live.talk(AWAY_S + 3)
    first, second, third = live.end()
    second.unlink()
    manifest = office.seal(first, third).manifest
    assert balanced(manifest)
    assert {gap.trigger for gap in manifest.gaps} == {"storage"}


def test_a_first_spool_that_returns_after_sealing_changes_nothing(live, office):
    live.talk(3)
    disk = live.away()
    live.talk(AWAY_S + 3)
    paths = live.end()
    sealed = office.seal(*paths)
    again = office.seal(disk / paths[0].name)
    assert again.manifest == sealed.manifest


def test_a_sync_failure_before_the_disk_goes_away_does_not_stop_the_move(live, office):
    live.talk(2)
    live.recorder.sync_failed(SpoolSyncError("syncfs: Input/output error"))
    live.away()
    live.talk(AWAY_S + 3)
    assert state_of(live.recorder) is RecordingState.RECORDING
    assert balanced(office.seal(*live.end()).manifest)


def test_the_gap_of_a_failed_sync_begins_with_the_packets_that_the_disk_refuses(
    live, office, monkeypatch
):
    def refuse(_fd, _data):
        raise OSError(errno.EROFS, "Read-only file system")

    live.talk(live.tick_at - live.now)
    written = live.at_us
    live.talk(0.3)
    with monkeypatch.context() as patch:
        patch.setattr("recording.spool.file.write_all", refuse)
        live.recorder.sync_failed(SpoolSyncError("syncfs: Read-only file system"))
        live.talk(1)
    live.away()
    live.talk(AWAY_S + 3)
    manifest = office.seal(*live.end()).manifest
    assert balanced(manifest)
    assert packet_problems(manifest) == []
    assert manifest.gaps[0].from_us == written
    first = next(stretch for stretch in manifest.packets if not stretch.gap)
    assert [party.dropped for party in first.parties] == [{"fault": 15}, {"fault": 15}]


def test_a_full_disk_starts_no_new_spool(spools, small_disk):
    now = [0.0]
    lives: list[int] = []

    def open_spool():
        lives.append(len(lives) + 1)
        return spools.writer(life=lives[-1], folder=small_disk.folder)

    recorder = Recorder(open_spool, Clock(WALL, 0.0), clock=lambda: now[0])
    recorder.answered("sian", "201")

    def talk(seconds):
        for _ in range(round(seconds * 10)):
            recorder.tap(0, bytes(172), now[0], False)
            now[0] = round(now[0] + 0.1, 3)
            if round(now[0] * 10) % 9 == 0:
                recorder.tick()

    talk(3)
    small_disk.fill()
    talk(AWAY_S * 3)
    assert state_of(recorder) is RecordingState.FAULT
    small_disk.free()
    talk(3)
    assert state_of(recorder) is RecordingState.RECORDING
    recorder.close()
    assert lives == [1]


def test_if_no_new_spool_can_be_opened_the_call_returns_to_its_old_spool(live, office):
    live.talk(2)
    disk = live.away()
    office.spools.rmdir()
    live.talk(AWAY_S * 2)
    assert state_of(live.recorder) is RecordingState.FAULT
    disk.rename(office.spools)
    live.talk(3)
    (path,) = live.end()
    assert balanced(office.seal(path).manifest)


def test_a_first_spool_found_after_archiving_is_refused_and_kept(live, office, monkeypatch):
    live.talk(2)
    disk = live.away()
    monkeypatch.setattr("recording.spool.outbox._LEAVE", 1 << 50)
    live.talk(AWAY_S + 3)
    paths = live.end()
    assert [path.name for path in paths] == [f"{CALL_ID}.2.spool"]
    manifest = office.seal(*paths).manifest
    assert balanced(manifest)
    paths[0].unlink()
    with pytest.raises(ArchiveError, match="got another spool after it was archived"):
        office.seal(disk / f"{CALL_ID}.1.spool")
    assert (disk / f"{CALL_ID}.1.spool").exists()
    assert office.archive.find(CALL_ID) == manifest


STEPS = st.one_of(
    st.tuples(st.just("talk"), st.integers(1, 40)),
    st.tuples(st.just("hold"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("release"), st.sampled_from(["page", "api"])),
    st.tuples(st.just("refer"), st.sampled_from(list(DestinationClass))),
    st.tuples(st.just("back"), st.none()),
    st.tuples(st.just("away"), st.sampled_from([20, 130])),
)


async def take(live, what, detail):
    match what:
        case "talk":
            live.talk(detail / 10)
        case "hold":
            live.recorder.pause(detail, Trigger.PAGE, SIAN)
        case "release":
            await live.recorder.resume(detail, SIAN)
        case "refer":
            live.recorder.referred(detail, "phone:201", "somewhere")
        case "back":
            live.recorder.transfer_failed()
        case "away":
            live.away()
            live.talk(detail / 10)


async def take_all(live, steps):
    for what, detail in steps:
        await take(live, what, detail)
    live.talk(AWAY_S + 3)


@given(st.lists(STEPS, max_size=8))
@settings(deadline=None, max_examples=examples(25))
def test_any_sequence_of_events_stores_nothing_from_a_shut_gate_and_explains_every_second(
    tmp_path_factory, rtp, steps
):
    live = Live(Office(tmp_path_factory.mktemp("office")), rtp)
    asyncio.run(take_all(live, steps))
    paths = live.end()
    stored = set()
    for path in paths:
        with live.office.keys.open(path) as reader:
            stored |= {
                round(record.at_us / 20_000)
                for record in reader
                if isinstance(record, PacketRecord)
            }
    assert stored <= live.kept
    # Half of the first packet after a pause or transfer can be from before it ended.
    ends = sum(what in {"release", "back"} for what, _ in steps)
    assert len(live.kept - stored) <= ends
    manifest = live.office.seal(*paths).manifest
    assert balanced(manifest)
    assert manifest.talk_us == live.at_us
