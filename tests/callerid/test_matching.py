"""Which people of an answer have the caller's number, and which entries are one person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.number import PhoneNumber
from callerid.person import Person
from callerid.written_numbers import matching, merged

NUMBER = PhoneNumber("+441632960001")


def person(*numbers, at="crm:1", **more):
    return Person(at, "Elin", numbers=numbers, **more)


@pytest.mark.parametrize(
    "written",
    [
        "01632 960001",
        "+44 (0)1632 960001",
        "960001",
        "Mob: 07700 900123 / home 01632 960001 (Mam)",
        "00441632960001",
    ],
)
def test_a_person_with_the_number_in_any_spelling_is_kept(written):
    assert matching([person(written)], NUMBER, area_code="01632") == [person(written)]


@pytest.mark.parametrize(
    "written",
    [
        "01970 960001",  # the same last digits
        "02920 1632960001",
        "960001",  # a local number without an area code
        "01632 960002",
        "+49 1632 960001",
        "",
        "Elin",
        "x" * 2000,
    ],
)
def test_a_person_with_another_number_is_left_out(written):
    assert matching([person(written)], NUMBER) == []


def test_only_the_people_with_the_number_are_kept_of_an_answer_with_everybody():
    everybody = [person(f"01632 960{last:03}", at=f"crm:{last}") for last in range(300)]
    assert [each.person_id for each in matching(everybody, NUMBER)] == ["crm:1"]


def test_people_with_the_exact_extension_are_kept_and_otherwise_those_on_the_main_line():
    extension = PhoneNumber("+441632960001", "12")
    twelve = person("01632 960001 x12", at="crm:12")
    main = person("01632 960001", at="crm:0")
    assert matching([main, twelve], extension) == [twelve]
    (found,) = matching([main], extension)
    assert (found.person_id, found.main_line) == ("crm:0", True)
    assert [each.main_line for each in matching([twelve], NUMBER)] == [True]


def test_an_internal_extension_matches_only_an_internal_extension():
    inside = PhoneNumber("", "201")
    colleague = person("ext 201", at="ldap:1")
    plain = person("201", at="ldap:2")
    others = [person("01632 960001 x201", at="crm:1"), person("ext 2010"), person("2010")]
    assert matching([*others, colleague, plain], inside) == [colleague, plain]


def test_a_person_who_is_twice_in_an_answer_is_kept_once():
    assert len(matching([person("01632960001"), person("01632960001")], NUMBER)) == 1


@given(st.lists(st.text(max_size=60), max_size=5))
def test_matching_a_person_with_any_texts_as_numbers_raises_no_error(numbers):
    kept = matching([person(*numbers)], NUMBER)
    assert kept == [] or kept[0].person_id == "crm:1"


def entry(at, *, reference="", email="", **more):
    details = tuple((k, v) for k, v in (("reference", reference), ("email", email)) if v)
    return Person(at, more.pop("name", "Elin"), details=details + more.pop("details", ()), **more)


def test_two_entries_with_the_same_reference_are_one_person():
    ours = entry("directory:5", reference="C-77", details=(("notes", "hard of hearing"),))
    theirs = entry(
        *("crm:abc",),
        reference="C-77",
        email="elin@example.org",
        name="Elin Jones",
        language="cy",
        shared=True,
        numbers=("01632 960001",),
    )
    (found,) = merged([ours, theirs], ["reference"])
    assert found.entries == ("directory:5", "crm:abc")
    assert (found.name, found.language, found.shared) == ("Elin", "cy", True)
    assert dict(found.details) == {
        "reference": "C-77",
        "notes": "hard of hearing",
        "email": "elin@example.org",
    }


def test_entries_without_a_common_value_are_several_people():
    people = [entry("directory:5", reference="C-77"), entry("crm:1", reference="C-78")]
    assert merged(people, ["reference"]) == people
    without = [entry("directory:5"), entry("crm:1")]
    assert merged(without, ["reference"]) == without


def test_two_entries_of_one_directory_are_never_one_person():
    people = [entry("crm:1", email="home@example.org"), entry("crm:2", email="home@example.org")]
    assert merged(people, ["email"]) == people


def test_entries_with_the_same_value_of_any_key_are_one_person():
    one, two = (
        entry("a:1", email="e@example.org"),
        entry("b:1", reference="x", email="e@example.org"),
    )
    assert len(merged([one, two], ["reference", "email"])) == 1


def test_a_person_whom_one_directory_hides_is_hidden():
    shown, hidden = entry("a:1", reference="x"), entry("b:1", reference="x", do_not_pop=True)
    assert merged([shown, hidden], ["reference"])[0].do_not_pop


def test_a_person_who_has_the_exact_number_in_one_directory_is_not_on_the_main_line():
    exact, main = entry("a:1", reference="x"), entry("b:1", reference="x", main_line=True)
    assert not merged([main, exact], ["reference"])[0].main_line
