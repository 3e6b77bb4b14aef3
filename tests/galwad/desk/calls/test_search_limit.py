"""The limit for searches by a text."""

from __future__ import annotations

from galwad.desk.calls.search_limit import MOST, WINDOW_S, SearchLimit
from helpers.desk import Clock


def test_a_user_who_has_searched_too_often_must_wait_and_others_need_not():
    clock = Clock()
    limit = SearchLimit(clock)
    assert {limit.take("sian") for _ in range(MOST)} == {0.0}
    clock.now += 100
    assert limit.take("sian") == WINDOW_S - 100
    assert limit.take("huw") == 0
    clock.now += WINDOW_S - 100
    assert limit.take("sian") == 0
