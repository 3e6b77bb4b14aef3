"""Clients that wait for an approval: codes, time limits, and one use of each secret."""

from __future__ import annotations

import re

import pytest

from galwad.desk.auth.approvals import (
    COMMAND_LINES,
    FETCH_S,
    LIFETIME_S,
    PANELS,
    Approvals,
    TooManyError,
    canonical,
)
from galwad.desk.auth.sessions import Session
from galwad.desk.auth.users import User
from helpers.desk import Clock

HOST, NETWORK = "192.0.2.7", "192.0.2.7"
SIAN = Session("a" * 64, User("sian", "advisor"), "page", stepped_up=1_800_000_000.0)
HUW = Session("b" * 64, User("huw", "supervisor"), "page")


@pytest.fixture
def waiting(clock):
    return Approvals(COMMAND_LINES, clock)


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


def test_an_approved_client_gets_its_user_once(waiting):
    secret, new = waiting.begin(HOST, NETWORK)
    assert waiting.redeem(secret) == new
    assert waiting.approve(new.code, SIAN) is not None
    assert waiting.redeem(secret).approver == SIAN
    assert waiting.redeem(secret) is None


def test_the_code_does_not_work_as_the_secret_and_another_secret_gets_nothing(waiting):
    _, new = waiting.begin(HOST, NETWORK)
    other, _ = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, SIAN)
    assert waiting.redeem(new.code) is None
    assert waiting.redeem(other).approver is None


def test_an_approved_code_cannot_be_approved_for_another_user(waiting):
    secret, new = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, SIAN)
    assert waiting.approve(new.code, HUW) is None
    assert waiting.redeem(secret).approver == SIAN


def test_a_client_that_is_not_approved_in_time_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    clock.now += LIFETIME_S + 1
    assert waiting.find(new.code) is None
    assert waiting.approve(new.code, SIAN) is None
    assert waiting.redeem(secret) is None


def test_an_approval_that_is_not_fetched_soon_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, SIAN)
    clock.now += FETCH_S + 1
    assert waiting.redeem(secret) is None


@pytest.mark.parametrize("limits", [COMMAND_LINES, PANELS])
def test_one_network_cannot_take_the_places_of_others_and_places_become_free(limits, clock):
    waiting = Approvals(limits, clock)
    for _ in range(limits.from_a_network):
        waiting.begin(HOST, NETWORK)
    with pytest.raises(TooManyError):
        waiting.begin(HOST, NETWORK)
    for number in range(limits.in_all - limits.from_a_network):
        waiting.begin("198.51.100.1", str(number))
    with pytest.raises(TooManyError):
        waiting.begin("198.51.100.2", "another")
    clock.now += LIFETIME_S + 1
    waiting.begin(HOST, NETWORK)
