"""The form of recovery codes, and what people may type instead."""

from __future__ import annotations

import pytest

from galwad.people import second_factor as recovery_codes


def test_ten_different_codes_are_made_in_groups_of_four():
    codes = recovery_codes.new_codes()
    assert len(set(codes)) == 10
    for code in codes:
        assert [len(part) for part in code.split("-")] == [4, 4, 4, 4]
        assert recovery_codes.canonical(code) == code.replace("-", "")


@pytest.mark.parametrize(
    "typed",
    ["k7qd-m2ye-4fxa-zolb", " K7QD M2YE 4FXA ZOLB ", "k7qdm2ye4fxazolb", "k7qdm2ye4fxaz018"],
)
def test_spaces_hyphens_capitals_and_misread_digits_do_not_matter(typed):
    assert recovery_codes.canonical(typed) == "k7qdm2ye4fxazolb"


@pytest.mark.parametrize(
    "typed", ["", "123456", "k7qd-m2ye-4fxa", "k7qd-m2ye-4fxa-zolbb", "ö" * 16]
)
def test_a_text_of_another_shape_is_not_taken_as_a_recovery_code(typed):
    assert recovery_codes.canonical(typed) == ""


def test_the_digest_of_a_code_differs_between_users():
    first, second = (recovery_codes.digest_of(user, "k7qdm2ye4fxazolb") for user in ("sian", "huw"))
    assert first != second
    assert "k7qd" not in first
