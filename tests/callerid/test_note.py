"""The fields of a contact note, and which of them a note needs."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from callerid.errors import ContactError
from callerid.note import Note


def test_a_note_is_made_of_its_fields_among_others():
    note = Note("Waste", "cy", notes="Bin")
    assert Note.of({**asdict(note), "version": 3, "window": "0" * 16}) == note


def test_the_texts_of_a_note_are_those_that_are_not_empty():
    assert Note("", "cy", outcome="Done", notes="Bin").texts == ("Done", "Bin")


def test_a_draft_without_a_purpose_may_not_have_a_card_number_either():
    Note("", "cy", caller_type="family").check_cards()
    with pytest.raises(ContactError, match="outcome seems to contain a payment card"):
        Note("", "cy", outcome="4111 1111 1111 1111").check_cards()
