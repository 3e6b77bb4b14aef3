"""The numbers in a text that people wrote for people, in all the ways that UK systems have them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callerid.errors import NumberError
from callerid.number import PhoneNumber, presented_caller
from callerid.written_numbers import LONGEST, _read_any, read_numbers

ONE = "+441632960001"
MOBILE = "+447700900123"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("01632 960001", ONE),
        ("01632960001", ONE),
        ("  01632  960 001  ", ONE),
        ("(01632) 960001", ONE),
        ("01632-960001", ONE),
        ("01632.960.001", ONE),
        ("01632/960001", ONE),
        ("01632 \u2013 960001", ONE),
        ("01632\u00a0960001", ONE),
        ("\u202a+44 1632 960001\u202c", ONE),
        ("\uff10\uff11\uff16\uff13\uff12 \uff19\uff16\uff10\uff10\uff10\uff11", ONE),
        ("\u0660\u0661\u0666\u0663\u0662 960001", ONE),
        ("0 1 6 3 2 9 6 0 0 0 1", ONE),
        ("1632 960001", ONE),
        ("+441632960001", ONE),
        ("+44 (0)1632 960001", ONE),
        ("+44(0)1632960001", ONE),
        ("(+44) 1632 960001", ONE),
        ("+44 (1632) 960001", ONE),
        ("0044 1632 960001", ONE),
        ("00 44 (0) 1632 960001", ONE),
        ("441632960001", ONE),
        ("44 (0)1632 960001", ONE),
        ("tel:+441632960001", ONE),
        ("tel:01632960001;phone-context=+44", ONE),
        ("Tel: 01632 960001", ONE),
        ("Tel 2: 01632 960001", ONE),
        ("Ff\u00f4n: 01632 960001", ONE),
        ("(Mam) 01632 960001", ONE),
        ("Mam (01632 960001)", ONE),
        ("01632 960001 (Mam)", ONE),
        ("01632 960001 Mam", ONE),
        ("01632 960001 - gwaith", ONE),
        ("01632 960001 (9-5)", ONE),
        ("01632 960001 (after 5 pm)", ONE),
        ("01632 960001, Mam", ONE),
        ("07700 900123", MOBILE),
        ("7700900123", MOBILE),
        ("+44 7700 900 123 (mobile)", MOBILE),
        ("020 7946 0123", "+442079460123"),
        ("(029) 2018 0123", "+442920180123"),
        ("0808 157 0123", "+448081570123"),
        ("0909 879 0123", "+449098790123"),
        ("03069 990123", "+443069990123"),
        ("0800 1111", "+448001111"),
        ("+353 1 234 5678", "+35312345678"),
        ("00 353 1 234 5678", "+35312345678"),
        ("01632 960001 x12", f"{ONE};ext=12"),
        ("01632960001x12", f"{ONE};ext=12"),
        ("01632 960001 ext. 12", f"{ONE};ext=12"),
        ("01632 960001 Extension 12", f"{ONE};ext=12"),
        ("01632 960001 estyniad 12", f"{ONE};ext=12"),
        ("01632 960001 est.12 (Siop)", f"{ONE};ext=12"),
        ("01632 960001 #12", f"{ONE};ext=12"),
        ("tel:+441632960001;ext=12", f"{ONE};ext=12"),
    ],
)
def test_a_number_is_read_in_each_uk_spelling(text, number):
    found = read_numbers(text)
    assert [str(each) for each in found.numbers] == [number]
    assert found.faults == ()


@pytest.mark.parametrize(
    "text",
    [
        "01632 960001|07700 900123",
        "01632 960001, 07700 900123",
        "01632 960001; 07700 900123",
        "01632 960001 / 07700 900123",
        "01632 960001/07700900123",
        "01632 960001\n07700 900123",
        "01632 960001 & 07700 900123",
        "01632 960001 or 07700 900123",
        "01632 960001 and 07700 900123",
        "01632 960001 neu 07700 900123",
        "01632 960001 a 07700 900123",
        "01632 960001 m. 07700 900123|01632 960001",
        "H: 01632 960001 M: 07700 900123",
        "01632 960001 (Mam) 07700 900123 (Dad)",
        "home 01632 960001 mobile 07700 900123",
    ],
)
def test_several_numbers_in_one_text_are_read_in_their_order(text):
    found = read_numbers(text)
    assert [str(each) for each in found.numbers] == [ONE, MOBILE]
    assert found.faults == ()


@pytest.mark.parametrize(
    ("text", "last"),
    [("01632 960001/2", "2"), ("01632 960001/960002", "2"), ("01632960001/02", "2")],
)
def test_a_short_number_after_a_slash_replaces_the_last_digits(text, last):
    assert [str(each) for each in read_numbers(text).numbers] == [ONE, ONE[:-1] + last]


def test_a_local_number_is_completed_by_the_area_code_and_is_a_fault_without_an_area_code():
    for text in ("960001", "960 001", "960001 (Mam)", "Tel: 960-001"):
        assert [str(each) for each in read_numbers(text, area_code="01632").numbers] == [ONE]
        assert read_numbers(text).numbers == ()
        assert len(read_numbers(text).faults) == 1
    assert [str(n) for n in read_numbers("7946 0123", area_code="020").numbers] == ["+442079460123"]
    assert [str(n) for n in read_numbers(MOBILE, area_code="01632").numbers] == [MOBILE]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("n/a", "is not a telephone number"),
        ("withheld", "is not a telephone number"),
        ("Mam a Dad", "is not a telephone number"),
        ("1.63E+09", "is not a telephone number"),
        ("01632 96000x", "is not a telephone number"),
        ("01632 96000l", "is not a telephone number"),
        ("01632", "is too short or too long for a telephone number"),
        ("101", "is too short or too long for a telephone number"),
        ("01632 960001 960002", "is too short or too long for a telephone number"),
        ("9" * (LONGEST + 1), f"is longer than {LONGEST} characters"),
    ],
)
def test_a_text_without_a_readable_number_is_one_fault(text, fault):
    found = read_numbers(text)
    assert (found.numbers, found.faults) == ((), (fault,))


def test_readable_numbers_are_kept_and_each_unreadable_one_is_a_fault_with_its_position():
    found = read_numbers("01632 960001 | 12 | 07700 900123 | 07700 9x")
    assert [str(each) for each in found.numbers] == [ONE, MOBILE]
    assert found.faults == (
        "number 2 is too short or too long for a telephone number",
        "number 4 is not a telephone number",
    )


@pytest.mark.parametrize("text", ["", "  ", "|", " , ;\n"])
def test_an_empty_text_has_no_numbers_and_no_faults(text):
    found = read_numbers(text)
    assert (found.numbers, found.faults) == ((), ())


def test_a_number_that_occurs_twice_is_returned_once():
    assert len(read_numbers("01632 960001 | +44 1632 960001").numbers) == 1


@pytest.mark.parametrize(
    "text", ["ext 201", "x201", "Ext. 201", "est. 201 (Siân)", "estyniad: 201", "internal 201"]
)
def test_an_internal_extension_is_read_after_a_word_for_extension(text):
    assert read_numbers(text).numbers == (PhoneNumber("", "201"),)
    both = read_numbers(f"01632 960001 / {text}").numbers
    assert both in ((PhoneNumber(ONE), PhoneNumber("", "201")), (PhoneNumber(ONE, "201"),))


def test_several_internal_extensions_are_read():
    found = read_numbers("ext 201 / ext 202").numbers
    assert found == (PhoneNumber("", "201"), PhoneNumber("", "202"))


def presented(number):
    """Return a number as the signalling presents it, such as an internal extension."""
    return presented_caller(number.extension, "pbx.example").number


WRITTEN = st.text(st.sampled_from("0123456789+()-./ |,;:#xext\n\u00a0\u202amo"), max_size=80)


@given(WRITTEN | st.text(max_size=80), st.sampled_from(["", "01632", "020"]))
@example("1/" * 500, "")
@example("(1" * 500, "")
@example("-" * LONGEST, "")
def test_the_numbers_read_from_any_text_are_valid_for_the_signalling(text, area_code):
    found = read_numbers(text, area_code=area_code)
    for number in found.numbers:
        assert number == (PhoneNumber.parse(str(number)) if number.e164 else presented(number))
    assert all(text.strip() not in fault for fault in found.faults if len(text.strip()) > 8)


@given(st.text(st.sampled_from("0123456789+ -."), max_size=25))
def test_a_text_that_the_signalling_reads_gives_the_same_number_or_no_number(text):
    try:
        number = PhoneNumber.parse(text)
    except NumberError:
        return
    assert read_numbers(text).numbers in ((number,), ())


@pytest.mark.parametrize("text", ["01632 960001", "+44 1632 960 001|07700 900 123", "0163 2960001"])
def test_usual_numbers_with_spaces_at_various_places_are_read_by_the_fast_path(text, monkeypatch):
    monkeypatch.setattr("callerid.written_numbers._read_any", None)
    assert read_numbers(text).numbers


NEARLY_USUAL = st.from_regex(r" ?(0|\+44|\+ 44|44|0044)( {0,2}[0-9]){9,11} ?", fullmatch=True)


@given(st.lists(NEARLY_USUAL, min_size=1, max_size=3), st.sampled_from("| /"))
@example(["01632 960001", "+44 1632 960001"], "|")
def test_the_fast_path_reads_the_same_numbers_as_the_full_reader(numbers, between):
    text = between.join(numbers)
    for area_code in ("", "01632"):
        assert read_numbers(text, area_code=area_code) == _read_any(text, "GB", area_code)
