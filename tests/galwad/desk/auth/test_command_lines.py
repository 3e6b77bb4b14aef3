"""Command lines that wait for an approval: codes, time limits, and one use of each secret."""

from __future__ import annotations

import re

import pytest

from galwad.desk.auth.command_lines import (
    FETCH_S,
    LIFETIME_S,
    MOST_FROM_A_NETWORK,
    MOST_WAITING,
    Approver,
    CommandLines,
    TooManyError,
    canonical,
)
from helpers.desk import Clock

HOST, NETWORK = "192.0.2.7", "192.0.2.7"


@pytest.fixture
def waiting(clock):
    return CommandLines(clock)


@pytest.fixture
def clock():
    return Clock()


def test_a_code_has_eight_consonants_and_a_secret_is_long(waiting):
    secret, new = waiting.begin(HOST, NETWORK)
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", new.code)
    assert len(secret) >= 40


@pytest.mark.parametrize("text", ["bcdf-ghjk", "BCDFGHJK", " bcdf ghjk "])
def test_a_code_may_be_typed_in_small_letters_and_without_the_hyphen(text):
    assert canonical(text) == "BCDF-GHJK"


@pytest.mark.parametrize("text", ["", "BCDF", "BCDF-GHJA", "BCDF-GHJ1", "BCDF-GHJKL", "é" * 8])
def test_a_text_that_is_no_code_finds_nothing(waiting, text):
    waiting.begin(HOST, NETWORK)
    assert canonical(text) == ""
    assert waiting.find(text) is None


def test_an_approved_command_line_gets_its_user_once(waiting):
    secret, new = waiting.begin(HOST, NETWORK)
    assert waiting.redeem(secret) == new
    sian = Approver("sian", provider=True, stepped_up=1_800_000_000.0)
    assert waiting.approve(new.code, sian) is not None
    assert waiting.redeem(secret).approver == sian
    assert waiting.redeem(secret) is None


def test_the_code_does_not_work_as_the_secret_and_another_secret_gets_nothing(waiting):
    _, new = waiting.begin(HOST, NETWORK)
    other, _ = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, Approver("sian"))
    assert waiting.redeem(new.code) is None
    assert waiting.redeem(other).approver.user == ""


def test_an_approved_code_cannot_be_approved_for_another_user(waiting):
    secret, new = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, Approver("sian"))
    assert waiting.approve(new.code, Approver("huw")) is None
    assert waiting.redeem(secret).approver.user == "sian"


def test_a_command_line_that_is_not_approved_in_time_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    clock.now += LIFETIME_S + 1
    assert waiting.find(new.code) is None
    assert waiting.approve(new.code, Approver("sian")) is None
    assert waiting.redeem(secret) is None


def test_an_approval_that_is_not_fetched_soon_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, Approver("sian"))
    clock.now += FETCH_S + 1
    assert waiting.redeem(secret) is None


def test_one_network_cannot_take_the_places_of_others_and_places_become_free(waiting, clock):
    for _ in range(MOST_FROM_A_NETWORK):
        waiting.begin(HOST, NETWORK)
    with pytest.raises(TooManyError):
        waiting.begin(HOST, NETWORK)
    for number in range(MOST_WAITING - MOST_FROM_A_NETWORK):
        waiting.begin("198.51.100.1", str(number))
    with pytest.raises(TooManyError):
        waiting.begin("198.51.100.2", "another")
    clock.now += LIFETIME_S + 1
    waiting.begin(HOST, NETWORK)
