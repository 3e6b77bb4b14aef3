"""Which passwords a person may choose, and new random ones."""

from __future__ import annotations

import pytest

from galwad.people.user import is_easy_to_guess, new_secret


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short phrase"[:11],
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "abcdefghijkl",
        "123456789012",
        "987654321098",
        "password1234",
        "Password2026!",
        "passwordpassword",
        "Croeso123456",
        "Welcome-2026!!",
        "galwadgalwad",
        "sian.parry2026",
        "SianParry2026!",
        "changeme9876!",
    ],
)
def test_a_password_that_is_short_common_or_made_from_the_name_is_refused(password):
    assert is_easy_to_guess(password, "sian.parry")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "tatws pum munud",
        "Xk7#pQ2!vR9z",
        "my password is a long one",
        "ŵyn bach ar y bryn",
        "the council has four kettles",
    ],
)
def test_a_long_phrase_or_a_random_password_is_accepted(password):
    assert not is_easy_to_guess(password, "sian.parry")


def test_a_short_part_of_a_name_may_be_in_a_password():
    assert not is_easy_to_guess("hen wlad fy nhadau", "wl.ad")


def test_new_passwords_differ_and_are_not_easy_to_guess():
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert not any(is_easy_to_guess(each, "sian") for each in secrets)
