"""The lists of texts that the settings and Galwad itself have."""

from __future__ import annotations

from galwad.settings.desk import ContactNotesSection, PresenceSection
from galwad.settings.switch import Route
from galwad.texts.rules import TextEntry
from galwad.texts.text_lists import initial_lists


def lists(*routes, **notes):
    made = [Route.model_validate({"ring": ["201"], **each}) for each in routes]
    return initial_lists(made, ContactNotesSection.model_validate(notes), PresenceSection())


def test_each_line_is_listed_once_with_the_welsh_name_of_any_of_its_routes():
    found = lists(
        {"called": "1"},
        {"called": "2", "line": "Council Tax", "line_cy": "Treth Gyngor"},
        {"called": "3", "line": "Housing"},
        {"called": "4", "line": "Council Tax"},
    )["lines"]
    assert found == (
        TextEntry("Council Tax", "Council Tax", "Treth Gyngor"),
        TextEntry("Housing", "Housing", ""),
    )


def test_purposes_and_reasons_of_breaks_are_those_of_the_settings():
    found = lists(purposes=[{"en": "Missed collection", "cy": "Casgliad a fethwyd"}])
    assert found["purposes"] == (TextEntry("", "Missed collection", "Casgliad a fethwyd"),)
    assert found["breaks"][0] == TextEntry("break", "Short break", "Seibiant byr")


def test_the_reasons_for_no_note_have_the_words_of_the_page():
    found = lists()["no_note_reasons"]
    assert TextEntry("test", "Test call", "Galwad brawf") in found
    assert len(found) == 5
