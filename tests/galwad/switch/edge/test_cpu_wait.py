"""The time for which other programs run instead of this thread, as the kernel counts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from galwad.switch.edge.overload import CpuWait

CPU_S = 0.2
RIVALS = 3


@pytest.fixture
def one_cpu():
    """Keep this thread on one processor, and return its number."""
    before = os.sched_getaffinity(0)
    number = max(before)
    os.sched_setaffinity(0, {number})
    yield number
    os.sched_setaffinity(0, before)


@pytest.fixture
def rivals(one_cpu):
    """Programs that never rest, on the same processor; they inherit it from this thread."""
    code = "print(flush=True)\nwhile True: pass"
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for _ in range(RIVALS)
    ]
    for each in started:
        assert each.stdout is not None
        each.stdout.readline()
    yield started
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture
def cpu_wait():
    measured = CpuWait()
    yield measured
    measured.close()


def test_the_time_for_which_other_programs_keep_the_thread_waiting_is_counted(rivals, cpu_wait):
    cpu_wait.since_last()
    began, cpu_began = time.monotonic(), time.thread_time()
    while time.thread_time() - cpu_began < CPU_S:
        pass
    others_s = time.monotonic() - began - (time.thread_time() - cpu_began)
    waited = cpu_wait.since_last()
    assert others_s > CPU_S
    assert waited == pytest.approx(others_s, rel=0.25)


def test_the_time_of_a_sleep_is_not_counted(cpu_wait):
    shares = []
    for _ in range(10):  # a busy machine can stop the thread just before it sleeps
        began = time.monotonic()
        cpu_wait.since_last()
        time.sleep(0.02)
        shares.append(cpu_wait.since_last() / (time.monotonic() - began))
    assert min(shares) < 0.5


def test_a_kernel_without_scheduling_statistics_gives_a_waiting_time_of_0(tmp_path):
    missing = CpuWait(tmp_path / "schedstat")
    assert missing.since_last() == 0.0
    missing.close()
