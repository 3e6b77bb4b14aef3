"""Wrong passwords are counted, and raise one alarm an hour for each thing that is guessed."""

from __future__ import annotations

from galwad.people.sign_in.limits import PasswordGuesses
from helpers.desk import Clock


def test_the_eighth_wrong_password_of_an_account_raises_one_alarm_an_hour():
    clock = Clock()
    guesses = PasswordGuesses(clock)
    found = [guesses.wrong("sian", f"192.0.2.{n}") for n in range(20)]
    assert found == [[]] * 7 + [["account"]] + [[]] * 12
    clock.now += 3600
    assert [guesses.wrong("sian", "192.0.2.1") for _ in range(8)] == [[]] * 7 + [["account"]]


def test_wrong_passwords_ten_minutes_apart_raise_no_alarm():
    clock = Clock()
    guesses = PasswordGuesses(clock)
    for _ in range(30):
        assert guesses.wrong("sian", "192.0.2.1") == []
        clock.now += 600


def test_many_names_from_one_network_and_from_all_networks_raise_alarms():
    guesses = PasswordGuesses(Clock())
    one = [guesses.wrong(f"name{n}", "192.0.2.1") for n in range(30)]
    assert one == [[]] * 29 + [["network"]]
    others = [guesses.wrong(f"other{n}", f"2001:db8:{n:x}::/64") for n in range(200)]
    assert others.index(["all"]) == 169


def test_the_counts_of_strangers_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("galwad.host.limits.MOST_KEYS", 100)
    guesses = PasswordGuesses(Clock())
    for n in range(1000):
        guesses.wrong(f"name{n}", f"2001:db8:{n:x}::/64")
    assert max(map(len, guesses._counts.values())) <= 100
