"""Work that took more than its share of the time must rest."""

from __future__ import annotations

import time

import pytest

from telephony.aio.work_share import WorkShare, WorkTimer


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def share(clock):
    return WorkShare(0.25, clock)


def test_work_rests_until_it_took_its_share_of_the_time(share, clock):
    clock.now += 0.01
    share.spend(0.01)
    assert (share.rest_s, share.debt_s) == pytest.approx((0.03, 0.0075))
    clock.now += 0.02
    assert (share.rest_s, share.debt_s) == pytest.approx((0.01, 0.0025))
    clock.now += 0.02
    assert (share.rest_s, share.debt_s) == (0.0, 0.0)


def test_rest_is_not_saved_up_for_later_work(share, clock):
    clock.now += 1000.0
    share.spend(0.01)
    assert share.rest_s == pytest.approx(0.03)


def test_the_rests_for_several_pieces_of_work_add_up(share):
    share.spend(0.01)
    share.spend(0.01)
    assert share.rest_s == pytest.approx(0.08)


def test_the_time_of_busy_work_is_its_time_on_the_clock(clock):
    cpu_clock = Clock()
    timer = WorkTimer(clock, cpu_clock)
    clock.now += 0.03
    cpu_clock.now += 0.02
    assert timer.seconds == pytest.approx(0.03)


def test_work_that_waited_counts_at_most_twice_its_processor_time(
    clock,
):
    cpu_clock = Clock()
    timer = WorkTimer(clock, cpu_clock)
    clock.now += 8.0
    cpu_clock.now += 0.01
    assert timer.seconds == pytest.approx(0.02)


def test_a_timer_measures_the_processor_time_of_its_own_thread():
    timer = WorkTimer()
    time.sleep(0.2)
    assert timer.seconds < 0.1
