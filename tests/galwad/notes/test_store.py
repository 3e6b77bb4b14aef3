"""Contact notes: opened when a call is answered, saved once, delivered from an outbox."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from callerid.errors import ContactError
from callerid.note import Note
from callerid.person import Person
from galwad.notes.delivery import NoteOutbox
from galwad.notes.rules import NoteDraft, OpenNote
from galwad.notes.store import ClosedNotes, NoteDrafts, NoteStore
from helpers.notes import written

CALL = "20261125-101500-aaaaaaaa"
OPEN = OpenNote(CALL, 1000.0, "Council Tax", "sian", "201")
NOTE = written("Council Tax", "cy", "answered")
ELIN = Person("directory:1", "Elin", details=(("reference", "C-1"),), same_as=("crm:9",))


@pytest.fixture
async def notes(engine):
    notes = NoteStore(engine)
    await notes.open_note(OPEN)
    return notes


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


async def test_an_answered_call_has_an_open_note_until_it_is_saved(notes):
    assert await notes.open_notes() == [OPEN]
    await notes.save(CALL, NOTE, 1060.0)
    assert await notes.open_notes() == []
    assert await notes.note(CALL) == NOTE


async def test_an_open_note_keeps_the_caller_until_it_is_saved(notes, engine):
    rang = replace(OPEN, number="+441632960001", withheld=False)
    await notes.open_note(rang)
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    await notes.save_ends({CALL: 1055.0})
    kept = replace(rang, person_id="directory:1", name="Elin", ended=1055.0)
    assert await notes.open_notes() == [kept]
    await notes.save(CALL, NOTE, 1060.0)
    await notes.save_confirmation(CALL, ELIN, "volunteered", 1061.0)
    async with engine.connect() as connection:
        (caller,) = await connection.exec_driver_sql("SELECT number, name FROM contacts")
    assert caller == ("", "")


async def test_a_new_caller_removes_the_name_of_the_confirmed_person(notes):
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    await notes.forget_confirmation(CALL)
    assert [each.name for each in await notes.open_notes()] == [""]


async def test_a_long_name_of_a_confirmed_person_is_cut(notes):
    await notes.save_confirmation(CALL, replace(ELIN, name="n" * 10_000), "confirmed", 1050.0)
    assert [each.name for each in await notes.open_notes()] == ["n" * 200]


async def test_a_call_that_needs_no_note_is_queued_with_the_reason(notes, queued):
    assert await notes.save(CALL, Note.not_needed("wrong_number"), 1060.0) == 1
    assert await notes.open_notes() == []
    (version,) = await queued()
    assert (version.fields["no_note_reason"], version.fields["purpose"]) == ("wrong_number", "")
    assert (version.fields["line"], version.fields["started"]) == ("Council Tax", 1000.0)


async def test_open_notes_are_read_through_their_index(notes, engine):
    asked = []
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *of: asked.append(of[2:4]))
    await notes.open_notes()
    ((statement, values),) = [of for of in asked if of[0].startswith("SELECT")]
    async with engine.connect() as connection:
        found = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        steps = [step[3] for step in found]
    assert "SEARCH contacts USING INDEX contacts_by_version (version=?)" in steps
    assert "SCAN contacts" not in steps


async def test_a_saved_note_is_queued_with_the_confirmed_person(notes, queued):
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    assert await notes.save(CALL, NOTE, 1060.0) == 1
    (version,) = await queued()
    assert version.fields["purpose"] == "Council Tax"
    assert version.entries == ["directory:1", "crm:9"]
    assert version.fields["reference"] == "C-1"


async def test_saving_the_same_note_twice_queues_it_once(notes, queued):
    assert await notes.save(CALL, NOTE, 1060.0) == 1
    assert await notes.save(CALL, NOTE, 1061.0) == 1
    assert await notes.save(CALL, written("Waste", "en"), 1062.0) == 2
    assert [version.version for version in await queued()] == [1, 2]


async def test_a_saved_note_is_queued_again_if_another_person_is_confirmed(notes, queued):
    await notes.save(CALL, NOTE, 1060.0)
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1061.0)
    await notes.save_confirmation(CALL, ELIN, "volunteered", 1062.0)
    await notes.save_confirmation(CALL, None, "not_them", 1063.0)
    found = [(each.version, each.entries) for each in await queued()]
    assert found == [(1, []), (2, ["directory:1", "crm:9"]), (3, [])]
    assert await notes.note(CALL) == NOTE


async def test_a_confirmation_of_a_call_that_was_never_answered_changes_nothing(notes, queued):
    await notes.save_confirmation("20261125-101500-bbbbbbbb", ELIN, "confirmed", 1061.0)
    assert await queued() == []


async def test_a_late_entry_is_added_to_the_confirmed_person_only(notes, queued):
    alone = replace(ELIN, same_as=())
    await notes.save_confirmation(CALL, alone, "confirmed", 1050.0)
    await notes.save(CALL, NOTE, 1060.0)
    await notes.add_entries(CALL, replace(ELIN, person_id="directory:2"), 1061.0)
    await notes.add_entries(CALL, ELIN, 1062.0)
    await notes.add_entries(CALL, ELIN, 1063.0)
    assert [each.entries for each in await queued()] == [["directory:1"], ["directory:1", "crm:9"]]


async def test_a_note_saved_after_its_confirmation_was_forgotten_has_no_person(notes, queued):
    await notes.save_confirmation(CALL, ELIN, "confirmed", 1050.0)
    await notes.forget_confirmation(CALL)
    await notes.save(CALL, NOTE, 1060.0)
    (version,) = await queued()
    assert (version.entries, version.fields["reference"]) == ([], "")


async def test_an_open_note_passes_to_another_advisor_but_a_saved_note_does_not(notes, queued):
    huw = OpenNote(CALL, 1000.0, "Council Tax", "huw", "202")
    await notes.open_note(huw)
    assert await notes.open_notes() == [huw]
    await notes.save(CALL, NOTE, 1060.0)
    await notes.open_note(OPEN)
    (version,) = await queued()
    assert version.fields["advisor"] == "huw"


@pytest.mark.parametrize(
    ("note", "missing"),
    [
        (written("", "cy"), "purpose"),
        (written("Waste", "cy", caller_type="family"), "for whom"),
        (written("Waste", "cy", caller_type="councillor", on_behalf_of="C-1"), "authority"),
    ],
)
async def test_an_incomplete_note_is_refused_with_the_missing_field(notes, queued, note, missing):
    with pytest.raises(ContactError, match=missing):
        await notes.save(CALL, note, 1060.0)
    assert await queued() == []


async def test_no_note_can_be_saved_for_a_call_that_was_never_answered(notes):
    with pytest.raises(ContactError):
        await notes.save("20261125-101500-bbbbbbbb", NOTE, 1060.0)


@pytest.mark.parametrize("field", ["purpose", "outcome", "on_behalf_of", "authority", "notes"])
async def test_a_note_with_a_card_number_is_refused_without_repeating_it(notes, queued, field):
    facts: dict[str, Any] = {"purpose": "Council Tax", "language": "en"}
    facts[field] = "paid 4111 1111 1111 1111"
    with pytest.raises(ContactError, match=f"{field} seems to contain a payment card") as refused:
        await notes.save(CALL, written(**facts), 1060.0)
    assert "1111" not in str(refused.value)
    assert await queued() == []


def typed(author, saved, **fields):
    note = written(**{"purpose": "", "language": "cy", **fields})
    return NoteDraft(CALL, author, f"window-{author}", 1, note, saved=saved)


async def test_an_unwritten_note_is_closed_with_a_reason_and_is_not_open_again(notes, queued):
    assert await notes.close(CALL, 2000.0) == Note.not_needed("not_written")
    await notes.open_note(OPEN)
    assert await notes.open_notes() == []
    assert [each.fields["no_note_reason"] for each in await queued()] == ["not_written"]
    assert await notes.close("20261125-101500-bbbbbbbb", 2000.0) is None


async def test_a_draft_becomes_the_note_when_the_note_is_closed(notes, queued, engine):
    drafts = NoteDrafts(engine)
    await drafts.save(typed("sian", 0, notes="Bin ddu", caller_type="family"), 1050.0)
    closed = await notes.close(CALL, 2000.0)
    assert closed == written("", "cy", caller_type="family", notes="Bin ddu", unfinished=True)
    assert await notes.note(CALL) == closed
    assert await drafts.all() == []
    (version,) = await queued()
    assert (version.fields["notes"], version.fields["unfinished"]) == ("Bin ddu", True)


async def test_the_texts_of_other_users_are_added_to_the_advisors_draft(notes, engine):
    drafts = NoteDrafts(engine)
    await drafts.save(typed("huw", 0, purpose="Waste", notes="Rings again"), 1060.0)
    await drafts.save(typed("sian", 0, purpose="Bins"), 1050.0)
    closed = await notes.close(CALL, 2000.0)
    assert (closed.purpose, closed.notes) == ("Bins", "huw: Waste; Rings again")


async def test_a_change_that_was_not_saved_becomes_the_next_version_of_a_closed_note(
    notes, queued, engine
):
    await notes.save(CALL, NOTE, 1060.0)
    drafts = NoteDrafts(engine)
    await drafts.save(typed("sian", 0, purpose="Council Tax", notes="More"), 1070.0)
    assert [each.call_id for each in await notes.open_notes()] == [CALL]
    closed = await notes.close(CALL, 2000.0)
    assert (closed.notes, closed.unfinished) == ("More", True)
    assert await notes.open_notes() == []
    assert [version.version for version in await queued()] == [1, 2]


async def test_an_empty_draft_over_a_saved_note_leaves_the_note_as_it_is(notes, queued, engine):
    await notes.save(CALL, NOTE, 1060.0)
    await NoteDrafts(engine).save(typed("sian", 0), 1070.0)
    assert await notes.close(CALL, 2000.0) == NOTE
    assert await notes.open_notes() == []
    assert len(await queued()) == 1


async def test_closed_notes_are_counted_for_each_advisor(notes, engine):
    later = [f"20261126-10150{number}-aaaaaaaa" for number in range(3)]
    for call_id, advisor in zip(later, ("sian", "huw", "sian"), strict=True):
        await notes.open_note(replace(OPEN, call_id=call_id, advisor=advisor))
    await NoteDrafts(engine).save(replace(typed("sian", 0, notes="x"), call_id=later[2]), 1050.0)
    for call_id in (CALL, *later):
        await notes.close(call_id, 2000.0)
    counted = [ClosedNotes("huw", 1, 0), ClosedNotes("sian", 1, 1)]
    assert await notes.closed_notes("20261126") == counted
