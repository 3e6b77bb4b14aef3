"""Phone numbers as people and trunks write them, and the number that a call presents."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callerid.errors import NumberError
from callerid.number import NO_NUMBER, WITHHELD, CallerId, PhoneNumber, presented_caller


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("01632 960001", "+441632960001"),
        ("+441632960001", "+441632960001"),
        (" +44 1632 960001 ", "+441632960001"),
        ("441632960001", "+441632960001"),
        ("0044 1632 960001", "+441632960001"),
        ("(01632) 960-001", "+441632960001"),
        ("+44 (0)1632 960001", "+441632960001"),
        ("07700 900123", "+447700900123"),
        ("01632 960001 x12", "+441632960001;ext=12"),
        ("01632 960001 ext. 12", "+441632960001;ext=12"),
        ("+441632960001;ext=12", "+441632960001;ext=12"),
        ("+4989123456", "+4989123456"),
    ],
)
def test_numbers_are_read_as_people_and_trunks_write_them(written, read):
    assert str(PhoneNumber.parse(written)) == read
    assert PhoneNumber.parse(read) == PhoneNumber.parse(written)


@pytest.mark.parametrize(
    "text", ["", "sian", "12", "+", "0" * 30, "01632 960001; DROP", "\uff11\uff12"]
)
def test_text_that_is_not_a_number_is_refused_without_repeating_it(text):
    with pytest.raises(NumberError) as error:
        PhoneNumber.parse(text)
    assert not text or text not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_read_as_a_number_or_raises_number_error(text):
    try:
        number = PhoneNumber.parse(text)
    except NumberError:
        return
    assert PhoneNumber.parse(str(number)) == number


def read_or_refused(read, *arguments):
    try:
        return read(*arguments)
    except NumberError as error:
        return str(error)


def both_readings(text, region="GB"):
    """Return what `parse` makes of a text, and what libphonenumber makes of it."""
    return (
        read_or_refused(PhoneNumber.parse, text, region),
        read_or_refused(PhoneNumber._by_libphonenumber, text.strip(), region),
    )


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.long)])
def test_every_uk_prefix_is_read_as_libphonenumber_reads_it(step):
    """The first five digits after 0 or +44 decide all that libphonenumber decides in the UK."""
    different = []
    for prefix in range(0, 100_000, step):
        for begin in ("0", "+44"):
            text = f"{begin}{prefix:05}{(prefix * 7919) % 100_000:05}"
            ours, theirs = both_readings(text)
            if ours != theirs:
                different.append(text)
    assert different == []


SPACED = st.lists(
    st.from_regex(r"[0-9] {0,2}", fullmatch=True, alphabet=st.characters(codec="ascii")),
    min_size=9,
    max_size=11,
)


@given(st.sampled_from(["0", "+44", "+44 ", "0 ", "+ 44 ", "44", "0044"]), SPACED.map("".join))
@example("0", "1632 960001" + " " * 250)
@example("0", " " * 250 + "1632 960001")
@example("+44", "1632 960001" + " x1")
@example("+44", "\u0661632 960001")
def test_a_number_in_a_usual_form_is_read_as_libphonenumber_reads_it(begin, rest):
    for region in ("GB", "IE"):
        ours, theirs = both_readings(begin + rest, region)
        assert ours == theirs


REAL = CallerId(PhoneNumber("+441632960001"), withheld=False)
OTHER = CallerId(PhoneNumber("+441632960002"), withheld=False)


@pytest.mark.parametrize(
    ("facts", "caller"),
    [
        # (From user, From host, P-Asserted-Identity users, Privacy, trusted)
        (("+441632960001", "pstn.example", (), (), False), REAL),
        (("+441632960001", "pstn.example", ("+441632960002",), (), True), REAL),
        # An assertion counts only from a trusted trunk, and where From has no number.
        (("", "pstn.example", ("+441632960002",), (), True), OTHER),
        (("unavailable", "unknown.invalid", ("+441632960002",), ("none",), True), OTHER),
        (("", "pstn.example", ("+441632960002",), (), False), NO_NUMBER),
        # Withheld: UK trunks assert the number nevertheless.
        (("anonymous", "anonymous.invalid", ("+441632960002",), ("id",), True), WITHHELD),
        (("anonymous", "anonymous.invalid", ("+441632960002",), (), True), WITHHELD),
        (("Anonymous", "pstn.example", ("+441632960002",), (), True), WITHHELD),
        (("", "ANONYMOUS.invalid.", ("+441632960002",), (), True), WITHHELD),
        (("+441632960001", "pstn.example", (), ("id",), True), WITHHELD),
        (("+441632960001", "pstn.example", (), ("user",), False), WITHHELD),
        (("+441632960001", "pstn.example", (), ("critical", "Header"), False), WITHHELD),
        (("+441632960001", "pstn.example", (), ("none",), True), REAL),
        # Ofcom's 08979 fillers are not numbers.
        (("08979000001", "pstn.example", (), (), True), NO_NUMBER),
        (("+448979000001", "pstn.example", ("+441632960002",), (), True), OTHER),
        (("+441632960001", "pstn.example", ("08979000001",), (), True), REAL),
        (("", "pstn.example", ("+448979000001",), (), True), NO_NUMBER),
        (("sian", "office.example", (), (), False), NO_NUMBER),
        (
            ("201", "office.example", (), (), False),
            CallerId(PhoneNumber("", "201"), withheld=False),
        ),
    ],
)
def test_the_header_fields_of_real_trunks_give_the_presented_caller(facts, caller):
    user, host, asserted, privacy, trusted = facts
    assert presented_caller(user, host, asserted, privacy, trusted=trusted) == caller


def test_a_national_number_is_displayed_in_national_form():
    assert PhoneNumber.parse("+441632960001;ext=12").display == "01632 960001 x12"
    assert PhoneNumber.parse("+4989123456").display == "+49 89 123456"
    assert PhoneNumber("", "201").display == "201"
