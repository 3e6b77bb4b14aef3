"""The refusal of new calls when the switch is full or late."""

from __future__ import annotations

import pytest

from config.sections import SipSection
from galwad.switch.overload import OverloadControl

INVITE = ("call", "tag", "1", "branch")


@pytest.fixture
def room():
    return {"pairs": 100}


@pytest.fixture
def load(room):
    sip = SipSection.model_validate(
        {"listen": ["udp:127.0.0.1:0"], "max_calls": 10, "max_lag": 0.25}
    )
    return OverloadControl(sip, lambda: room["pairs"])


def test_a_switch_below_its_limits_accepts_a_call(load):
    load.late(0.2, 99.9)
    assert not load.refuses(9, INVITE, 100.0)
    assert load.refused == 0


def test_a_call_above_the_limit_is_refused(load):
    assert load.refuses(10, INVITE, 100.0)


def test_a_late_loop_does_not_refuse_a_call_when_no_other_is_live(load):
    load.late(9.0, 99.4)
    load.late(9.0, 99.5)
    assert not load.refuses(0, INVITE, 100.0)


def test_a_loop_that_was_late_twice_within_the_last_second_refuses_new_calls(load):
    load.late(0.4, 99.2)
    load.late(0.3, 99.5)
    load.late(0.0, 99.9)
    assert load.refuses(1, INVITE, 100.0)
    assert not load.refuses(1, ("another",), 100.3)


def test_a_single_long_delay_refuses_no_call(load):
    load.late(0.2, 99.0)
    load.late(3.0, 99.5)
    load.late(0.1, 99.7)
    assert not load.refuses(1, INVITE, 99.8)
    assert not load.refuses(1, INVITE, 100.4)


def test_a_call_is_refused_when_fewer_than_two_port_pairs_are_free(load, room):
    room["pairs"] = 2
    assert not load.refuses(0, INVITE, 100.0)
    room["pairs"] = 1
    assert load.refuses(0, INVITE, 100.0)


def test_a_copy_of_a_refused_invite_is_refused_as_well(load):
    assert load.refuses(10, INVITE, 100.0)
    assert load.refuses(0, INVITE, 131.0)
    assert not load.refuses(0, INVITE, 133.0)


def test_a_refused_call_counts_once_however_often_its_invite_is_repeated(load):
    for now in (100.0, 100.5, 101.5):
        assert load.refuses(10, INVITE, now)
    assert load.refuses(0, INVITE, 103.5)
    assert load.refused == 1
    assert load.refuses(10, ("another",), 104.0)
    assert load.refused == 2


def test_the_list_of_refused_invites_is_bounded(load):
    for number in range(5000):
        load.refuses(10, (str(number),), 100.0)
    assert len(load._answered) == 1024
    assert load.refuses(0, ("4999",), 100.0)
