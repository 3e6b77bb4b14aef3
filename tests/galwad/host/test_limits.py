"""The limits of one user, and the window of time that counts events of each key."""

from __future__ import annotations

import pytest

from galwad.calls.live_calls import SEARCHES
from galwad.host.limits import Rate, Window
from galwad.notes.open_notes import DRAFTS
from helpers.desk import Clock


@pytest.mark.parametrize("rate", [SEARCHES, DRAFTS])
def test_a_user_who_has_asked_too_often_must_wait_and_others_need_not(rate):
    clock = Clock()
    limit = Window[str](rate, clock)
    assert {limit.take("sian") for _ in range(rate.most)} == {0.0}
    clock.now += 10
    assert limit.take("sian") == rate.window_s - 10
    assert limit.take("huw") == 0
    clock.now += rate.window_s - 10
    assert limit.take("sian") == 0


def test_removing_events_from_a_full_window_makes_room_for_new_events():
    clock = Clock()
    window = Window[str](Rate(2, 60.0), clock)
    for _ in range(3):
        window.add("sian")
    window.remove_newest("sian")
    assert window.wait("sian") == 60
    window.remove_newest("sian")
    assert window.wait("sian") <= 0
    window.remove_newest("sian")
    window.remove_newest("sian")
    assert len(window) == 0


def test_a_user_who_reaches_the_limit_is_reported_once_in_each_window_of_time():
    clock = Clock()
    window = Window[str](Rate(1, 60.0), clock)
    assert not window.report_due("sian")
    window.add("sian")
    assert window.report_due("sian")
    assert not window.report_due("sian")
    clock.now += 60
    assert not window.report_due("sian")
    window.add("sian")
    assert window.report_due("sian")


def test_events_that_are_too_old_leave_no_key_behind():
    clock = Clock()
    window = Window[str](Rate(1, 60.0), clock)
    window.add("sian")
    clock.now += 60
    window.add("huw")
    assert len(window) == 1
