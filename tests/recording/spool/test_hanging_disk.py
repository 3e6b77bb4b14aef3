"""A spool whose disk hangs: late writes are undone, and the call's end is still written.

Covers `recording/spool/file.py` and `recording/spool/outbox.py`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading

import pytest

from helpers.recording.states import state_of
from recording.errors import SpoolGoneError, SpoolWriteError
from recording.files.disk import WatchedDisk
from recording.policy import RecordingState, Trigger
from recording.recorder import Recorder
from recording.spool import Clock, EventRecord, PacketRecord
from recording.spool import file as spool_file

SOON = 30.0
PATIENCE_S = 0.5
"""Seconds; long enough that the threads of a busy machine do not look like a hanging disk."""


class HangingDisk(WatchedDisk):
    """A disk whose writes wait while it is frozen, and complete when it is thawed."""

    def __init__(self):
        super().__init__(time_limit_s=SOON, backoff_s=0.0)
        self._goes = threading.Event()
        self._goes.set()

    def freeze(self):
        self._goes.clear()
        self.time_limit_s = PATIENCE_S

    def pause(self, seconds):
        """Let writes wait for this many seconds, less than the time limit."""
        self._goes.clear()
        threading.Timer(seconds, self._goes.set).start()

    def write(self, fd, data):
        """Write in place of the spool writer's own function."""
        assert self._goes.wait(SOON)
        assert os.write(fd, data) == len(data)

    def thaw(self):
        """Let waiting writes complete, and return when they are done and undone."""
        self._goes.set()
        self.time_limit_s = SOON
        for _ in range(round(SOON / 0.01)):
            if not self.is_hanging:
                self.run_later(lambda: None)
                return
            threading.Event().wait(0.01)
        pytest.fail("it hangs for ever")


@pytest.fixture
def disk(monkeypatch):
    disk = HangingDisk()
    monkeypatch.setattr(spool_file, "write_all", disk.write)
    yield disk
    disk.thaw()


class Live:
    """A call whose packets contain their time of arrival in seconds."""

    def __init__(self, spools, disk):
        self.now = 0.0
        self.recorder = Recorder(
            lambda: spools.writer(disk=disk),
            Clock(1_700_000_000.0, 0.0),
            clock=lambda: self.now,
            erase_back_s=2.0,
        )
        self.recorder.answered("sian", "201")

    def talk(self, seconds):
        for _ in range(round(seconds * 10)):
            self.recorder.tap(0, b"%f" % self.now, self.now, False)
            self.now = round(self.now + 0.1, 3)
            if round(self.now * 10) % 10 == 0:
                self.recorder.tick()


@pytest.fixture
def live(spools, disk):
    return Live(spools, disk)


def told(spools, path):
    with spools.read(path) as reader:
        records = list(reader)
        assert not reader.interrupted
    packets = [float(each.data) for each in records if isinstance(each, PacketRecord)]
    return packets, [each for each in records if isinstance(each, EventRecord)]


def test_a_write_that_completes_late_is_truncated_away(spools, disk, live):
    live.talk(2)
    path = live.recorder.writer.path
    before = path.read_bytes()
    disk.freeze()
    live.talk(3)
    assert state_of(live.recorder) is RecordingState.FAULT
    assert "the disk does not answer" in str(live.recorder.storage.error)
    disk.thaw()
    assert path.read_bytes() == before
    live.talk(1)
    assert state_of(live.recorder) is RecordingState.RECORDING
    live.talk(2)
    live.recorder.close()
    packets, events = told(spools, path)
    assert [each for each in packets if each < 2] == [n / 10 for n in range(20)]
    assert [each for each in packets if 2 <= each < 6] == []
    assert [each for each in packets if each >= 6] == [n / 10 for n in range(60, 80)]
    (start,) = [each.at_us for each in events if each.kind == "gap-start"]
    (end,) = [each.at_us for each in events if each.kind == "gap-end"]
    assert (start, end) == (2_000_000, 6_000_000)


def test_a_disk_that_answers_within_the_time_limit_loses_nothing(spools, disk, live):
    live.talk(2)
    path = live.recorder.writer.path
    disk.pause(PATIENCE_S)
    live.talk(3)
    live.recorder.close()
    packets, events = told(spools, path)
    assert packets == [n / 10 for n in range(50)]
    assert [each for each in events if each.kind.startswith("gap")] == []


def test_the_end_of_a_call_during_a_hang_is_written_when_the_disk_answers_again(spools, disk, live):
    live.talk(2)
    writer = live.recorder.writer
    disk.freeze()
    live.talk(2)
    live.recorder.ended("caller-hung-up")
    live.recorder.close()
    with writer.path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    disk.thaw()
    with writer.path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    packets, events = told(spools, writer.path)
    assert packets == [n / 10 for n in range(20)]
    kinds = [each.kind for each in events if each.kind not in {"clock", "pulse", "packets"}]
    assert kinds[-5:] == ["fault", "gap-start", "gap-end", "counters", "ended"]
    assert list(spools.keys.iterdir()) == []


def test_a_spool_file_that_is_created_late_is_removed(spools, disk):
    disk.freeze()
    with pytest.raises(SpoolWriteError, match="the disk does not answer"):
        spools.writer(disk=disk)
    assert list(spools.keys.iterdir()) == []
    disk.thaw()
    assert list(spools.folder.iterdir()) == []
    spools.writer(disk=disk).close(0)


async def test_a_pause_during_a_hang_shuts_the_gate_at_once_and_erases_unwritten_audio(
    spools, disk, live
):
    """The frame keys are in memory, so that audio becomes unreadable without the disk."""
    live.talk(3)
    path = live.recorder.writer.path
    disk.freeze()
    live.talk(0.5)
    live.recorder.pause("page", Trigger.API, "sian")
    assert not live.recorder.gate.is_open
    assert not await live.recorder.make_durable(PATIENCE_S)
    live.talk(2)
    disk.thaw()
    await asyncio.sleep(0)
    live.talk(2)
    assert state_of(live.recorder) is RecordingState.PAUSED
    live.recorder.close()
    packets, _ = told(spools, path)
    assert packets == [n / 10 for n in range(10)]  # of the frame with 1.5 s, nothing can be kept


def test_a_spool_on_a_hanging_disk_is_not_reported_as_gone(disk, live):
    live.talk(1)
    disk.freeze()
    live.talk(1)
    with pytest.raises(SpoolWriteError) as refused:
        live.recorder.writer.check_path()
    assert not isinstance(refused.value, SpoolGoneError)


def test_a_spool_that_is_discarded_while_the_disk_hangs_is_removed_afterwards(disk, live):
    live.talk(2)
    path = live.recorder.writer.path
    disk.freeze()
    live.talk(3)
    live.recorder.discard("answered-elsewhere")
    assert path.exists()
    disk.thaw()
    assert not path.exists()
