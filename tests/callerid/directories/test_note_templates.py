"""Templates of requests that write a contact note."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callerid.directories.http_notes import (
    NOTE_PLACEHOLDERS,
    AddressTemplate,
    NoteTemplate,
    note_values,
)
from callerid.errors import TemplateError
from helpers.notes import NOTE


def test_each_placeholder_of_a_note_has_a_value():
    assert set(note_values(NOTE)) == set(NOTE_PLACEHOLDERS)


def test_values_are_filled_into_texts_at_any_depth():
    template = NoteTemplate({"a": ["{line}: {purpose}", {"b": "{version_id}"}], "c": 1})
    assert template.fill(note_values(NOTE)) == {
        "a": ["Waste: Missed collection", {"b": "20261125-093000-abcdefgh/1"}],
        "c": 1,
    }


def test_a_json_member_that_is_only_an_unknown_value_is_left_out():
    template = NoteTemplate({"contact": "{person_id}", "text": "for {person_id}", "fixed": ""})
    assert template.fill(note_values(NOTE)) == {"text": "for ", "fixed": ""}
    known = note_values(replace(NOTE, person_id="7"))
    assert template.fill(known) == {"contact": "7", "text": "for 7", "fixed": ""}


@given(st.text(), st.sampled_from(["notes", "purpose", "outcome", "authority"]))
def test_no_text_of_a_note_changes_the_structure_of_a_request(text, name):
    note = replace(NOTE, **{name: text})
    filled = NoteTemplate({"x": f"{{{name}}}.", "y": ["{call_id}"]}).fill(note_values(note))
    assert filled == {"x": f"{text}.", "y": [NOTE.call_id]}
    assert json.loads(json.dumps(filled)) == filled


def test_a_text_that_looks_like_a_placeholder_is_not_filled_again():
    note = replace(NOTE, notes="{person_id} {line}")
    assert NoteTemplate("{notes}!").fill(note_values(note)) == "{person_id} {line}!"


@pytest.mark.parametrize("text", ["{e164}", "{Purpose}".lower() + "{x}", "{number}"])
def test_an_unknown_placeholder_is_refused(text):
    with pytest.raises(TemplateError, match="unknown placeholder"):
        NoteTemplate([text])


def test_an_address_has_only_ids_which_are_percent_encoded():
    address = AddressTemplate("https://crm.example/notes/{record_id}/{version}")
    values = note_values(NOTE, "../a b?c=d#e")
    assert address.fill(values) == "https://crm.example/notes/..%2Fa%20b%3Fc%3Dd%23e/1"
    for name in {each.name for each in fields(NOTE)} - {"call_id", "version"}:
        with pytest.raises(TemplateError, match="an address cannot have"):
            AddressTemplate(f"https://crm.example/{{{name}}}")
