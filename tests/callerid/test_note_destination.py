"""The ids of contact notes in other systems, which must stay the same for ever."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from helpers.notes import NOTE


def test_all_versions_of_a_note_have_the_same_id_which_never_changes():
    assert NOTE.note_id == UUID("356f4bd2-5700-58df-92e0-c45c0cb9b4c0")
    assert replace(NOTE, version=2, notes="Ring back").note_id == NOTE.note_id


def test_the_notes_of_two_calls_have_different_ids():
    assert replace(NOTE, call_id="20261125-093001-abcdefgh").note_id != NOTE.note_id
