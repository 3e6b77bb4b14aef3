"""A contact note is stored while it is typed, so that no text is lost.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import threading
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
TYPED = "Black bin, not emptied for two weeks"


def answered(desk, **more):
    state = {"recording": "recording", "recording_since": time.time(), "extension": "201"}
    return desk.put(**{"state": "answered", "advisor": "sian", **state, **more})


def notes(page):
    return page.get_by_label("Notes", exact=True)


def drafted(desk):
    return [body for _, path, body in desk.asked if path.endswith("/contact/draft")]


def shown(page):
    return page.locator(".saved")


@pytest.fixture
def second(browser_page, address):
    """A second window of the same browser, open and connected."""
    window = browser_page.context.new_page()
    window.goto(address)
    window.locator("#link[data-state=live]").wait_for()
    return window


def test_a_note_is_stored_as_a_draft_after_a_pause_in_typing(desk, open_timeless):
    page = open_timeless()
    answered(desk)
    notes(page).press_sequentially(TYPED)
    assert drafted(desk) == []
    page.clock.run_for(1_000)
    expect(shown(page)).to_have_text("Draft saved")
    assert [body["notes"] for body in drafted(desk)] == [TYPED]


def test_typed_text_is_stored_as_a_draft_at_once_when_its_field_loses_the_focus(
    desk, open_timeless
):
    page = open_timeless()
    answered(desk)
    notes(page).fill(TYPED)
    expect(shown(page)).to_have_text("Not saved yet")
    assert drafted(desk) == []
    page.get_by_label("Outcome").focus()
    expect(shown(page)).to_have_text("Draft saved")
    assert desk.drafts[CALL]["notes"] == TYPED


def test_a_draft_is_stored_while_the_user_types_without_a_pause(desk, open_timeless):
    page = open_timeless()
    answered(desk)
    for letter in "twelve letters":
        notes(page).press_sequentially(letter)
        page.clock.run_for(600)
    deadline = time.monotonic() + 20
    while not drafted(desk) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert drafted(desk)[0]["notes"].startswith("twelve")


def test_a_draft_is_in_the_form_after_a_reload(desk, page):
    answered(desk)
    notes(page).fill(TYPED)
    page.get_by_label("Who is calling").select_option("family")
    page.get_by_label("On whose behalf").fill("Owen Evans")
    expect(shown(page)).to_have_text("Draft saved")
    page.reload()
    expect(notes(page)).to_have_value(TYPED)
    expect(page.get_by_label("On whose behalf")).to_have_value("Owen Evans")
    expect(shown(page)).to_have_text("Draft saved")


def test_what_was_typed_just_before_the_page_was_left_is_stored(desk, page, address):
    answered(desk)
    notes(page).fill(TYPED)
    page.goto("about:blank")
    page.goto(address)
    expect(notes(page)).to_have_value(TYPED)


def test_an_idle_window_shows_the_draft_that_is_typed_in_another_window(desk, page, second):
    answered(desk)
    notes(page).fill(TYPED)
    expect(notes(second)).to_have_value(TYPED)
    notes(second).press_sequentially("!")
    expect(notes(page)).to_have_value(TYPED + "!")
    expect(shown(page)).to_have_text("Draft saved")


@pytest.fixture
def conflicting(desk, page, second):
    """Two windows with two different texts: the first is stored, the second is not."""
    answered(desk)
    expect(notes(second)).to_be_visible()
    desk.slow["PUT"] = threading.Event()
    notes(second).fill("text of the second window")
    notes(page).fill("text of the first window")
    page.get_by_label("Outcome").focus()
    desk.draft(CALL, {"window": "other", "edit": 1, "version": 0, "notes": "a third", **EMPTY})
    desk.slow.pop("PUT").set()
    return page, second


EMPTY = dict.fromkeys(("purpose", "outcome", "on_behalf_of", "authority"), "") | {
    "language": "en",
    "caller_type": "self",
}


def test_windows_with_conflicting_texts_show_both_texts_and_store_nothing_until_one_is_chosen(
    desk, conflicting
):
    texts = ("text of the first window", "text of the second window")
    for window, text in zip(conflicting, texts, strict=True):
        box = window.get_by_role("group", name="The other text of this note")
        expect(box).to_contain_text("a third")
        expect(notes(window)).to_have_value(text)
        expect(shown(window)).to_have_text("Not saved yet: choose one of the two texts")
    assert desk.drafts[CALL]["notes"] == "a third"
    first, second = conflicting
    first.get_by_role("button", name="Use this text instead").click()
    expect(notes(first)).to_have_value("a third")
    box = first.get_by_role("group", name="The other text of this note")
    expect(box).to_contain_text("text of the first window")
    first.get_by_role("button", name="Use this text instead").click()
    first.get_by_role("button", name="Keep the note in the form").click()
    expect(box).to_be_hidden()
    expect(shown(first)).to_have_text("Draft saved")
    assert desk.drafts[CALL]["notes"] == "text of the first window"
    box = second.get_by_role("group", name="The other text of this note")
    expect(box).to_contain_text("text of the first window")


def test_a_note_with_conflicting_texts_is_not_saved_until_one_is_chosen(desk, conflicting):
    page, _ = conflicting
    page.get_by_label("Purpose of the call").fill("Waste")
    expect(page.get_by_role("group", name="The other text of this note")).to_be_visible()
    page.get_by_role("button", name="Save contact note").click()
    assert not [path for _, path, _ in desk.asked if path.endswith("/contact")]
    page.get_by_role("button", name="Keep the note in the form").click()
    page.get_by_role("button", name="Save contact note").click()
    expect(shown(page)).to_have_text("Saved")
    assert desk.calls[CALL]["contact"]["notes"] == "text of the first window"


def test_saving_a_note_does_not_overwrite_a_draft_of_another_window(desk, page):
    answered(desk)
    expect(notes(page)).to_be_visible()
    page.get_by_label("Purpose of the call").fill("Waste")
    desk.drafts[CALL] = {**EMPTY, "window": "other", "edit": 1, "version": 9, "notes": "theirs"}
    desk.calls[CALL]["draft"] = desk.drafts[CALL]  # the page has not got the event yet
    page.get_by_label("Purpose of the call").press("Control+Enter")
    box = page.get_by_role("group", name="The other text of this note")
    expect(box).to_contain_text("theirs")
    assert not [path for _, path, _ in desk.asked if path.endswith("/contact")]


def test_a_draft_that_cannot_be_sent_is_marked_as_unsaved_and_stored_once_the_desk_accepts_it(
    desk, page
):
    answered(desk)
    expect(notes(page)).to_be_visible()
    desk.refusing = 503
    notes(page).fill(TYPED)
    expect(shown(page)).to_have_text("Not saved yet: no connection")
    desk.refusing = 0
    expect(shown(page)).to_have_text("Draft saved")
    assert desk.drafts[CALL]["notes"] == TYPED


def test_leaving_the_page_asks_only_while_something_is_not_stored(desk, page):
    answered(desk)
    asked: list[str] = []

    def accept(dialog):
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", accept)
    notes(page).click()
    notes(page).press_sequentially("x")
    expect(shown(page)).to_have_text("Draft saved")
    page.reload()
    expect(notes(page)).to_have_value("x")
    assert asked == []
    desk.refusing = 503
    notes(page).click()
    notes(page).press_sequentially("y")
    expect(shown(page)).to_have_text("Not saved yet: no connection")
    page.reload()
    assert asked == ["beforeunload"]


def sign_in(page, user="sian"):
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    page.locator("#link[data-state=live]").wait_for()


def expire(desk, page):
    """End the session under a text that is typed and not stored."""
    answered(desk)
    expect(notes(page)).to_be_visible()
    desk.refusing = 401
    notes(page).fill(TYPED)
    desk.signed_in = False
    desk.cut()
    desk.mend()
    page.get_by_label("User name").wait_for()
    desk.refusing = 0


def test_a_note_typed_as_the_session_expires_is_stored_after_the_sign_in(desk, page):
    expire(desk, page)
    assert drafted(desk) == [] or CALL not in desk.drafts
    sign_in(page)
    expect(notes(page)).to_have_value(TYPED)
    expect(shown(page)).to_have_text("Draft saved")
    assert desk.drafts[CALL]["notes"] == TYPED


def test_a_stored_draft_is_shown_and_continued_after_a_new_sign_in_on_the_same_page(desk, page):
    answered(desk)
    notes(page).fill("one")
    expect(shown(page)).to_have_text("Draft saved")
    notes(page).fill("one, two")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page)
    expect(notes(page)).to_have_value("one, two")
    notes(page).fill("one, two, three")
    page.get_by_label("Outcome").focus()
    expect(shown(page)).to_have_text("Draft saved")
    assert desk.drafts[CALL]["notes"] == "one, two, three"


def test_another_user_who_signs_in_neither_sees_nor_stores_the_typed_note(desk, page):
    expire(desk, page)
    desk.me = {**desk.me, "user": "huw"}
    desk.asked.clear()
    sign_in(page, "huw")
    expect(notes(page)).to_have_value("")
    page.get_by_label("Outcome").fill("of huw")
    expect(shown(page)).to_have_text("Draft saved")
    assert {body["notes"] for body in drafted(desk)} == {""}


def test_a_sign_out_first_stores_the_typed_text(desk, page):
    answered(desk)
    notes(page).fill(TYPED)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("User name").wait_for()
    assert desk.drafts[CALL]["notes"] == TYPED


def test_a_draft_with_a_card_number_is_not_sent_until_the_number_is_removed(desk, page):
    answered(desk)
    notes(page).fill("card 4111 1111 1111 1111")
    expect(shown(page)).to_have_text("Not saved yet: remove the card number")
    assert drafted(desk) == []
    notes(page).fill("card removed")
    expect(shown(page)).to_have_text("Draft saved")


def test_a_saved_draft_is_not_announced_and_leaves_nothing_in_the_browsers_storage(desk, page):
    answered(desk)
    notes(page).fill(TYPED)
    expect(shown(page)).to_have_text("Draft saved")
    assert "Draft saved" not in page.locator("#status").inner_text()
    assert page.evaluate("Object.keys(sessionStorage).length") == 0
    assert TYPED not in page.evaluate("JSON.stringify(localStorage)")
