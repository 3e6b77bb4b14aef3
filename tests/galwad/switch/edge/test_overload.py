"""The refusal of new calls when the switch is full or late."""

from __future__ import annotations

import pytest

from galwad.settings.switch import SipSection
from galwad.switch.edge.overload import OverloadControl

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
    load.late(0.2, 0.0, 99.9)
    assert not load.refuses(9, INVITE, 100.0)
    assert load.refused == 0


def test_a_call_above_the_limit_is_refused(load):
    assert load.refuses(10, INVITE, 100.0)


def test_a_late_loop_does_not_refuse_a_call_when_no_other_is_live(load):
    load.late(9.0, 0.0, 99.4)
    load.late(9.0, 0.0, 99.5)
    assert not load.refuses(0, INVITE, 100.0)


def test_a_loop_that_was_late_twice_within_the_last_second_refuses_new_calls(load):
    load.late(0.4, 0.0, 99.2)
    load.late(0.3, 0.0, 99.5)
    load.late(0.0, 0.0, 99.9)
    assert load.refuses(1, INVITE, 100.0)
    assert not load.refuses(1, ("another",), 100.3)


def test_a_single_long_delay_refuses_no_call(load):
    load.late(0.05, 0.0, 99.0)
    load.late(3.0, 0.0, 99.5)
    load.late(0.05, 0.0, 99.7)
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


def accepted(load, number, now):
    """Return how many of this number of new calls are accepted."""
    return sum(not load.refuses(1, (f"{now} {each}",), now) for each in range(number))


def late_for(load, tenths, since, *, loop_s=0.0, media_s=0.0, message_s=0.0, cpu_wait_s=0.0):
    """Let the switch be late for some tenths of a second; return the time afterwards."""
    for tenth in range(tenths):
        load.message_waited(message_s)
        load.late(loop_s, media_s, since + tenth / 10, cpu_wait_s)
    return since + tenths / 10


@pytest.mark.parametrize("kind", ["loop_s", "media_s"])
def test_a_lasting_delay_of_loop_or_media_refuses_a_growing_share_of_new_calls(load, kind):
    load.late(0.0, 0.0, 99.9)
    now = late_for(load, 3, 100.0, **{kind: 0.1})
    assert load.share == pytest.approx(0.85)
    now = late_for(load, 4, now, **{kind: 0.1})
    assert load.share == pytest.approx(0.85**5)
    late_for(load, 100, now, **{kind: 0.1})
    assert 20 <= accepted(load, 1000, 200.0) <= 21


def test_the_share_is_the_part_of_the_new_calls_that_is_accepted(load):
    now = late_for(load, 3, 100.0, media_s=0.1)
    assert 85 <= accepted(load, 100, now) <= 86


def test_the_share_rises_again_when_the_switch_is_punctual(load):
    now = late_for(load, 100, 100.0, media_s=0.1)
    now = late_for(load, 10, now)
    assert 51 <= accepted(load, 100, now) <= 53
    now = late_for(load, 10, now)
    assert accepted(load, 100, now) == 100


def test_delays_of_two_tenths_of_a_second_refuse_no_call(load):
    now = 100.0
    for _ in range(20):
        now = late_for(load, 2, now, loop_s=0.2)
        now = late_for(load, 1, now)
    assert accepted(load, 100, now) == 100


def test_a_delay_up_to_its_limit_refuses_no_call(load):
    now = late_for(load, 50, 100.0, loop_s=0.06, media_s=0.06, message_s=0.24)
    assert accepted(load, 100, now) == 100


@pytest.mark.parametrize("loop_s", [0.1, 0.3, 2.0])
def test_a_delay_that_other_programs_cause_refuses_no_call(load, loop_s):
    now = late_for(load, 100, 100.0, loop_s=loop_s, cpu_wait_s=loop_s)
    assert accepted(load, 100, now) == 100


def test_the_switchs_own_part_of_a_delay_refuses_calls_even_if_other_programs_cause_the_rest(load):
    now = late_for(load, 10, 100.0, loop_s=0.9, cpu_wait_s=0.6)
    assert load.lag(now) == pytest.approx(0.3)
    assert accepted(load, 100, now) == 0


def test_a_delay_of_media_refuses_calls_even_if_other_programs_cause_the_delay(load):
    now = late_for(load, 100, 100.0, loop_s=0.1, media_s=0.1, cpu_wait_s=0.1)
    assert accepted(load, 1000, now) <= 21
    now = late_for(load, 10, now, loop_s=0.3, media_s=0.3, cpu_wait_s=0.3)
    assert accepted(load, 1000, now) == 0


def test_messages_that_wait_because_of_other_programs_refuse_no_call(load):
    now = late_for(load, 5, 100.0, loop_s=0.1, message_s=0.3, cpu_wait_s=0.1)
    assert not load.refuses(1, INVITE, now, 0.3)
    now = late_for(load, 15, now, loop_s=0.1, message_s=0.8, cpu_wait_s=0.01)
    assert load.refuses(1, INVITE, now, 0.8)


def test_an_invite_that_waited_as_long_as_earlier_messages_is_refused(load):
    now = late_for(load, 3, 100.0, message_s=0.3)
    assert load.share == 1.0
    assert load.refuses(1, INVITE, now, 0.3)
    assert not load.refuses(1, ("punctual",), now, 0.2)
    assert not load.refuses(0, ("only",), now, 0.3)


def test_the_invites_of_a_burst_are_not_refused_although_they_wait(load):
    now = late_for(load, 2, 100.0, message_s=0.3)
    assert not load.refuses(1, INVITE, now, 0.3)
    now = late_for(load, 1, now)
    now = late_for(load, 2, now, message_s=0.3)
    assert not load.refuses(1, ("another",), now, 0.3)


def test_the_only_call_is_accepted_even_if_the_share_of_accepted_calls_is_small(load):
    late_for(load, 100, 100.0, media_s=0.1)
    assert not load.refuses(0, INVITE, 110.0)


def test_the_copy_of_a_refused_invite_uses_up_no_share(load):
    late_for(load, 6, 100.0, media_s=0.1)  # the share is 52 %
    refused = next(each for each in zip("abcdef") if load.refuses(1, each, 101.0))
    assert all(load.refuses(1, refused, 101.1) for _ in range(10))
    assert 51 <= accepted(load, 100, 101.2) <= 53
