"""A spool whose disk keeps failing: the call continues on the spare disk.

Covers `recording/spool/storage.py` and `recording/spool/outbox.py`.
"""

import asyncio
import errno
import os
import time
from pathlib import Path
from typing import NamedTuple, cast
from unittest.mock import Mock

import pytest

from helpers.recording.states import state_of
from recording.errors import SpoolSyncError, has_failed
from recording.files.disk import Disk
from recording.policy import RecordingState
from recording.recorder import Recorder
from recording.spool import Clock, EventRecord, PacketRecord
from recording.spool import file as spool_file
from recording.spool.storage import MOVE_AFTER_US
from recording.spool.sync import SpoolSync

AWAY_S = MOVE_AFTER_US / 1_000_000


class Sync:
    """The sync of the first disk's folder; tests decide the results."""

    def __init__(self, folder):
        self.folder = folder

    def attach(self, listener):
        self.listener = listener

    def detach(self, listener):
        self.listener = None


class Live:
    """A call with two disks; the first fails with `error` while a test sets it."""

    def __init__(self, spools, spare=None):
        self.spools, self.spare = spools, spare
        self.error = None
        self.is_mounted = True
        """Whether the spare folder is on another disk."""
        self.now = 0.0
        self.lives = []
        spools.folder.mkdir()
        self.sync = Sync(spools.folder)
        self.recorder = Recorder(
            self.open,
            Clock(1_700_000_000.0, 0.0),
            clock=lambda: self.now,
            sync=cast("SpoolSync", self.sync),
            open_on_other_disk=None if spare is None else lambda: self.open(spare),
            has_other_disk=lambda: self.is_mounted,
        )
        self.recorder.answered("sian", "201")

    def open(self, folder=None):
        writer = self.spools.writer(len(self.lives) + 1, folder=folder)
        self.lives.append(writer.path)
        return writer

    def write(self, fd, data):
        """Write in place of the spool writer's own function."""
        inside = Path(f"/proc/self/fd/{fd}").readlink().parent == self.spools.folder
        if self.error is not None and inside:
            raise OSError(self.error, os.strerror(self.error))
        assert os.write(fd, data) == len(data)

    def talk(self, seconds):
        for _ in range(round(seconds * 10)):
            self.recorder.tap(0, b"%f" % self.now, self.now, False)
            self.now = round(self.now + 0.1, 3)
            if round(self.now * 10) % 9 == 0:
                self.recorder.tick()

    def said(self, path):
        with self.spools.read(path, crashed=True) as reader:
            records = list(reader)
        packets = [float(each.data) for each in records if isinstance(each, PacketRecord)]
        return packets, [each.kind for each in records if isinstance(each, EventRecord)]


def wait_for(path):
    limit = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < limit, path.name
        time.sleep(0.01)


@pytest.fixture
def live(spools, tmp_path, monkeypatch):
    spare = tmp_path / "spare"
    spare.mkdir()
    live = Live(spools, spare)
    monkeypatch.setattr(spool_file, "write_all", live.write)
    yield live
    live.recorder.close()


async def test_a_call_moves_to_a_spare_disk_that_was_mounted_during_the_call(live):
    live.is_mounted = False
    live.talk(3)
    live.error = errno.EIO
    live.talk(AWAY_S + 5)
    assert state_of(live.recorder) is RecordingState.FAULT
    assert len(live.lives) == 1
    assert "Input/output error" in str(live.recorder.storage.error)
    live.is_mounted = True
    live.talk(2)
    assert state_of(live.recorder) is RecordingState.RECORDING
    assert live.lives[1].parent == live.spare


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENODEV])
async def test_a_call_moves_to_the_spare_disk_after_ten_seconds_of_errors(live, number):
    live.talk(3)
    live.error = number
    live.talk(AWAY_S - 1)
    assert state_of(live.recorder) is RecordingState.FAULT
    assert len(live.lives) == 1
    live.talk(3)
    assert state_of(live.recorder) is RecordingState.RECORDING
    began = live.now
    live.talk(2)
    live.recorder.close()
    first, second = live.lives
    assert second.parent == live.spare
    packets, kinds = live.said(second)
    assert min(packets) <= began
    assert max(packets) == pytest.approx(live.now - 0.1)
    assert kinds[0] == "answered"
    assert {"gap-start", "gap-end"} <= set(kinds)
    assert live.said(first)[0][0] == 0.0
    copy = live.spare / first.name
    await asyncio.to_thread(wait_for, copy)
    assert live.said(copy) == live.said(first)


