"""The order of password checks during a flood."""

from __future__ import annotations

import itertools

import pytest

from galwad.people.sign_in import order as subject
from galwad.people.sign_in.order import REST, RETRY_S, SignInAttempt, SignInOrder, digest_of
from galwad.people.sign_in.throttle import Throttle

HOME, AWAY = "192.0.2.7", "203.0.113.66"
CHECK_S = 0.2
"""The time that the check of a password takes."""
STEP_S = 0.05


class Desk:
    """An order of sign-ins, with clients that send to it by a clock of their own."""

    def __init__(self):
        self.now = 1000.0
        self.throttle = Throttle(lambda: self.now)
        self.order = SignInOrder(self.throttle)
        self.turned_away = set()
        self.checked = set()
        self.checking = None
        self.came = {}
        self.due = 0.0

    def send(self, account, address, password, device=""):
        attempt = SignInAttempt(
            account, address, device, self.throttle.knows(address), digest_of(account, password)
        )
        self.turned_away.add(self.order.add(attempt, self.now))
        return attempt

    def step(self, seconds=STEP_S):
        self.now += seconds
        if self.checking is not None and self.now >= self.checking[1] + CHECK_S:
            attempt, began = self.checking
            right = attempt.password == digest_of(attempt.account, "right")
            self.order.checked(attempt, began, self.now, right=right)
            self.checked.add(attempt)
            self.checking = None
            if right:
                self.throttle.succeeded(*attempt.keys)
        self.turned_away.update(self.order.overdue(self.now))
        if self.checking is None and (chosen := self.order.next(self.now)) is not None:
            self.checking = chosen, self.now

    def flood(self, requests, rate, seconds):
        """Let others send at this rate."""
        until = self.now + seconds
        while self.now < until:
            self.due = max(self.due, self.now - 1.0)
            while self.due <= self.now:
                self.send(*next(requests))
                self.due += 1 / rate
            self.step()

    def sign_in(self, requests, rate, address=HOME, account="sian", most=60):
        """Return the seconds until a right password is checked, beside a flood."""
        began, mine, retry_at = self.now, None, self.now
        while self.now - began < most:
            if mine in self.checked:
                return self.now - began
            if mine is not None and mine in self.turned_away:
                mine, retry_at = None, self.now + RETRY_S
            if mine is None and self.now >= retry_at:
                mine = self.send(account, address, "right")
            self.flood(requests, rate, STEP_S / 2)
        return None

    def time_of_guess(self, requests, account, password):
        """Return the seconds until a wrong password is checked or turned away."""
        began, mine = self.now, self.send(account, HOME, password)
        while mine not in self.checked and mine not in self.turned_away:
            self.flood(requests, 20, STEP_S / 2)
        return round(self.now - began, 3)


def networks(kind, number):
    return {
        "one address": HOME,
        "16 addresses": f"198.51.100.{number % 16}",
        "1,000 /64s": f"2001:{number % 1000:x}:1:1::1",
        "a /48": f"2001:db8:bad:{number * 7919 % 65536:x}::1",
    }[kind]


def words(kind, number):
    return {
        "one account": ("sian", f"guess {number}"),
        "one password": ("sian", "wrong"),
        "random accounts": (f"user{number}", "wrong"),
        "an account for each network": (f"user{number % 1000}", "wrong"),
    }[kind]


def crowd(where, what, pick=lambda number: number):
    for number in itertools.count():
        account, password = words(what, pick(number))
        yield account, networks(where, pick(number)), password


@pytest.mark.parametrize("where", ["16 addresses", "1,000 /64s", "a /48"])
@pytest.mark.parametrize(("what", "rate"), [("one account", 20), ("one password", 100)])
def test_a_crowd_delays_a_right_password_from_a_new_network_by_at_most_ten_seconds(
    where, what, rate
):
    desk, flood = Desk(), crowd(where, what)
    desk.flood(flood, rate, 2)
    waits = []
    for number in range(2):
        waits.append(desk.sign_in(flood, rate, f"192.0.2.{number}"))
        desk.flood(flood, rate, 2)
    assert max(waits) <= 10


@pytest.mark.parametrize("where", ["16 addresses", "a /48"])
def test_the_first_sign_in_of_a_network_is_checked_next_while_other_networks_flood(where):
    desk, flood = Desk(), crowd(where, "one account")
    desk.flood(flood, 50, 3)
    mine = desk.send("sian", HOME, "right")
    for _ in range(50):
        desk.send(*next(flood))
    assert mine not in desk.turned_away
    assert desk.order.next(desk.now + 10) == mine


