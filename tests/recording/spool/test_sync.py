"""One syncfs for all spools, and the listeners that receive its failures."""

import asyncio
import errno
import os
import threading

import pytest

from recording.errors import SpoolSyncError
from recording.spool import SpoolSync
from recording.spool.sync import syncfs


class Disk:
    """A stand-in for the kernel's syncfs; tests set the results of the next calls."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.done = threading.Event()

    def __call__(self, fd: int) -> None:
        os.fstat(fd)
        answer = self.answers.pop(0) if self.answers else 0
        if not self.answers:
            self.done.set()
        if answer:
            raise OSError(answer, os.strerror(answer))


class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.well = asyncio.Event()

    def sync_failed(self, error: SpoolSyncError) -> None:
        self.heard.append(str(error))

    def sync_succeeded(self) -> None:
        self.heard.append("well")
        self.well.set()


async def test_every_listener_receives_each_sync_failure_and_its_end(tmp_path):
    disk = Disk(0, errno.EIO, errno.ENOSPC, 0)
    sync = SpoolSync(tmp_path, interval_s=0.001, call=disk)
    one, other, gone = Listener(), Listener(), Listener()
    for listener in (one, other, gone):
        sync.attach(listener)
    sync.detach(gone)
    sync.start(asyncio.get_running_loop())
    await asyncio.wait_for(one.well.wait(), 10)
    await asyncio.to_thread(sync.stop)
    assert one.heard == other.heard
    assert one.heard == [
        f"syncfs: {os.strerror(errno.EIO)}",
        f"syncfs: {os.strerror(errno.ENOSPC)}",
        "well",
    ]
    assert gone.heard == []
    assert sync.error is None


async def test_the_real_syncfs_succeeds_on_a_real_folder(tmp_path):
    rounds = []

    def real(fd):
        rounds.append(fd)
        syncfs(fd)

    sync = SpoolSync(tmp_path, interval_s=60, call=real)
    listener = Listener()
    sync.attach(listener)
    sync.start(asyncio.get_running_loop())
    (tmp_path / "file").write_bytes(b"x")
    await asyncio.to_thread(sync.stop)
    assert len(rounds) == 1
    assert listener.heard == []


def test_syncfs_raises_the_kernels_error():
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        syncfs(-1)


async def test_each_sync_opens_the_folder_that_is_at_the_path_now(tmp_path):
    folder, synced = tmp_path / "spool", []
    folder.mkdir()
    sync = SpoolSync(folder, interval_s=60, call=lambda fd: synced.append(os.fstat(fd).st_ino))
    listener = Listener()
    sync.attach(listener)
    assert sync._round() is None
    folder.rename(tmp_path / "old")
    assert "No such file" in str(sync._round())
    folder.mkdir()
    assert sync._round() is None
    assert synced == [(tmp_path / "old").stat().st_ino, folder.stat().st_ino]
    sync.stop()
