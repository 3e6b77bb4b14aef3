"""Texts that an administrator changes while the pages of advisors are open.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import MAIR, answer

pytestmark = pytest.mark.peer

BINS = {"en": "Missed bins", "cy": "Biniau a fethwyd"}


def wrap_up(desk):
    desk.put(state="wrapup", advisor="sian", recording="ended", recording_since=time.time())


def change(desk, **texts):
    """Change what the desk sends, and send it to the open pages."""
    for name, value in texts.items():
        setattr(desk, name, value)
    desk.push("texts", desk.page_texts())


def test_a_new_purpose_is_suggested_while_the_field_has_the_focus_and_nothing_typed_is_lost(
    desk, page
):
    wrap_up(desk)
    purpose = page.get_by_label("Purpose of the call")
    purpose.focus()
    page.keyboard.type("Miss")
    change(desk, purposes=[BINS])
    options = page.locator("form.contact datalist option")
    expect(options).to_have_count(1)
    expect(options).to_have_attribute("value", "Missed bins")
    expect(purpose).to_have_value("Miss")


def test_a_removed_purpose_is_refused_where_only_listed_purposes_are_allowed(desk, page):
    wrap_up(desk)
    purpose = page.get_by_label("Purpose of the call")
    purpose.fill("Other")
    change(desk, purposes=[BINS], free_text=False)
    purpose.press("End")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_have_text("Not saved. Choose a purpose from the list.")


def test_a_line_has_its_new_name_at_once_in_both_languages(desk, page):
    answer(desk, MAIR, line="Housing")
    title = page.locator(".call .line-name")
    expect(title).to_have_text("Housing")
    names = desk.page_texts()
    desk.push("texts", {**names, "line_names": {"Housing": {"en": "Homes", "cy": ""}}})
    expect(title).to_have_text("Homes")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator("html")).to_have_attribute("lang", "cy")
    expect(title).to_have_text("Homes")
    desk.push("texts", {**names, "line_names": {"Housing": {"en": "Homes", "cy": "Tai"}}})
    expect(title).to_have_text("Tai")


def test_the_reasons_for_no_note_have_their_new_words_and_keep_their_codes(desk, page):
    wrap_up(desk)
    page.get_by_role("button", name="Close this call").click()
    reason = page.get_by_label("Why does this call need no note?")
    change(desk, no_note_reasons=[{"code": "test", "en": "Only a test", "cy": "Prawf yn unig"}])
    expect(reason.get_by_role("option", name="Test call")).to_have_count(0)
    expect(reason.get_by_role("option", name="Wrong number")).to_have_count(1)
    change(desk, no_note_reasons=[{"code": "test", "en": "A trial", "cy": "Prawf yn unig"}])
    reason.select_option("A trial")
    page.get_by_role("button", name="Close without a note").click()
    expect(page.locator("#status")).to_contain_text("The call is closed without a note.")
    assert [body for _, path, body in desk.asked if path.endswith("/contact/not-needed")] == [
        {"reason": "test"}
    ]


def test_a_break_whose_reason_was_removed_keeps_its_text(desk, browser_page, address):
    desk.be("sian", state="break", on_break=True, reason="lunch")
    browser_page.goto(address)
    shown = browser_page.locator(".presence .note:visible")
    expect(shown).to_have_text("Lunch")
    lunch = [each for each in desk.break_reasons if each["code"] == "lunch"]
    tea = [{"code": "tea", "en": "Tea", "cy": "Te"}]
    change(desk, break_reasons=tea, former_reasons=lunch)
    browser_page.get_by_role("button", name="Available").click()
    browser_page.get_by_role("button", name="Take a break").click()
    expect(browser_page.get_by_role("button", name="Tea")).to_be_visible()
    expect(browser_page.get_by_role("button", name="Lunch")).to_have_count(0)
    browser_page.get_by_role("button", name="Tea").click()
    expect(shown).to_have_text("Tea")
    desk.be("sian", state="break", on_break=True, reason="lunch")
    expect(shown).to_have_text("Lunch")


def test_hostile_texts_are_shown_as_text(desk, page):
    hostile = "<img src=x onerror=window.hacked=1>"
    both = {"en": hostile, "cy": hostile}
    desk.be("sian")
    answer(desk, MAIR, line="Housing")
    texts = {**desk.page_texts(), "line_names": {"Housing": both}, "purposes": [both]}
    desk.push("texts", {**texts, "break_reasons": [{"code": "tea", **both}]})
    expect(page.locator(".call .line-name")).to_have_text(hostile)
    page.get_by_label("Purpose of the call").focus()
    expect(page.locator("form.contact datalist option")).to_have_attribute("value", hostile)
    page.get_by_role("button", name="Take a break").click()
    expect(page.get_by_role("button", name=hostile)).to_be_visible()
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("window.hacked") is None
