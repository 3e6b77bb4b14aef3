"""The limits for wrong codes after right passwords."""

from __future__ import annotations

import pytest

from galwad.people.sign_in import limits as subject
from galwad.people.sign_in.limits import CodeGuesses

HOME = "192.0.2.0"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guesses(clock):
    return CodeGuesses(clock)


def test_strangers_together_have_ten_wrong_codes_an_hour_for_an_account(guesses, clock):
    for _ in range(subject.CODES_OF_STRANGERS.most):
        assert guesses.wait("sian", "") == 0
        guesses.wrong("sian", "")
        clock.now += 60
    assert guesses.wait("sian", "") == 3001
    assert guesses.wait("huw", "") == 0
    clock.now += 3001
    assert guesses.wait("sian", "") == 0


def test_after_ten_wrong_codes_a_known_place_has_one_code_a_minute(guesses, clock):
    for _ in range(subject.CODES_OF_A_SOURCE.most):
        assert guesses.wait("sian", HOME) == 0
        guesses.wrong("sian", HOME)
    assert guesses.wait("sian", HOME) == 61
    assert guesses.wait("sian", "device") == guesses.wait("sian", "") == 0
    clock.now += subject.CODE_PACE_S
    assert guesses.wait("sian", HOME) == 0


def test_wrong_codes_of_strangers_do_not_delay_a_known_place(guesses):
    for _ in range(100):
        guesses.wrong("sian", "")
    assert guesses.wait("sian", HOME) == 0


def test_a_right_code_clears_only_the_count_of_the_place_from_which_it_comes(guesses):
    for _ in range(subject.CODES_OF_STRANGERS.most):
        guesses.wrong("sian", "")
    guesses.wrong("sian", HOME)
    guesses.right("sian", HOME)
    assert guesses.wait("sian", "") > 0
    guesses.right("sian", "")
    assert guesses.wait("sian", "") == 0
    guesses.right("huw", "")


def test_the_alarm_is_due_at_the_fifth_wrong_code_and_once_an_hour(guesses, clock):
    due = []
    for _ in range(9):
        guesses.wrong("sian", HOME)
        due.append(guesses.alarm_due("sian"))
    assert due == [False] * 4 + [True] + [False] * 4
    clock.now += subject.CODES_ALARM.window_s
    assert not guesses.alarm_due("sian")
    for _ in range(subject.CODES_ALARM.most):
        guesses.wrong("sian", HOME)
    assert guesses.alarm_due("sian")
