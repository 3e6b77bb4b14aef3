"""Contact notes: opened when a call is answered, saved once, delivered from an outbox."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import event

from callerid.contacts import Contacts, Note, OpenContact
from callerid.errors import ContactError
from callerid.note_outbox import NoteOutbox
from callerid.person import Person

CALL = "20261125-101500-aaaaaaaa"
OPEN = OpenContact(CALL, 1000.0, "Council Tax", "sian", "201")
NOTE = Note("Council Tax", "cy", "answered")
ELIN = Person("directory:1", "Elin", details=(("reference", "C-1"),), same_as=("crm:9",))


@pytest.fixture
async def contacts(engine):
    contacts = Contacts(engine)
    await contacts.open_note(OPEN)
    return contacts


@pytest.fixture
async def queued(engine):
    """Return a function that returns the queued versions, as the CRM would get them."""
    outbox = NoteOutbox(engine)

    async def queued():
        found = []
        while (version := await outbox.next_version(2000.0)) is not None:
            found.append(version)
            await outbox.delivered(version, "", 2000.0)
        return found

    return queued


async def test_an_answered_call_has_an_open_note_until_it_is_saved(contacts):
    assert await contacts.open_notes() == [OPEN]
    await contacts.save(CALL, NOTE, 1060.0)
    assert await contacts.open_notes() == []
    assert await contacts.note(CALL) == NOTE


async def test_an_open_note_keeps_the_caller_until_it_is_saved(contacts, engine):
    rang = replace(OPEN, number="+441632960001", withheld=False)
    await contacts.open_note(rang)
    await contacts.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    assert await contacts.open_notes() == [replace(rang, person_id="directory:1")]
    await contacts.save(CALL, NOTE, 1060.0)
    async with engine.connect() as connection:
        (number,) = await connection.exec_driver_sql("SELECT number FROM contacts")
    assert number == ("",)


async def test_a_call_that_needs_no_note_is_queued_with_the_reason(contacts, queued):
    assert await contacts.save(CALL, Note.not_needed("wrong_number"), 1060.0) == 1
    assert await contacts.open_notes() == []
    (version,) = await queued()
    assert (version.fields["no_note_reason"], version.fields["purpose"]) == ("wrong_number", "")
    assert (version.fields["line"], version.fields["started"]) == ("Council Tax", 1000.0)


async def test_open_notes_are_read_through_their_index(contacts, engine):
    asked = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *of: asked.append(of[2:4]))
    await contacts.open_notes()
    ((statement, values),) = [of for of in asked if of[0].startswith("SELECT")]
    async with engine.connect() as connection:
        (step,) = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
    assert step[3] == "SEARCH contacts USING INDEX contacts_by_version (version=?)"


async def test_a_saved_note_is_queued_with_the_confirmed_person(contacts, queued):
    await contacts.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    assert await contacts.save(CALL, NOTE, 1060.0) == 1
    (version,) = await queued()
    assert version.fields["purpose"] == "Council Tax"
    assert version.entries == ["directory:1", "crm:9"]
    assert version.fields["reference"] == "C-1"


async def test_saving_the_same_note_twice_queues_it_once(contacts, queued):
    assert await contacts.save(CALL, NOTE, 1060.0) == 1
    assert await contacts.save(CALL, NOTE, 1061.0) == 1
    assert await contacts.save(CALL, Note("Waste", "en"), 1062.0) == 2
    assert [version.version for version in await queued()] == [1, 2]


async def test_a_saved_note_is_queued_again_if_another_person_is_confirmed(contacts, queued):
    await contacts.save(CALL, NOTE, 1060.0)
    await contacts.save_confirmation(CALL, ELIN, "confirmed", 1061.0)
    await contacts.save_confirmation(CALL, ELIN, "volunteered", 1062.0)
    await contacts.save_confirmation(CALL, None, "not_them", 1063.0)
    found = [(each.version, each.entries) for each in await queued()]
    assert found == [(1, []), (2, ["directory:1", "crm:9"]), (3, [])]
    assert await contacts.note(CALL) == NOTE


async def test_a_confirmation_of_a_call_that_was_never_answered_changes_nothing(contacts, queued):
    await contacts.save_confirmation("20261125-101500-bbbbbbbb", ELIN, "confirmed", 1061.0)
    assert await queued() == []


async def test_a_late_entry_is_added_to_the_confirmed_person_only(contacts, queued):
    alone = replace(ELIN, same_as=())
    await contacts.save_confirmation(CALL, alone, "confirmed", 1050.0)
    await contacts.save(CALL, NOTE, 1060.0)
    await contacts.add_entries(CALL, replace(ELIN, person_id="directory:2"), 1061.0)
    await contacts.add_entries(CALL, ELIN, 1062.0)
    await contacts.add_entries(CALL, ELIN, 1063.0)
    assert [each.entries for each in await queued()] == [["directory:1"], ["directory:1", "crm:9"]]


async def test_a_forgotten_confirmation_leaves_no_person(contacts, queued):
    await contacts.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    await contacts.forget_confirmation(CALL)
    await contacts.save(CALL, NOTE, 1060.0)
    (version,) = await queued()
    assert (version.entries, version.fields["reference"]) == ([], "")


async def test_an_open_note_passes_to_another_advisor_but_a_saved_one_does_not(contacts, queued):
    huw = OpenContact(CALL, 1000.0, "Council Tax", "huw", "202")
    await contacts.open_note(huw)
    assert await contacts.open_notes() == [huw]
    await contacts.save(CALL, NOTE, 1060.0)
    await contacts.open_note(OPEN)
    (version,) = await queued()
    assert version.fields["advisor"] == "huw"


@pytest.mark.parametrize(
    ("note", "missing"),
    [
        (Note("", "cy"), "purpose"),
        (Note("Waste", "cy", caller_type="family"), "for whom"),
        (Note("Waste", "cy", caller_type="councillor", on_behalf_of="C-1"), "authority"),
    ],
)
async def test_an_incomplete_note_is_refused_with_the_missing_field(
    contacts, queued, note, missing
):
    with pytest.raises(ContactError, match=missing):
        await contacts.save(CALL, note, 1060.0)
    assert await queued() == []


async def test_a_call_that_was_never_answered_has_no_note(contacts):
    with pytest.raises(ContactError):
        await contacts.save("20261125-101500-bbbbbbbb", NOTE, 1060.0)


@pytest.mark.parametrize("field", ["purpose", "outcome", "on_behalf_of", "authority", "notes"])
async def test_a_note_with_a_card_number_is_refused_without_repeating_it(contacts, queued, field):
    facts = {"purpose": "Council Tax", "language": "en", field: "paid 4111 1111 1111 1111"}
    with pytest.raises(ContactError, match=f"{field} seems to contain a payment card") as refused:
        await contacts.save(CALL, Note(**facts), 1060.0)
    assert "1111" not in str(refused.value)
    assert await queued() == []
