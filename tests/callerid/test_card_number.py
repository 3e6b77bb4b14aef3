"""Card numbers are found in every notation; telephone numbers, dates and references are not."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.card_number import LONGEST, SHORTEST, has_card_number, passes_luhn
from helpers.card_numbers import CARDS, HIDDEN_CARDS, NOT_CARDS

SEPARATORS = [" ", "-", ".", "\u00a0", "\u2009", "\u2011", "\u2013", " - ", "\n", "\u200b", ""]
ZEROS = [0x30, 0x660, 0x966, 0xFF10, 0x1D7CE, 0x1FBF0]
"""The digit zero of several scripts; the digits one to nine follow each."""


@pytest.mark.parametrize("card", CARDS)
def test_a_published_test_card_is_found(card):
    assert has_card_number(card)


@pytest.mark.parametrize("text", HIDDEN_CARDS)
def test_a_card_number_in_another_notation_is_found(text):
    assert has_card_number(text)


@pytest.mark.parametrize("text", NOT_CARDS)
def test_a_number_of_another_kind_is_not_a_card(text):
    assert not has_card_number(text)


@given(
    st.sampled_from(CARDS),
    st.sampled_from(SEPARATORS),
    st.sampled_from(ZEROS),
    st.integers(1, 8),
    st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=20),
)
def test_a_card_number_is_found_in_any_script_grouping_and_text(
    card, separator, zero, size, beside
):
    groups = [card[i : i + size] for i in range(0, len(card), size)]
    written = separator.join(groups).translate({0x30 + n: zero + n for n in range(10)})
    assert has_card_number(f"{beside} x{written}x {beside}")


@given(st.sampled_from(CARDS), st.integers(0, 18), st.integers(1, 9))
def test_a_card_number_with_one_wrong_digit_fails_the_luhn_check(card, place, more):
    place %= len(card)
    wrong = (int(card[place]) + more) % 10
    assert passes_luhn(card)
    assert not passes_luhn(f"{card[:place]}{wrong}{card[place + 1 :]}")


@given(st.text())
def test_a_text_with_fewer_than_thirteen_digits_never_has_a_card_number(text):
    digits = re.findall(r"\d", unicodedata.normalize("NFKC", text))
    if len(digits) < SHORTEST:
        assert not has_card_number(text)


@given(st.text(st.sampled_from("0123456789 -.,/:\u200b#AB"), max_size=60))
def test_letters_around_any_text_do_not_change_whether_it_has_a_card_number(text):
    assert has_card_number(text) == has_card_number(f"Q#{text}#Q")


@given(st.from_regex(r"\A0[0-9]{9,10}\Z"), st.sampled_from(SEPARATORS[:6]))
def test_a_uk_telephone_number_is_never_a_card(number, separator):
    for text in (number, f"+44{number[1:]}", f"{number[:5]}{separator}{number[5:]}"):
        assert not has_card_number(text)


def test_the_longest_test_card_has_the_length_limit_of_a_card_number():
    assert max(map(len, CARDS)) == LONGEST
