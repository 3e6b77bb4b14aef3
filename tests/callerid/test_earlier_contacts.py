"""Earlier contacts are read from a directory's answer, and those of other people are left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.earlier_contacts import MOST_CONTACTS, ContactFields, ContactsMapping
from net.errors import ServerError

MAPPING = ContactsMapping(
    "items",
    ContactFields(
        time="when",
        subject="subject",
        person="people[].id",
        outcome="status",
        text="text",
        id="id",
    ),
)
NOON = 1_794_744_000.0  # 15 November 2026, 12:00 UTC


def item(subject="Bins", when="2026-11-15T12:00:00Z", person="P1", **more):
    return {"subject": subject, "when": when, "people": [{"id": person}], **more}


def read(*items, person="P1"):
    return MAPPING.read({"items": list(items)}, person)


def test_a_contact_has_all_mapped_values():
    (found,) = read(item(status="solved", text="one\ntwo", id=7))
    assert (found.time, found.subject, found.outcome) == (NOON, "Bins", "solved")
    assert (found.text, found.record_id) == ("one\ntwo", "7")


def test_contacts_of_other_people_are_left_out():
    mixed = [item("mine"), item("theirs", person="P2"), item("nobody's", person=None)]
    assert [each.subject for each in read(*mixed)] == ["mine"]
    assert read(item(person="P11"), item(person="")) == []


def test_a_person_whose_id_is_a_number_is_recognized():
    assert len(read(item(person=7), person="7")) == 1


@pytest.mark.parametrize(
    "when",
    [
        "2026-11-15T12:00:00Z",
        "2026-11-15T13:00:00+01:00",
        "2026-11-15 12:00:00",
        1_794_744_000,
        1_794_744_000_000,
        1_794_744_000.0,
    ],
)
def test_a_time_is_read_from_iso_8601_text_seconds_or_milliseconds(when):
    (found,) = read(item(when=when))
    assert found.time == NOON


@pytest.mark.parametrize(
    "when", ["yesterday", "", None, True, 0, -5, float("nan"), float("inf"), 10**400, [], {}]
)
def test_a_time_that_cannot_be_read_is_an_error_and_not_another_time(when):
    with pytest.raises(ServerError, match="a time that can be read"):
        read(item(when=when))


def test_a_contact_without_a_time_is_left_out_and_other_contacts_are_returned():
    assert [each.subject for each in read(item("no", when=None), item("yes"))] == ["yes"]


def test_the_newest_ten_contacts_are_returned_newest_first():
    many = [item(f"{day}", when=f"2026-11-{day:02}T12:00:00Z") for day in range(1, 29)]
    found = [each.subject for each in read(*many)]
    assert found == [f"{day}" for day in range(28, 28 - MOST_CONTACTS, -1)]


def test_an_answer_without_a_list_is_an_error_and_an_empty_answer_is_not():
    with pytest.raises(ServerError, match='no list where "contacts" points'):
        MAPPING.read({"items": {}}, "P1")
    with pytest.raises(ServerError, match="more than 500"):
        read(*[item()] * 501)
    assert read() == MAPPING.read(None, "P1") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"subject": JSON, "when": JSON, "people": JSON, "status": JSON, "text": JSON, "id": JSON}
    ),
    max_size=5,
)


@given(st.one_of(JSON, st.fixed_dictionaries({"items": ITEMS})))
def test_any_document_gives_contacts_or_raises_server_error(document):
    try:
        found = MAPPING.read(document, "P1")
    except ServerError:
        return
    assert all(each.subject and each.time > 0 for each in found)
