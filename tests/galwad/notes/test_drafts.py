"""Drafts of contact notes: no window overwrites a text that its user has not seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.errors import ContactError, DraftConflictError
from galwad.notes.rules import NoteDraft, OpenNote, unfinished_note
from galwad.notes.store import NoteDrafts, NoteStore
from helpers.notes import written

CALL = "20261125-101500-aaaaaaaa"
OPEN = OpenNote(CALL, 1000.0, "Council Tax", "sian", "201")
TYPED = NoteDraft(CALL, "sian", "window-a", 1, written("", "cy", notes="Bin"))
TEXTS = st.text(max_size=30)
NOTES = st.builds(written, TEXTS, st.sampled_from(["en", "cy"]), TEXTS, notes=TEXTS)


def draft(window="window-a", edit=1, version=0, **fields):
    note = written(**{"purpose": "", "language": "cy", **fields})
    return NoteDraft(CALL, "sian", window, edit, note, version)


@pytest.fixture
async def notes(engine):
    notes = NoteStore(engine)
    await notes.open_note(OPEN)
    return notes


@pytest.fixture
def drafts(notes, engine):
    return NoteDrafts(engine)


async def test_a_saved_draft_is_in_the_database_and_its_version_increases(drafts):
    first = await drafts.save(TYPED, 1060.0)
    second = await drafts.save(replace(TYPED, edit=2, version=first.version), 1061.0)
    assert 0 < first.version < second.version
    assert await drafts.all() == [second]


async def test_a_window_that_has_not_seen_the_newest_draft_is_refused(drafts):
    first = await drafts.save(draft(notes="one"), 1060.0)
    other = await drafts.save(draft("window-b", 1, first.version, notes="two"), 1061.0)
    with pytest.raises(DraftConflictError):
        await drafts.save(draft("window-c", 1, first.version, notes="three"), 1062.0)
    with pytest.raises(DraftConflictError):
        await drafts.save(draft("window-c", 2, 0, notes="three"), 1062.0)
    assert await drafts.all() == [other]


async def test_a_window_whose_answer_was_lost_can_save_again(drafts):
    await drafts.save(draft(edit=1, notes="one"), 1060.0)
    again = await drafts.save(draft(edit=2, notes="one and more"), 1061.0)
    assert again.note.notes == "one and more"


async def test_an_earlier_save_that_arrives_late_does_not_replace_a_later_save(drafts):
    newer = await drafts.save(draft(edit=2, notes="later"), 1060.0)
    assert await drafts.save(draft(edit=1, notes="earlier"), 1061.0) == newer
    assert await drafts.all() == [newer]


async def test_drafts_of_two_users_do_not_affect_each_other(drafts):
    await drafts.save(TYPED, 1060.0)
    await drafts.save(replace(TYPED, author="huw", window="window-b"), 1061.0)
    assert {each.author for each in await drafts.all()} == {"sian", "huw"}


async def test_the_version_of_a_draft_is_not_used_again_after_the_note_was_saved(drafts, notes):
    first = await drafts.save(TYPED, 1060.0)
    await notes.save(CALL, written("Waste", "cy"), 1061.0)
    assert await drafts.all() == []
    with pytest.raises(DraftConflictError):
        await drafts.save(draft("window-b", 1, first.version, notes="mine"), 1061.5)
    second = await drafts.save(draft(edit=2, notes="more"), 1062.0)
    assert second.version > first.version


async def test_a_draft_that_equals_the_saved_note_is_not_stored(drafts, notes):
    await notes.save(CALL, written("Waste", "cy"), 1060.0)
    changed = await drafts.save(draft(purpose="Waste", notes="x"), 1061.0)
    undone = await drafts.save(draft(edit=2, version=changed.version, purpose="Waste"), 1062.0)
    assert undone.version == 0
    assert await drafts.all() == []


async def test_discarding_an_older_version_of_a_draft_keeps_the_newest(drafts):
    first = await drafts.save(TYPED, 1060.0)
    second = await drafts.save(replace(TYPED, edit=2), 1061.0)
    await drafts.discard(first)
    assert await drafts.all() == [second]
    await drafts.discard(second)
    assert await drafts.all() == []


async def test_a_draft_with_a_card_number_or_without_a_call_is_not_stored(drafts):
    with pytest.raises(ContactError, match="notes seems to contain"):
        await drafts.save(draft(notes="4111 1111 1111 1111"), 1060.0)
    with pytest.raises(ContactError, match="no answered call"):
        await drafts.save(replace(TYPED, call_id="20261125-101500-bbbbbbbb"), 1060.0)
    assert await drafts.all() == []


@given(
    st.lists(
        st.builds(
            lambda author, note, saved: NoteDraft(CALL, author, "w", 1, note, 1, saved),
            st.sampled_from(["sian", "huw", "mair"]),
            NOTES,
            st.floats(0, 1e9),
        )
    )
)
def test_every_typed_text_is_in_the_note_that_drafts_become(found):
    note = unfinished_note("sian", found)
    typed = [text for each in found for text in each.note.texts]
    if note is None:
        assert typed == []
    else:
        assert note.unfinished
        assert all(any(text in kept for kept in note.texts) for text in typed)
