"""Clients that wait for an approval: codes, time limits, and one use of each secret."""

from __future__ import annotations

import re

import pytest

from galwad.people.sessions import Session
from galwad.people.sign_in import approvals as subject
from galwad.people.sign_in.approvals import FETCH_S, LIFETIME_S, SILENT_S, Approvals, canonical
from galwad.people.user import User
from helpers.desk import Clock

HOST, NETWORK = "192.0.2.7", "192.0.2.7"
SIAN = Session("a" * 64, User("sian", "advisor"), "page", stepped_up=1_800_000_000.0)
HUW = Session("b" * 64, User("huw", "supervisor"), "page")


@pytest.fixture
def waiting(clock):
    return Approvals(clock)


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


def test_a_client_that_is_not_approved_in_time_is_forgotten_even_if_it_asks(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    for _ in range(int(LIFETIME_S) // 60):
        assert waiting.redeem(secret) == new
        clock.now += 60
    clock.now += 1
    assert waiting.find(new.code) is None
    assert waiting.approve(new.code, SIAN) is None
    assert waiting.redeem(secret) is None


def test_an_approval_that_is_not_fetched_soon_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    waiting.approve(new.code, SIAN)
    clock.now += FETCH_S + 1
    assert waiting.redeem(secret) is None


def test_a_client_that_stops_asking_is_forgotten(waiting, clock):
    secret, new = waiting.begin(HOST, NETWORK)
    clock.now += SILENT_S
    assert waiting.redeem(secret) == new
    clock.now += SILENT_S
    assert waiting.find(new.code) == new
    clock.now += 1
    assert waiting.find(new.code) is None
    assert waiting.redeem(secret) is None


def flood(waiting, count, network, asks=0):
    """Begin clients in a network, each of which asks so many times."""
    for _ in range(count):
        secret, _ = waiting.begin("203.0.113.66", network)
        for _ in range(asks):
            waiting.redeem(secret)


@pytest.mark.parametrize("network", ["203.0.113.66", NETWORK])
@pytest.mark.parametrize("asks", [0, 1])
def test_a_flood_from_one_network_even_the_clients_own_ends_no_client_that_asks(
    clock, network, asks, monkeypatch
):
    monkeypatch.setattr(subject, "MOST_OF_A_NETWORK", 200)
    waiting = Approvals(clock)
    flood(waiting, 3 * subject.MOST_OF_A_NETWORK, network, asks)
    secret, new = waiting.begin(HOST, NETWORK)
    for _ in range(10):
        flood(waiting, 90, network, asks)
        clock.now += 2
        assert waiting.redeem(secret) == new
    assert waiting.approve(new.code, SIAN) is not None
    flood(waiting, 3 * subject.MOST_OF_A_NETWORK, network, asks)
    approved = waiting.redeem(secret)
    assert approved is not None
    assert approved.approver == SIAN
    assert len(waiting._waiting) <= subject.MOST_OF_A_NETWORK


def test_a_flood_from_many_networks_ends_no_client_that_asks(waiting, clock, monkeypatch):
    monkeypatch.setattr(subject, "MOST_WAITING", 200)
    waiting = Approvals(clock)
    secret, new = waiting.begin(HOST, NETWORK)
    for number in range(20):
        for host in range(90):
            flood(waiting, 1, f"2001:db8:{number:x}:{host:x}::/64")
        clock.now += 2
        assert waiting.redeem(secret) == new
    assert len(waiting._waiting) == len(waiting._codes) == 101
    clock.now += SILENT_S + 1
    waiting.begin(HOST, NETWORK)
    assert len(waiting._waiting) == 1


def test_approvals_that_are_not_fetched_are_removed_from_memory(waiting, clock):
    for _ in range(5):
        _, new = waiting.begin(HOST, NETWORK)
        waiting.approve(new.code, SIAN)
    clock.now += FETCH_S + 1
    assert waiting.find("BCDF-GHJK") is None
    assert waiting._waiting == {}
