"""The ids of contact notes in other systems, which must stay the same for ever."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from callerid.note_destination import OutgoingNote

NOTE = OutgoingNote(
    call_id="0190b0a0c0ffee00",
    version=1,
    started=1_790_000_000.0,
    line="Council Tax",
    advisor="elin",
    person_id="",
    reference="",
    purpose="Bins",
    purpose_code="",
    language="cy",
    outcome="",
    caller_type="self",
    on_behalf_of="",
    authority="",
    notes="",
    recording_url="",
)


def test_all_versions_of_a_note_have_the_same_id_which_never_changes():
    assert NOTE.note_id == UUID("2dc9f63f-12d1-5fd8-b7a1-6b6312f57176")
    assert replace(NOTE, version=2, notes="Ring back").note_id == NOTE.note_id


def test_the_notes_of_two_calls_have_different_ids():
    assert replace(NOTE, call_id="0190b0a0c0ffee01").note_id != NOTE.note_id
