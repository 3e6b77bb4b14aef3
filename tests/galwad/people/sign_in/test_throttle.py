"""The pace of password checks after failed sign-ins, by account, network and device."""

from __future__ import annotations

import pytest

from galwad.people.sign_in import throttle as subject
from galwad.people.sign_in.throttle import (
    FAILURES,
    FAILURES_OF_A_NETWORK,
    KNOWN_NETWORK_PACE_S,
    KNOWN_PACE_S,
    STRANGER_PACE_S,
    Throttle,
)

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


def fail(throttle, count, account="sian", address=AWAY, device=""):
    for _ in range(count):
        throttle.failed(account, address, device)


def test_after_ten_failures_from_a_network_an_account_has_a_pace_only_there(throttle, clock):
    fail(throttle, FAILURES.most - 1)
    assert throttle.ready_at("sian", AWAY) == 0.0
    fail(throttle, 1)
    assert throttle.ready_at("sian", AWAY) == clock.now + STRANGER_PACE_S
    assert throttle.ready_at("sian", HOME) == 0.0
    assert throttle.ready_at("huw", AWAY) == 0.0
    clock.now += FAILURES.window_s
    assert throttle.ready_at("sian", AWAY) == 0.0


def test_after_thirty_failures_with_any_accounts_a_network_has_a_pace(throttle, clock):
    for number in range(FAILURES_OF_A_NETWORK.most):
        throttle.failed(f"user{number}", AWAY)
    assert throttle.ready_at("sian", AWAY) == clock.now + STRANGER_PACE_S
    assert throttle.ready_at("sian", HOME) == 0.0


def test_addresses_of_one_ipv6_network_are_counted_together(throttle):
    for number in range(FAILURES.most):
        throttle.failed("sian", f"2001:db8:0:1::{number:x}")
    assert throttle.ready_at("sian", "2001:db8:0:1:ffff::1") > 0
    assert throttle.ready_at("sian", "2001:db8:0:2::1") == 0.0


@pytest.mark.parametrize("failures", [0, FAILURES.most, FAILURES_OF_A_NETWORK.most, 500])
@pytest.mark.parametrize("accounts", [1, 100])
def test_a_known_network_never_waits_longer_than_one_that_is_not_known(clock, failures, accounts):
    known, unknown = Throttle(clock), Throttle(clock)
    known.know("sian", HOME)
    for throttle in (known, unknown):
        for number in range(failures):
            throttle.failed(f"user{number % accounts}", HOME)
            throttle.failed("sian", HOME)
    assert known.ready_at("sian", HOME) <= unknown.ready_at("sian", HOME)
    assert known.ready_at("sian", HOME) <= clock.now + KNOWN_PACE_S


def test_a_known_office_in_which_many_mistype_has_a_short_pace(throttle, clock):
    throttle.know("sian", HOME)
    for number in range(FAILURES_OF_A_NETWORK.most):
        throttle.failed(f"user{number}", HOME)
    assert throttle.ready_at("huw", HOME) == clock.now + KNOWN_NETWORK_PACE_S


@pytest.mark.parametrize("known", [True, False])
def test_no_pace_depends_on_whether_the_account_exists_or_has_signed_in(clock, known):
    throttle = Throttle(clock)
    if known:
        throttle.know("sian", HOME)
    for _ in range(FAILURES.most + 3):
        assert throttle.ready_at("sian", HOME) == throttle.ready_at("unknown", HOME)
        throttle.failed("sian", HOME)
        throttle.failed("unknown", HOME)


def test_a_sign_in_of_the_user_does_not_change_the_pace_of_others_in_the_network(throttle):
    throttle.know("huw", HOME)
    for account in ("sian", "unknown"):
        fail(throttle, FAILURES.most + 2, account, HOME)
    before = throttle.ready_at("unknown", HOME)
    throttle.failed("sian", HOME)
    throttle.succeeded("sian", HOME)
    assert throttle.ready_at("sian", HOME) == before


def test_failures_of_others_do_not_delay_a_known_device(throttle, clock):
    fail(throttle, 500, address=HOME)
    fail(throttle, 500, address=AWAY)
    assert throttle.ready_at("sian", HOME, "device") == 0.0
    fail(throttle, FAILURES.most, address=HOME, device="device")
    assert throttle.ready_at("sian", HOME, "device") == clock.now + KNOWN_PACE_S
    throttle.failed("sian", HOME, "device")
    throttle.succeeded("sian", HOME, "device")
    assert throttle.ready_at("sian", HOME, "device") == 0.0


def test_a_failure_before_a_right_password_does_not_count(throttle):
    for number in range(200):
        throttle.failed(f"user{number}", HOME)
        throttle.succeeded(f"user{number}", HOME)
    assert throttle.ready_at("sian", HOME) == 0.0


def test_a_right_password_without_a_code_is_not_counted_and_makes_no_network_known(throttle):
    for _ in range(20):
        throttle.failed("sian", AWAY)
        throttle.uncounted("sian", AWAY)
    assert throttle.ready_at("sian", AWAY) == 0.0
    assert throttle.source("sian", AWAY) == ""
    assert not throttle.knows(AWAY)


def test_a_known_source_is_the_device_or_else_the_network_of_an_earlier_sign_in(throttle):
    throttle.failed("sian", HOME)
    throttle.succeeded("sian", HOME)
    assert throttle.source("sian", HOME) == HOME
    assert throttle.source("sian", AWAY, "device-1") == "device-1"
    assert throttle.source("huw", HOME) == ""
    assert throttle.knows(HOME)


def test_memory_is_bounded_whatever_accounts_are_tried(throttle, clock, monkeypatch):
    monkeypatch.setattr("galwad.host.limits.MOST_KEYS", 100)
    monkeypatch.setattr(subject, "MOST_KEYS", 100)
    for number in range(5000):
        throttle.failed(f"user{number}", f"2001:db8:0:{number:x}::")
        throttle.know(f"user{number}", f"2001:db8:0:{number:x}::")
    assert len(throttle._clients) == len(throttle._networks) == 100
    assert len(throttle._known_pairs) == len(throttle._known_networks) == 100
    clock.now += FAILURES.window_s
    throttle.failed("sian", HOME)
    assert len(throttle._clients) == len(throttle._networks) == 1
