"""Limits on guessed passwords: which are checked, which raise an alarm, and who is always heard."""

from __future__ import annotations

import pytest

from galwad.switch.edge import guessing as subject
from galwad.switch.edge.guard import WINDOW_S
from galwad.switch.edge.guessing import MOST_WRONG, MOST_WRONG_FOR_ACCOUNT, GuessLimits
from telephony.sip.events import Address

OFFICE = Address("198.51.100.7", 40000)
GUESSER = OFFICE._replace(port=7)
"""A host at the same address as the office's phones, behind the same address translation."""


@pytest.fixture
def alarms():
    return []


@pytest.fixture
def limits(alarms):
    return GuessLimits(lambda user: user in {"201", "202"}, lambda *alarm: alarms.append(alarm))


def guess(limits, source=GUESSER, user="201", count=1, now=100.0, **kind):
    """Send wrong passwords; return how many were checked."""
    checked = 0
    for _ in range(count):
        if limits.may_check(user, source, now, **kind):
            checked += 1
            limits.count_wrong(user, source, now, returned=True)
    return checked


def test_twenty_wrong_passwords_from_one_address_raise_one_alarm(limits, alarms):
    guess(limits, count=19)
    assert alarms == []
    guess(limits, count=1000)
    assert alarms == [("phone.passwords_guessed", None, "from 198.51.100.7")]
    guess(limits, count=100, now=100.0 + WINDOW_S / 2)
    assert len(alarms) == 1


def test_a_guesser_with_one_port_gets_few_passwords_checked(limits):
    assert guess(limits, count=20_000) == MOST_WRONG + 3
    assert sum(guess(limits, now=100.0 + second) for second in range(300)) <= 23


def test_a_guesser_with_many_ports_gets_one_password_a_second_checked(limits):
    guess(limits, count=20)
    ports = range(1, 20_000)
    checked = sum(guess(limits, OFFICE._replace(port=port)) for port in ports)
    assert checked in {10, 11}
    later = sum(guess(limits, OFFICE._replace(port=port), now=160.0) for port in ports)
    assert later in {10, 11}


def test_a_familiar_port_has_its_passwords_checked_beside_a_guesser_at_its_address(limits):
    limits.count_right("201", OFFICE)
    guess(limits, count=1000)
    assert all(limits.may_check("201", OFFICE, 100.0) for _ in range(1000))
    assert not limits.may_check("202", OFFICE._replace(port=7), 100.0)


def test_a_phone_with_a_new_port_has_its_password_checked_beside_a_guesser_with_another_port(
    limits,
):
    guess(limits, count=20_000)
    assert limits.may_check("201", OFFICE._replace(port=50_000), 110.0)


def test_an_emergency_call_from_a_new_port_has_its_password_checked_beside_guessers(limits):
    limits.count_right("201", OFFICE)
    for port in range(1, 20_000):
        guess(limits, OFFICE._replace(port=port), user="202")
    restarted = OFFICE._replace(port=50_000)
    assert not limits.may_check("201", restarted, 100.0)
    assert limits.may_check("201", restarted, 100.0, for_emergency=True)
    assert not limits.may_check("202", restarted, 100.0, for_emergency=True)


def test_a_guesser_with_emergency_calls_gets_a_few_passwords_checked(limits):
    limits.count_right("201", OFFICE)
    guess(limits, count=1000)
    tries = [guess(limits, now=100.0 + n / 100, for_emergency=True) for n in range(6000)]
    assert sum(tries) in {15, 16}


def test_a_familiar_port_that_guesses_is_no_longer_familiar(limits):
    limits.count_right("201", OFFICE)
    assert guess(limits, OFFICE, count=1000) == MOST_WRONG + 3


def test_forged_wrong_passwords_do_not_make_a_port_unfamiliar(limits):
    limits.count_right("201", OFFICE)
    for _ in range(1000):
        limits.count_wrong("201", OFFICE, 100.0, returned=False)
    assert limits.may_check("201", OFFICE, 100.0)


def crowd(limits, user, count):
    hosts = (f"203.0.{number >> 8}.{number & 255}" for number in range(count))
    return sum(guess(limits, Address(host, 5060), user) for host in hosts)


def test_guesses_of_one_account_from_many_addresses_are_limited_and_reported(limits, alarms):
    assert crowd(limits, "201", 1000) in {MOST_WRONG_FOR_ACCOUNT + 10, MOST_WRONG_FOR_ACCOUNT + 11}
    assert alarms == [("phone.passwords_guessed", None, "for extension 201")]
    assert limits.may_check("202", OFFICE, 100.0)


def test_an_extension_without_an_account_is_limited_like_one_with_an_account_and_not_reported(
    limits, alarms
):
    assert crowd(limits, "999", 1000) == crowd(limits, "201", 1000)
    assert len(alarms) == 1


def test_a_phone_at_its_usual_address_has_its_password_checked_while_many_addresses_guess(limits):
    limits.count_right("201", OFFICE)
    crowd(limits, "201", 1000)
    assert limits.may_check("201", OFFICE._replace(port=50_000), 100.0)


def test_a_phone_with_one_wrong_password_a_minute_raises_no_alarm(limits, alarms):
    assert sum(guess(limits, now=60.0 * minute) for minute in range(1000)) == 1000
    assert alarms == []


def test_an_attack_after_a_quiet_time_raises_another_alarm(limits, alarms):
    for now in (100.0, 100.0 + 2 * WINDOW_S):
        guess(limits, count=100, now=now)
    assert len(alarms) == 2


def test_the_limits_remember_a_bounded_number_of_sources(limits, monkeypatch):
    monkeypatch.setattr("galwad.switch.edge.guard.MAX_SOURCES", 50)
    monkeypatch.setattr(subject, "_MOST_FAMILIAR", 60)
    for number in range(1000):
        source = Address(f"203.0.{number >> 8}.{number & 255}", 5060)
        limits.count_right(str(number), source)
        guess(limits, source, str(number), count=30)
    assert len(limits._sources) == len(limits._accounts) == len(limits._flows) == 50
    assert len(limits._familiar) <= 60
    assert len(limits._homes) == 60
