"""The switch keeps the desk's report about users who are away for a limited time."""

import pytest

from galwad.switch.edge.routing import KEPT_S, AwayUsers


@pytest.fixture
def away():
    away = AwayUsers()
    away.set(["sian"])
    return away


def test_a_report_of_users_who_are_away_replaces_the_earlier_report(away):
    away.set(["gwen"])
    assert (away.has("sian", 1.0), away.has("gwen", 1.0)) == (False, True)


def test_a_phone_without_a_user_is_never_away(away):
    assert not away.has("", 1.0)


def test_without_a_desk_a_report_counts_for_an_hour(away):
    away.keep_until_forgotten(100.0)
    assert away.has("sian", 99.0 + KEPT_S)
    assert not away.has("sian", 100.0 + KEPT_S)


def test_a_desk_that_comes_and_goes_without_a_report_does_not_prolong_an_earlier_report(away):
    away.keep_until_forgotten(100.0)
    away.keep_until_forgotten(200.0)
    assert not away.has("sian", 100.0 + KEPT_S)


def test_a_report_of_a_desk_that_is_back_counts_without_a_limit(away):
    away.keep_until_forgotten(100.0)
    away.set(["sian"])
    assert away.has("sian", 101.0 + KEPT_S)
