"""The waiting time after failed sign-ins, by account and by address."""

from __future__ import annotations

import pytest

from galwad.desk.auth import throttle as subject
from galwad.desk.auth.throttle import Throttle

HOME, AWAY = "192.0.2.7", "203.0.113.66"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return Throttle(clock)


def fail(throttle, count, account="sian", address=AWAY):
    for _ in range(count):
        throttle.failed(account, address)


def test_ten_failures_block_the_account_only_from_that_address(throttle, clock):
    fail(throttle, 9)
    assert throttle.wait("sian", AWAY) == 0
    fail(throttle, 1)
    assert throttle.wait("sian", AWAY) == 901
    assert throttle.wait("sian", HOME) == 0
    assert throttle.wait("huw", AWAY) == 0
    clock.now += 901
    assert throttle.wait("sian", AWAY) == 0


def test_thirty_failures_with_any_accounts_block_the_address(throttle):
    for number in range(30):
        throttle.failed(f"user{number}", AWAY)
    assert throttle.wait("sian", AWAY) == 901
    assert throttle.wait("sian", HOME) == 0


def test_failures_from_many_addresses_delay_the_account_by_at_most_a_minute(throttle, clock):
    waits = []
    for number in range(30):
        throttle.failed("sian", f"198.51.100.{number}")
        waits.append(throttle.wait("sian", HOME))
    assert waits[:19] == [0] * 19
    assert waits[19:] == [2, 3, 5, 9, 17, 33, 61, 61, 61, 61, 61]
    clock.now += 61
    assert throttle.wait("sian", HOME) == 0


def test_failures_from_elsewhere_do_not_delay_an_address_that_signed_in_before(throttle):
    throttle.failed("sian", HOME)
    throttle.succeeded("sian", HOME)
    for number in range(250):
        fail(throttle, 40, address=f"198.51.100.{number}")
    assert throttle.wait("sian", HOME) == 0
    assert throttle.wait("sian", "192.0.2.8") > 0


def test_failures_from_an_advisors_own_address_delay_it_by_at_most_a_minute(throttle, clock):
    throttle.succeeded("sian", HOME)
    fail(throttle, 500, address=HOME)
    assert 0 < throttle.wait("sian", HOME) <= 61
    clock.now += 61
    assert throttle.wait("sian", HOME) == 0


def test_a_correct_password_clears_earlier_failures_from_that_address(throttle):
    fail(throttle, 9, address=HOME)
    throttle.failed("sian", HOME)
    throttle.succeeded("sian", HOME)
    fail(throttle, 9, address=HOME)
    assert throttle.wait("sian", HOME) == 0


def test_memory_is_bounded_whatever_accounts_are_tried(throttle, monkeypatch):
    monkeypatch.setattr(subject, "_MAX_KEYS", 100)
    for number in range(5000):
        throttle.failed(f"user{number}", f"2001:db8::{number:x}")
        throttle.succeeded(f"user{number}", HOME)
    assert len(throttle._failures) < 110
    assert len(throttle._known_pairs) == 100


def test_a_failure_before_a_correct_password_does_not_count_against_the_address(throttle):
    for number in range(200):
        assert throttle.wait(f"user{number}", HOME) == 0
        throttle.failed(f"user{number}", HOME)
        throttle.succeeded(f"user{number}", HOME)
