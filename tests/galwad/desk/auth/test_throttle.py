"""The waiting time after failed sign-ins, by account and by address."""

from __future__ import annotations

from collections import Counter

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


def test_addresses_of_one_ipv6_network_are_counted_together(throttle):
    for number in range(10):
        throttle.failed("sian", f"2001:db8:0:1::{number:x}")
    assert throttle.wait("sian", "2001:db8:0:1:ffff::1") == 901
    assert throttle.wait("sian", "2001:db8:0:2::1") == 0


def test_above_the_accounts_limit_a_stranger_waits_once_for_at_most_a_minute(throttle, clock):
    waits = []
    for number in range(30):
        throttle.failed("sian", f"198.51.100.{number}")
        waits.append(throttle.wait("sian", f"192.0.2.{number}"))
    assert waits[:19] == [0] * 19
    assert waits[19:] == [2, 3, 5, 9, 17, 33, 61, 61, 61, 61, 61]
    clock.now += 60
    assert throttle.wait("sian", "192.0.2.29") == 0


def test_a_turn_can_be_used_once_and_only_for_five_minutes(throttle, clock):
    for number in range(30):
        throttle.failed("sian", f"198.51.100.{number}")
    assert throttle.wait("sian", HOME) == 61
    clock.now += 61
    assert throttle.wait("sian", HOME) == 0
    throttle.failed("sian", HOME)
    assert throttle.wait("sian", HOME) == 61
    clock.now += 361
    assert throttle.wait("sian", HOME) == 61


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


def test_a_right_password_without_its_code_is_not_counted_and_leaves_a_stranger(throttle):
    fail(throttle, 9)
    for _ in range(20):
        throttle.failed("sian", AWAY)
        throttle.uncounted("sian", AWAY)
    assert throttle.wait("sian", AWAY) == 0
    assert throttle.source("sian", AWAY) == ""
    throttle.failed("sian", AWAY)
    assert throttle.wait("sian", AWAY) == 901


def test_a_source_is_the_device_or_the_network_of_a_known_client(throttle):
    throttle.failed("sian", HOME)
    throttle.succeeded("sian", HOME)
    assert throttle.source("sian", HOME) == throttle.source("sian", "192.0.2.7") != ""
    assert throttle.source("sian", AWAY, "device-1") == "device-1"
    assert throttle.source("huw", HOME) == ""


def elsewhere(number):
    return AWAY


def many_ipv4_addresses(number):
    return f"198.51.{number // 250 % 250}.{number % 250}"


def one_ipv6_64(number):
    return f"2001:db8:bad:1::{number:x}"


def an_ipv6_48(number):
    return f"2001:db8:bad:{number % 65536:x}::1"


def the_advisors_network(number):
    return HOME


CROWDS = (elsewhere, many_ipv4_addresses, one_ipv6_64, an_ipv6_48)


def attack(throttle, clock, crowd, seconds, account="sian"):
    """Guess as often as the throttle allows; yield twice a second."""
    rate = 50
    for number in range(seconds * rate):
        if throttle.wait(account, crowd(number)) == 0:
            throttle.failed(account, crowd(number))
        clock.now += 1 / rate
        if number % (rate // 2) == 0:
            yield


@pytest.mark.parametrize("crowd", [*CROWDS, the_advisors_network])
def test_a_known_device_signs_in_at_any_time_during_an_attack(throttle, clock, crowd):
    for _ in attack(throttle, clock, crowd, 240):
        for address in (HOME, "192.0.2.8"):
            assert throttle.wait("sian", address, "device") == 0
            throttle.failed("sian", address, "device")
            throttle.succeeded("sian", address, "device")
            throttle._known_pairs.clear()  # only the device is known


@pytest.mark.parametrize("crowd", CROWDS)
def test_a_known_network_signs_in_at_any_time_during_an_attack(throttle, clock, crowd):
    throttle.know("sian", HOME)
    for _ in attack(throttle, clock, crowd, 240):
        assert throttle.wait("sian", HOME) == 0
        throttle.failed("sian", HOME)
        throttle.succeeded("sian", HOME)


@pytest.mark.parametrize("crowd", CROWDS)
@pytest.mark.parametrize("account", ["sian", "has no account"])
def test_an_advisor_at_a_new_address_waits_a_minute_at_most_during_an_attack(
    throttle, clock, crowd, account
):
    attacking = attack(throttle, clock, crowd, 240, account)
    for _ in range(2 * 60):
        next(attacking)
    wait = throttle.wait(account, HOME)
    began = clock.now
    assert wait <= 61
    for _ in attacking:
        if clock.now - began >= wait:
            break
    assert throttle.wait(account, HOME) == 0
    assert clock.now - began <= 62


@pytest.mark.parametrize("crowd", [many_ipv4_addresses, an_ipv6_48])
def test_each_guess_of_a_crowd_above_the_limit_costs_its_network_a_minute(throttle, clock, crowd):
    for _ in attack(throttle, clock, crowd, 60):
        pass
    guessed: Counter[str] = Counter()
    for number in range(240 * 50):
        if throttle.wait("sian", crowd(number)) == 0:
            throttle.failed("sian", crowd(number))
            guessed[crowd(number)] += 1
        clock.now += 1 / 50
    assert max(guessed.values()) <= 4


def test_memory_is_bounded_whatever_accounts_are_tried(throttle, monkeypatch):
    monkeypatch.setattr(subject, "_MAX_KEYS", 100)
    monkeypatch.setattr(subject, "_MAX_TURNS", 100)
    for number in range(25):
        throttle.failed("sian", f"198.51.100.{number}")
    for number in range(5000):
        throttle.failed(f"user{number}", f"2001:db8:0:{number:x}::")
        throttle.wait("sian", f"2001:db8:0:{number:x}::")
        throttle.succeeded(f"user{number}", HOME)
    assert len(throttle._failures) < 110
    assert len(throttle._known_pairs) == 100
    assert len(throttle._turns) <= 100


def test_a_failure_before_a_correct_password_does_not_count_against_the_address(throttle):
    for number in range(200):
        assert throttle.wait(f"user{number}", HOME) == 0
        throttle.failed(f"user{number}", HOME)
        throttle.succeeded(f"user{number}", HOME)
