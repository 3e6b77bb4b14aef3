"""The limit for the requests of one user."""

from __future__ import annotations

import pytest

from galwad.people.user_limit import DRAFTS, SEARCHES, UserLimit
from helpers.desk import Clock


@pytest.mark.parametrize("rate", [SEARCHES, DRAFTS])
def test_a_user_who_has_asked_too_often_must_wait_and_others_need_not(rate):
    clock = Clock()
    limit = UserLimit(rate, clock)
    assert {limit.take("sian") for _ in range(rate.most)} == {0.0}
    clock.now += 10
    assert limit.take("sian") == rate.window_s - 10
    assert limit.take("huw") == 0
    clock.now += rate.window_s - 10
    assert limit.take("sian") == 0