async def test_a_disk_that_works_again_within_ten_seconds_is_kept(live):
    for _ in range(3):
        live.talk(3)
        live.error = errno.EIO
        live.talk(AWAY_S - 2)
        live.error = None
    live.talk(2)
    assert state_of(live.recorder) is RecordingState.RECORDING
    assert len(live.lives) == 1


async def test_a_call_on_a_full_disk_does_not_move_to_the_spare_disk(live):
    live.talk(3)
    live.error = errno.ENOSPC
    live.talk(AWAY_S * 3)
    assert state_of(live.recorder) is RecordingState.FAULT
    live.error = None
    live.talk(2)
    assert state_of(live.recorder) is RecordingState.RECORDING
    assert len(live.lives) == 1


async def test_sync_failures_of_the_first_disk_are_ignored_after_the_move(live):
    live.talk(1)
    live.error = errno.EIO
    live.talk(AWAY_S + 3)
    assert state_of(live.recorder) is RecordingState.RECORDING
    live.sync.listener.sync_failed(SpoolSyncError("syncfs: Input/output error"))
    assert state_of(live.recorder) is RecordingState.RECORDING


async def test_a_call_moves_to_the_spare_disk_if_only_syncs_keep_failing(live):
    live.talk(1)
    failed = SpoolSyncError("syncfs: Input/output error")
    failed.__cause__ = OSError(errno.EIO, "Input/output error")
    for _ in range(round(AWAY_S) + 3):
        if len(live.lives) == 1:
            live.recorder.sync_failed(failed)
        live.talk(1)
    assert [path.parent for path in live.lives] == [live.spools.folder, live.spare]
    assert state_of(live.recorder) is RecordingState.RECORDING


async def test_without_a_spare_disk_a_call_waits_for_its_own_disk(spools, monkeypatch):
    live = Live(spools)
    monkeypatch.setattr(spool_file, "write_all", live.write)
    live.talk(1)
    live.error = errno.EIO
    live.talk(AWAY_S * 2)
    assert state_of(live.recorder) is RecordingState.FAULT
    assert "Input/output error" in str(live.recorder.storage.error)
    live.error = None
    live.talk(1)
    assert state_of(live.recorder) is RecordingState.RECORDING
    live.recorder.close()
    assert len(live.lives) == 1


async def test_a_call_moves_to_a_missing_spare_disk_as_soon_as_it_returns(live):
    live.talk(1)
    live.error = errno.EIO
    live.spare.rmdir()
    live.talk(AWAY_S + 5)
    assert state_of(live.recorder) is RecordingState.FAULT
    live.spare.mkdir()
    live.talk(1)
    assert state_of(live.recorder) is RecordingState.RECORDING
    assert live.recorder.writer.path.parent == live.spare


class Statvfs(NamedTuple):
    """The fields of `os.statvfs` that the spool reads."""

    f_bavail: int
    f_files: int = 1000
    f_favail: int = 500
    f_frsize: int = 4096


@pytest.mark.parametrize(
    ("there", "number"),
    [
        (Statvfs(1000), errno.EIO),
        (Statvfs(1000, f_files=0, f_favail=0), errno.EIO),
        (Statvfs(15), errno.ENOSPC),
        (Statvfs(1000, f_favail=0), errno.ENOSPC),
    ],
    ids=["free space", "no limit of inodes", "full", "no inodes"],
)
def test_a_disk_that_accepts_no_file_has_failed_only_if_it_has_free_space(
    tmp_path, monkeypatch, there, number
):
    monkeypatch.setattr(os, "statvfs", lambda _folder: there)
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch.setattr(os, "link", Mock(side_effect=full))
        with pytest.raises(OSError, match="space") as refused:
            spool_file.SpoolFile(tmp_path / "1.spool", b"data", Disk())
    assert refused.value.errno == number
    assert has_failed(refused.value) == (number == errno.EIO)
    assert not list(tmp_path.iterdir())
