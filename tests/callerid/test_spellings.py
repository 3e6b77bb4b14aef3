"""The spellings of a number, by tables and by reading each of them back."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callerid.number import PhoneNumber
from callerid.written_numbers import national, read_numbers, spellings

SAFE = re.compile(r"[0-9 ()+\-]+")
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS - {"GB", "GG", "IM", "JE"})

UK = st.builds(
    PhoneNumber, st.from_regex(r"\+44(?:[1235789][0-9]{9}|1[0-9]{8}|800[0-9]{6})", fullmatch=True)
)


@st.composite
def foreign(draw):
    """Return a valid number of another country: an example of libphonenumber with a new end."""
    example = phonenumbers.example_number(draw(st.sampled_from(REGIONS)))
    assert example is not None
    text = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    text = text[:-3] + f"{draw(st.integers(0, 999)):03}"
    assume(phonenumbers.is_valid_number(phonenumbers.parse(text)))
    return PhoneNumber(text)


def read_back(spelling):
    return read_numbers(spelling).numbers


@pytest.mark.parametrize(
    ("e164", "expected"),
    [
        (  # geographic
            "+441632960001",
            (
                "+441632960001",
                "01632960001",
                "01632 960001",
                "(01632) 960001",
                "+44 1632 960001",
                "441632960001",
                "00441632960001",
                "+44 (0)1632 960001",
            ),
        ),
        (  # London
            "+442079460123",
            (
                "+442079460123",
                "02079460123",
                "020 7946 0123",
                "(020) 7946 0123",
                "+44 20 7946 0123",
                "442079460123",
                "00442079460123",
                "+44 (0)20 7946 0123",
            ),
        ),
        (  # Cardiff
            "+442920180123",
            (
                "+442920180123",
                "02920180123",
                "029 2018 0123",
                "(029) 2018 0123",
                "+44 29 2018 0123",
                "442920180123",
                "00442920180123",
                "+44 (0)29 2018 0123",
            ),
        ),
        (  # a number that has only ten digits with its 0
            "+44169772345",
            (
                "+44169772345",
                "0169772345",
                "016977 2345",
                "(016977) 2345",
                "+44 16977 2345",
                "44169772345",
                "0044169772345",
                "+44 (0)16977 2345",
            ),
        ),
        (  # mobile
            "+447700900123",
            (
                "+447700900123",
                "07700900123",
                "07700 900123",
                "(07700) 900123",
                "+44 7700 900123",
                "447700900123",
                "00447700900123",
                "+44 (0)7700 900123",
            ),
        ),
        (  # Childline
            "+448001111",
            (
                "+448001111",
                "08001111",
                "0800 1111",
                "(0800) 1111",
                "+44 800 1111",
                "448001111",
                "00448001111",
                "+44 (0)800 1111",
            ),
        ),
        (
            "+443001231234",
            (
                "+443001231234",
                "03001231234",
                "0300 123 1234",
                "(0300) 123 1234",
                "+44 300 123 1234",
                "443001231234",
                "00443001231234",
                "+44 (0)300 123 1234",
            ),
        ),
        (  # Jersey, which has the country code 44 too
            "+441534123456",
            (
                "+441534123456",
                "01534123456",
                "01534 123456",
                "(01534) 123456",
                "+44 1534 123456",
                "441534123456",
                "00441534123456",
                "+44 (0)1534 123456",
            ),
        ),
        ("+35312345678", ("+35312345678", "0035312345678", "+353 1 234 5678", "35312345678")),
        ("+12015550123", ("+12015550123", "0012015550123", "+1 201-555-0123", "12015550123")),
        ("+33123456789", ("+33123456789", "0033123456789", "+33 1 23 45 67 89", "33123456789")),
        (  # Rome, whose numbers keep their 0
            "+390612345678",
            ("+390612345678", "00390612345678", "+39 06 1234 5678", "390612345678"),
        ),
        ("+80012345678", ("+80012345678", "0080012345678", "+800 1234 5678", "80012345678")),
    ],
)
def test_a_number_has_the_usual_spellings_the_most_usual_first(e164, expected):
    assert spellings(PhoneNumber(e164)) == expected


@pytest.mark.parametrize(
    ("e164", "dialled"),
    [
        ("+441632960001", "01632960001"),
        ("+442079460123", "02079460123"),
        ("+447700900123", "07700900123"),
        ("+448001111", "08001111"),
        ("+44169772345", "0169772345"),
        ("+35312345678", "0035312345678"),
        ("+390612345678", "00390612345678"),
        ("+12015550123", "0012015550123"),
    ],
)
def test_the_national_form_is_the_number_as_it_is_dialled_in_the_uk(e164, dialled):
    assert national(PhoneNumber(e164)) == dialled


@pytest.mark.parametrize("extension", ["12", "201", "0201", "123456"])
def test_an_internal_extension_has_only_one_spelling(extension):
    number = PhoneNumber("", extension)
    assert spellings(number) == (extension,)
    assert national(number) == extension


def test_the_extension_of_a_number_is_in_none_of_its_spellings():
    with_extension = PhoneNumber("+441632960001", "12")
    assert spellings(with_extension) == spellings(PhoneNumber("+441632960001"))
    assert national(with_extension) == "01632960001"


def test_a_number_that_is_not_divided_into_parts_has_no_area_code_in_brackets():
    found = spellings(PhoneNumber("+44500123456"))
    assert [spelling for spelling in found if "(" in spelling] == ["+44 (0)500123456"]


@given(UK)
def test_each_spelling_of_a_uk_number_is_read_back_as_the_number(number):
    for spelling in (*spellings(number), national(number)):
        assert read_back(spelling) == (number,), spelling


@given(foreign())
def test_each_spelling_of_a_foreign_number_is_read_back_as_the_number(number):
    for spelling in (*spellings(number), national(number)):
        # Digits only, without 00, are a national number for a reader in the UK.
        written = f"+{spelling}" if spelling == number.e164[1:] else spelling
        assert read_back(written) == (number,), spelling


@given(UK)
def test_the_spellings_of_a_uk_number_begin_with_e164_and_national_and_all_differ(number):
    found = spellings(number)
    assert all(SAFE.fullmatch(spelling) for spelling in found)
    assert len(set(found)) == len(found)
    assert found[:2] == (number.e164, national(number))
    assert national(number).startswith("0")


@given(foreign())
def test_the_spellings_of_a_foreign_number_are_different_and_begin_with_e164(number):
    found = spellings(number)
    assert len(set(found)) == len(found)
    assert found[:2] == (number.e164, national(number))
    assert national(number) == f"00{number.e164[1:]}"
    assert not any("(0)" in spelling for spelling in found)


@pytest.mark.parametrize("region", REGIONS)
def test_the_spellings_of_foreign_numbers_have_only_safe_characters(region):
    example = phonenumbers.example_number(region)
    assert example is not None
    number = PhoneNumber(
        phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164),
    )
    assert all(SAFE.fullmatch(spelling) for spelling in spellings(number))