@pytest.mark.parametrize("rate", [2, 20, 60])
def test_networks_that_are_all_new_delay_a_right_password_by_at_most_ten_seconds(rate):
    desk, flood = Desk(), crowd("1,000 /64s", "an account for each network")
    desk.flood(flood, rate, 10)
    assert desk.sign_in(flood, rate) <= 10


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("what", "rate"), [("one account", 1), ("one account", 20), ("one password", 20)]
)
def test_a_guesser_in_the_same_network_does_not_lock_an_account_out(known, what, rate):
    desk = Desk()
    if known:
        desk.throttle.know("huw", HOME)
    flood = crowd("one address", what)
    desk.flood(flood, rate, 45)
    assert desk.sign_in(flood, rate) <= (15 if known else 40)


def test_guesses_in_the_same_network_do_not_delay_another_account():
    desk, flood = Desk(), crowd("one address", "one account")
    desk.throttle.know("huw", HOME)
    desk.flood(flood, 20, 45)
    assert desk.sign_in(flood, 20, account="huw") <= 2


@pytest.mark.parametrize(
    ("known", "where", "what", "most"),
    [
        (True, "one address", "one account", 10 + 3600 / 5),
        (False, "one address", "one account", 10 + 3600 / 10),
        (True, "one address", "random accounts", 30 + 3600 * 2),
        (False, "one address", "random accounts", 30 + 3600 / 10),
        (False, "1,000 /64s", "one account", 3600 / (CHECK_S * (1 + REST))),
    ],
)
def test_the_passwords_that_a_flood_gets_checked_are_limited_for_each_kind_of_flood(
    known, where, what, most
):
    desk, flood = Desk(), crowd(where, what)
    if known:
        desk.throttle.know("huw", HOME)
    desk.flood(flood, 5, 180)
    assert len(desk.checked) <= 31 + most / 20


@pytest.mark.parametrize("known", [True, False])
def test_an_unknown_account_has_its_password_checked_after_the_same_time_as_an_existing_one(known):
    waits = {}
    for account in ("sian", "unknown"):
        desk, flood = Desk(), crowd("one address", "random accounts")
        desk.throttle.know("sian", HOME if known else AWAY)
        desk.flood(flood, 20, 5)
        waits[account] = [desk.time_of_guess(flood, account, f"wrong {n}") for n in range(8)]
    assert waits["sian"] == waits["unknown"]


def test_known_devices_go_first_and_the_newest_attempt_of_the_busiest_device_makes_room(
    monkeypatch,
):
    monkeypatch.setitem(subject._MOST, subject._Kind.DEVICE, 3)
    desk = Desk()
    desk.throttle.know("huw", HOME)
    network = desk.send("huw", HOME, "right")
    theirs = [desk.send("sian", AWAY, f"guess {n}", device="theirs") for n in range(3)]
    mine = desk.send("sian", HOME, "right", device="mine")
    assert desk.turned_away - {None} == {theirs[2]}
    assert [desk.order.next(desk.now) for _ in range(4)] == [*theirs[:2], mine, network]


def test_known_networks_and_strangers_take_turns():
    desk = Desk()
    desk.throttle.know("huw", HOME)
    for number in range(3):
        desk.send("huw", HOME, f"guess {number}")
        desk.send("sian", AWAY, f"guess {number}")
    turns = [desk.order.next(desk.now) for _ in range(6)]
    assert [turn.address for turn in turns if turn is not None] == [HOME, AWAY] * 3


def test_after_the_check_of_a_strangers_password_strangers_wait_but_known_networks_do_not():
    desk = Desk()
    desk.throttle.know("huw", HOME)
    stranger = desk.send("sian", AWAY, "guess")
    assert desk.order.next(desk.now) == stranger
    later = desk.send("sian", AWAY, "another guess")
    desk.order.checked(stranger, desk.now, desk.now + CHECK_S, right=False)
    desk.now += CHECK_S
    assert desk.order.next(desk.now) is None
    rested = desk.order.next_timer(desk.now)
    assert rested is not None
    assert rested == pytest.approx(desk.now + REST * CHECK_S)
    known = desk.send("huw", HOME, "right")
    assert desk.order.next(desk.now) is known
    desk.now = rested
    assert desk.order.next(desk.now) is later
    assert desk.order.next_timer(desk.now) is None


def test_the_rest_after_a_slow_check_is_limited():
    desk = Desk()
    stranger = desk.send("sian", AWAY, "guess")
    later = desk.send("sian", HOME, "guess")
    assert desk.order.next(desk.now) == stranger
    desk.order.checked(stranger, desk.now, desk.now + 2, right=False)
    desk.now += 2 + subject.LONGEST_REST_S
    assert desk.order.next(desk.now) == later
