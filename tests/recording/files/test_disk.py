"""A disk that hangs: callers wait only a short time, and its late writes are undone."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from recording.files.disk import DIRECT_DISK, WatchedDisk

SOON = 30.0
PATIENCE_S = 0.05


class Hang:
    """A job that lasts until `let_go` is called."""

    def __init__(self):
        self._go_on = threading.Event()
        self.begun = threading.Event()

    def __call__(self):
        self.begun.set()
        assert self._go_on.wait(SOON)
        return "late"

    def let_go(self):
        self._go_on.set()


@pytest.fixture
def hang():
    hang = Hang()
    yield hang
    hang.let_go()


@pytest.fixture
def disk():
    return WatchedDisk(time_limit_s=PATIENCE_S, backoff_s=0.0)


def wait_while(disk):
    for _ in range(round(SOON / 0.01)):
        if not disk.is_hanging:
            return
        threading.Event().wait(0.01)
    pytest.fail("it goes on and is still taken for one that hangs")


def refuse():
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("disk", [DIRECT_DISK, WatchedDisk()])
def test_a_job_on_a_working_disk_returns_its_result_or_raises_its_error(disk):
    done: list = []
    assert disk.run(lambda: 7, done.append) == 7
    with pytest.raises(PermissionError):
        disk.run(refuse)
    disk.run_later(lambda: done.append("entrusted"))
    with pytest.raises(PermissionError):
        disk.run_later(refuse)
    assert done == ["entrusted"]


def test_a_hanging_disk_times_out_and_runs_no_jobs_until_it_answers(disk, hang):
    asked = []
    for _ in range(2):
        with pytest.raises(TimeoutError) as refused:
            disk.run(hang)
        assert refused.value.strerror == "the disk does not answer"
    for _ in range(1000):
        with pytest.raises(TimeoutError):
            disk.run(lambda: asked.append("meanwhile"))
    hang.let_go()
    wait_while(disk)
    disk.time_limit_s = SOON  # a busy machine may keep the thread waiting for longer
    assert disk.run(lambda: "again") == "again"
    assert asked == []


def test_a_job_that_finishes_late_is_undone_before_other_jobs_run(disk, hang):
    done = []
    with pytest.raises(TimeoutError):
        disk.run(hang, lambda gave: done.append(f"undo what is {gave}"))
    disk.run_later(lambda: done.append("entrusted"))
    assert done == []
    hang.let_go()
    wait_while(disk)
    disk.time_limit_s = SOON  # a busy machine may keep the thread waiting for longer
    disk.run(lambda: done.append("asked"))
    assert done == ["undo what is late", "entrusted", "asked"]


def test_a_job_that_timed_out_before_it_began_is_never_run(disk, hang):
    done = []
    disk.run_later(hang)
    assert disk.is_hanging
    disk.run_later(lambda: done.append("entrusted"))
    with pytest.raises(TimeoutError):
        disk.run(lambda: done.append("asked"), done.append)
    hang.let_go()
    wait_while(disk)
    disk.time_limit_s = SOON  # a busy machine may keep the thread waiting for longer
    disk.run(lambda: None)
    assert done == ["entrusted"]


def test_a_disk_that_hung_is_not_used_during_the_backoff(hang):
    disk = WatchedDisk(time_limit_s=PATIENCE_S, backoff_s=SOON)
    undone = threading.Event()
    with pytest.raises(TimeoutError):
        disk.run(hang, lambda _: undone.set())
    hang.let_go()
    assert undone.wait(SOON)
    with pytest.raises(TimeoutError):
        disk.run(lambda: None)


STOPPED = """
import os, signal, time
from recording.files.disk import WatchedDisk

def job():
    os.kill(os.getpid(), signal.SIGSTOP)
    for _ in range(10):  # a few more turns of the processor
        time.sleep(0.01)
    return "in time"

print(WatchedDisk(time_limit_s=1.0).run(job))
"""


def test_time_in_which_the_process_was_stopped_does_not_count_as_a_hang():
    """This happens when a hypervisor moves the machine or saves its memory."""
    with subprocess.Popen([sys.executable, "-c", STOPPED], stdout=subprocess.PIPE, text=True) as it:
        assert os.WIFSTOPPED(os.waitpid(it.pid, os.WUNTRACED)[1])
        time.sleep(2.0)
        it.send_signal(signal.SIGCONT)
        assert it.communicate(timeout=SOON)[0] == "in time\n"


def test_a_failing_undo_does_not_stop_later_jobs(disk, hang):
    with pytest.raises(TimeoutError):
        disk.run(hang, lambda _: refuse())
    hang.let_go()
    wait_while(disk)
    disk.time_limit_s = SOON  # a busy machine may keep the thread waiting for longer
    assert disk.run(lambda: 7) == 7


def test_a_job_near_the_time_limit_is_either_done_or_undone(tmp_path):
    """In any order of threads, the file exists if the job was done, and not if it timed out."""
    disk = WatchedDisk(time_limit_s=0.0005, backoff_s=0.0)
    place = tmp_path / "place"
    outcomes = set()
    close = (0.0001, 0.0003, 0.0005, 0.0007) * 5
    for wait in itertools.islice(itertools.cycle((*close, 0.02)), 420):  # and one that is too late

        def make(wait=wait):
            threading.Event().wait(wait)
            place.touch()

        try:
            disk.run(make, lambda _: place.unlink())
        except TimeoutError:
            wait_while(disk)
            outcomes.add("given up")
            assert not place.exists()
        else:
            outcomes.add("done")
            place.unlink()
    assert outcomes == {"done", "given up"}
