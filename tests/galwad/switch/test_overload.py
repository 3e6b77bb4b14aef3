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


def test_a_switch_that_has_room_takes_the_call(load):
    load.late(0.2, 99.9)
    assert not load.refuses(9, INVITE, 100.0)
    assert load.refused == 0


def test_one_call_too_many_is_refused(load):
    assert load.refuses(10, INVITE, 100.0)


def test_a_loop_that_was_late_refuses_nobody_whom_it_could_not_disturb(load):
    load.late(9.0, 99.5)
    assert not load.refuses(0, INVITE, 100.0)


def test_a_loop_that_was_late_within_the_last_second_takes_no_new_calls(load):
    load.late(0.3, 99.5)
    load.late(0.0, 99.9)
    assert load.refuses(1, INVITE, 100.0)
    assert not load.refuses(0, ("another",), 100.6)


def test_a_call_needs_two_pairs_of_ports(load, room):
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


def test_memory_is_bounded_however_many_are_refused(load):
    for number in range(5000):
        load.refuses(10, (str(number),), 100.0)
    assert len(load._answered) == 1024
    assert load.refuses(0, ("4999",), 100.0)
