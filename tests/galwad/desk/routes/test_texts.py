"""The texts of an installation in both languages, and where each is set.

Covers `galwad/desk/models/texts.py`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.sections import ContactNotesSection, Route

PURPOSES = [{"en": "Missed collection", "cy": "Casgliad a fethwyd"}]


@pytest.fixture
async def texts(running):
    """Return the texts of a desk with lines and a purpose, by kind."""
    await running.stop()
    running.options = replace(
        running.options,
        contact_notes=ContactNotesSection.model_validate({"purposes": PURPOSES}),
        routes=(
            Route.model_validate({"called": "1", "ring": ["201"]}),
            Route.model_validate(
                {"called": "2", "ring": ["201"], "line": "Council Tax", "line_cy": "Treth Gyngor"}
            ),
            Route.model_validate({"called": "3", "ring": ["201"], "line": "Housing"}),
        ),
    )
    await running.start()
    found: dict[str, list] = {}
    for each in (await (await running.page("gwen")).http.get("/api/v1/texts")).json():
        place = f"{each['table']} {each['number']} {' '.join(each['keys'])}".strip()
        found.setdefault(each["kind"], []).append((place, each["en"], each["cy"]))
    return found


async def test_each_text_has_its_place_in_the_settings(texts):
    assert texts["line"] == [
        ("routes 2 line line_cy", "Council Tax", "Treth Gyngor"),
        ("routes 3 line line_cy", "Housing", ""),
    ]
    assert texts["purpose"] == [
        ("contact_notes.purposes 1 en cy", "Missed collection", "Casgliad a fethwyd")
    ]
    assert texts["break"][0] == ("presence.break_reasons 1 en cy", "Short break", "Seibiant byr")


async def test_the_reasons_without_a_note_are_those_of_the_page(texts):
    assert ("0", "Test call", "Galwad brawf") in texts["no_note"]
    assert len(texts["no_note"]) == 5


@pytest.mark.parametrize("who", ["sian", "mair"])
async def test_only_an_administrator_sees_the_texts(running, who):
    assert (await (await running.page(who)).http.get("/api/v1/texts")).status_code == 403
