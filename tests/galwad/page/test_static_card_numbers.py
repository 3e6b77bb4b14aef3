"""A card number in the contact note: the page marks it at once and does not send it.

The page is in `galwad/page/static/`; its rules are those of `callerid/card_number.py`.
"""

from __future__ import annotations

import random
import time

import pytest
from playwright.sync_api import expect

from callerid.card_number import has_card_number
from helpers.card_numbers import CARDS, HIDDEN_CARDS, NOT_CARDS

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
CARD = "4111 1111 1111 1111"
WARNING = "This looks like a payment card number. Remove it"
CHECK = """async (texts) => {
    const { hasCardNumber } = await import("/static/card_number.js");
    return texts.map((text) => hasCardNumber(text));
}"""


@pytest.fixture
def note(desk, page):
    """The page with an answered call and a note to write."""
    desk.put(state="answered", advisor="sian", recording="recording", recording_since=time.time())
    page.get_by_label("Purpose of the call").fill("Council tax")
    return page


def saved(desk):
    return [body for method, path, body in desk.asked if path == f"/calls/{CALL}/contact"]


@pytest.mark.parametrize("field", ["Purpose of the call", "Outcome", "Notes"])
def test_a_card_number_in_a_field_shows_a_warning_and_is_not_sent(desk, note, field):
    note.get_by_label(field).fill(f"paid {CARD}")
    alert = note.get_by_role("alert").get_by_text(WARNING)
    expect(alert).to_be_visible()
    expect(note.get_by_label(field)).to_have_attribute("aria-invalid", "true")
    expect(note.locator(".field").filter(has=note.get_by_label(field))).to_contain_text(WARNING)
    note.get_by_role("button", name="Save contact note").click()
    expect(note.get_by_label(field)).to_be_focused()
    assert saved(desk) == []
    note.get_by_label(field).fill("paid by card")
    expect(alert).to_be_hidden()
    expect(note.get_by_label(field)).not_to_have_attribute("aria-invalid", "true")
    note.get_by_role("button", name="Save contact note").click()
    expect(note.locator(".saved")).to_have_text("Saved")
    assert len(saved(desk)) == 1


def test_the_warning_about_a_card_number_is_in_welsh_too(note):
    note.get_by_label("Notes").fill(CARD)
    note.get_by_role("button", name="Cymraeg").click()
    expect(note.get_by_role("alert").get_by_text("edrych fel rhif cerdyn talu")).to_be_visible()


def test_a_card_number_in_a_field_that_is_not_sent_does_not_block_the_note(desk, note):
    note.get_by_label("Who is calling").select_option("family")
    note.get_by_label("On whose behalf").fill(CARD)
    expect(note.get_by_text(WARNING)).to_be_visible()
    note.get_by_label("Who is calling").select_option("self")
    expect(note.get_by_text(WARNING)).to_be_hidden()
    note.get_by_role("button", name="Save contact note").click()
    expect(note.locator(".saved")).to_have_text("Saved")
    assert saved(desk)[0]["on_behalf_of"] == ""


def test_a_card_number_that_only_the_desk_finds_shows_the_same_warning(desk, note):
    desk.refusing = 422
    desk.reason = "card_number"
    note.get_by_role("button", name="Save contact note").click()
    expect(note.locator(".saved")).to_contain_text(WARNING)


def test_no_field_of_the_note_is_kept_by_the_browser(note):
    for control in note.locator("form.contact input, form.contact textarea").all():
        assert control.get_attribute("autocomplete") == "off"
    assert note.locator("form.contact").get_attribute("autocomplete") == "off"
    note.get_by_label("Notes").fill(CARD)
    kept = note.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])")
    assert "1111" not in kept
    note.reload()
    expect(note.get_by_label("Notes")).to_have_value("")


def test_the_page_and_the_desk_find_the_same_card_numbers(page):
    """Random texts are made of parts that matter to the rules."""
    source = random.Random(11)
    parts = [*CARDS, *HIDDEN_CARDS, *NOT_CARDS, *"0123456789", " ", "-", ".", ", ", "#", "x", "GB"]
    parts += ["24/11/2026", "09:30", "30-00-00 ", "٤", "²", "①"]
    parts += ["\uff14", "\u200b", "\u2014", "\ufe0f"]
    made = ["".join(source.choices(parts, k=source.randrange(1, 8))) for _ in range(4_000)]
    digits = ["".join(source.choices("0123456789 -", k=24)) for _ in range(4_000)]
    texts = [*CARDS, *HIDDEN_CARDS, *NOT_CARDS, *made, *digits]
    known = [has_card_number(text) for text in texts]
    assert 0.1 < sum(known) / len(texts) < 0.9
    found = page.evaluate(CHECK, texts)
    assert [
        text for text, ours, theirs in zip(texts, known, found, strict=True) if ours != theirs
    ] == []
