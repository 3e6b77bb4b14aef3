"""The rank of attempts, from what their networks have sent."""

from __future__ import annotations

import pytest

from galwad.people.sign_in import order as subject
from galwad.people.sign_in.order import (
    RETRY_S,
    WINDOW_S,
    RecentAttempts,
    SignInAttempt,
    digest_of,
)

HOME, AWAY = "192.0.2.7", "203.0.113.66"
NOW = 1000.0


def attempt(password="guess", address=HOME, account="sian"):
    return SignInAttempt(account, address, "", False, digest_of(account, password))


@pytest.fixture
def recent():
    return RecentAttempts()


def come(recent, *attempts, now=NOW):
    for each in attempts:
        recent.came(each, now)
    return attempts


def first_of(recent, *attempts):
    return min(attempts, key=recent.rank)


def test_the_network_with_the_fewest_different_passwords_comes_first(recent):
    mine, *_ = come(recent, *[attempt("right", HOME) for _ in range(5)])
    *_, theirs = come(recent, attempt("a", AWAY), attempt("b", AWAY))
    assert first_of(recent, theirs, mine) is mine


def test_of_networks_with_one_password_the_one_with_the_fewest_requests_comes_first(recent):
    mine, *_ = come(recent, *[attempt("right", HOME) for _ in range(2)])
    *_, theirs = come(recent, *[attempt("a", AWAY) for _ in range(3)])
    assert first_of(recent, theirs, mine) is mine


@pytest.mark.parametrize("area", ["2001:db8:{:x}::1", "2001:db8:1:{:x}::1"])
def test_the_networks_of_one_area_count_together(recent, area):
    *_, theirs = come(recent, *[attempt("a", area.format(number)) for number in range(3)])
    *_, mine = come(recent, attempt("a"), attempt("b"))
    assert first_of(recent, theirs, mine) is mine


def test_within_an_area_the_network_that_has_sent_less_comes_first(recent):
    come(recent, *[attempt(f"{number}", "2001:db8:1:1::1") for number in range(3)])
    (theirs,) = come(recent, attempt("a", "2001:db8:1:1::1"))
    (mine,) = come(recent, attempt("right", "2001:db8:1:2::1"))
    assert first_of(recent, theirs, mine) is mine


def test_within_a_network_the_account_with_the_fewest_passwords_comes_first(recent):
    *_, theirs = come(recent, attempt("a"), attempt("b"))
    (mine,) = come(recent, attempt("right", account="huw"))
    assert first_of(recent, theirs, mine) is mine


def test_within_an_account_a_repeated_password_comes_first(recent):
    mine, _ = come(recent, attempt("right"), attempt("right"))
    (theirs,) = come(recent, attempt("a"))
    assert first_of(recent, theirs, mine) is mine


def test_a_password_that_was_checked_and_is_wrong_comes_last_from_every_network(recent):
    (wrong,) = come(recent, attempt("wrong", AWAY))
    recent.checked(wrong, NOW, right=False)
    (again,) = come(recent, attempt("wrong", "198.51.100.1"))
    *_, mine = come(recent, *[attempt(f"{number}") for number in range(9)])
    assert first_of(recent, again, mine) is mine


def test_right_passwords_do_not_count_against_their_network(recent):
    for number in range(50):
        (right,) = come(recent, attempt("right", HOME, f"user{number}"))
        recent.checked(right, NOW, right=True)
    (mine,) = come(recent, attempt("right"))
    new = RecentAttempts()
    assert recent.rank(mine) == new.rank(*come(new, attempt("right")))


def test_a_repeated_attempt_counts_as_returned_if_it_was_turned_away_some_time_before(recent):
    (mine,) = come(recent, attempt("right"))
    assert not recent.returns(mine, NOW)
    recent.turned_away(mine, NOW)
    again = attempt("right")
    assert not recent.returns(again, NOW + 0.1)
    assert recent.returns(again, NOW + RETRY_S)
    assert not recent.returns(attempt("another"), NOW + RETRY_S)
    assert not recent.returns(attempt("right", AWAY), NOW + RETRY_S)
    assert not recent.returns(again, NOW + 600)


def test_of_returned_sign_ins_the_one_whose_first_refusal_was_latest_comes_first(recent):
    flood, mine = attempt("a", AWAY), attempt("right")
    come(recent, flood, mine)
    recent.turned_away(flood, NOW)
    recent.turned_away(mine, NOW + 5)
    recent.turned_away(flood, NOW + 9)
    assert recent.rank_of_returned(mine) < recent.rank_of_returned(flood)


def test_counts_are_forgotten_after_two_windows(recent):
    mine, *_ = come(recent, attempt("a"), attempt("b"), attempt("c"))
    come(recent, attempt("d", AWAY), now=NOW + WINDOW_S)
    assert recent.rank(mine)[1] == 3
    come(recent, attempt("e", AWAY), now=NOW + 2 * WINDOW_S)
    assert recent.rank(mine)[1] == 0


def test_memory_is_bounded_whatever_is_tried(recent, monkeypatch):
    monkeypatch.setattr(subject, "_MOST_COUNTS", 50)
    for number in range(1000):
        (each,) = come(recent, attempt(f"{number}", f"2001:{number:x}::1", f"user{number}"))
        recent.turned_away(each, NOW)
        recent.checked(each, NOW, right=False)
    counts = (*recent._passwords, *recent._requests)
    for each in (*counts, recent._of_account, recent._unchecked, recent._wrong):
        assert len(each._new) + len(each._old) <= 100
    assert len(recent._turned_away) == 50


def test_each_account_and_password_has_its_own_digest_of_fixed_length():
    digests = {digest_of(account, word) for account in ("sian", "huw") for word in ("a", "b")}
    assert len(digests) == 4
    assert all(len(each) == 12 for each in digests)
    assert digest_of("sian", "\ud800")
