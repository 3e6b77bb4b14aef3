"""Advice that has been followed, or that no longer applies, goes from the page.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from helpers.page_states import MAIR, OWEN, advance, answer

pytestmark = pytest.mark.peer

CONFIRMED = {"confirmed": True, "outcome": "confirmed", "chosen": MAIR["person_id"]}
PAUSED = {"recording": "paused", "holders": ["page:sian"]}
resumed_or_over = pytest.mark.parametrize(
    "change",
    [{"recording": "recording", "holders": []}, {"state": "wrapup", "recording": "ended"}],
    ids=["resumed", "over"],
)


def test_the_advice_to_choose_one_of_several_people_disappears_after_the_confirmation(desk, page):
    answer(desk, MAIR, OWEN)
    expect(page.locator(".lookup")).to_contain_text("Ask, then choose one")
    page.get_by_role("radio", name="Mair Evans").check()
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".details")).to_be_visible()
    expect(page.locator(".lookup")).to_be_hidden()


def test_the_warning_about_a_shared_number_disappears_after_the_confirmation(desk, page):
    answer(desk, OWEN)
    expect(page.get_by_text("Shared number")).to_be_visible()
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".details")).to_be_visible()
    expect(page.get_by_text("Shared number")).to_be_hidden()


@pytest.mark.parametrize("status", ["not_found", "unavailable", "busy", "withheld"])
def test_the_advice_to_ask_who_is_calling_is_replaced_when_a_new_person_is_noted(
    desk, page, status
):
    answer(desk, caller={"status": status})
    expect(page.locator(".lookup")).to_be_visible()
    page.get_by_role("button", name="New person").click()
    expect(page.locator(".lookup")).to_have_text("Noted: a new person, in no directory.")
    desk.put(state="wrapup", recording="ended")
    expect(page.locator(".lookup")).to_be_hidden()


@pytest.mark.parametrize(
    "change",
    [{"caller": {"outcome": "new_person"}}, {"caller": CONFIRMED}, {"state": "wrapup"}],
    ids=["new person", "confirmed", "over"],
)
def test_the_warning_about_a_new_caller_disappears_once_they_are_identified_or_the_call_ends(
    desk, page, change
):
    answer(desk, MAIR, caller={"position": 2})
    expect(page.locator(".changed")).to_be_visible()
    desk.put(**change)
    expect(page.locator(".changed")).to_be_hidden()


def test_the_directories_that_have_not_answered_are_no_longer_named_after_the_confirmation(
    desk, page
):
    directories = [{"name": "ours", "answer": "found"}, {"name": "crm", "answer": "busy"}]
    answer(desk, MAIR, caller={"directories": directories})
    expect(page.locator(".directories")).to_be_visible()
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".directories")).to_be_hidden()


@pytest.mark.parametrize(
    "change", [{"caller": CONFIRMED}, {"state": "wrapup"}], ids=["confirmed", "over"]
)
def test_the_notice_of_an_unsent_confirmation_disappears_once_confirmed_or_when_the_call_ends(
    desk, page, change
):
    answer(desk, MAIR)
    desk.refusing = 503
    page.get_by_role("button", name="Checks passed").click()
    trouble = page.locator(".caller > .warning[role=alert]")
    expect(trouble).to_be_visible()
    desk.put(**change)
    expect(trouble).to_be_hidden()


def test_the_result_of_a_search_disappears_when_somebody_types_again_or_the_caller_changes(
    desk, browser_page, address
):
    desk.searchable = True
    answer(desk)
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()  # with the caller of the snapshot
    text = browser_page.get_by_label("Search by name")
    text.fill("evans")
    text.press("Enter")
    result = browser_page.locator(".search .note")
    expect(result).to_have_text("Nobody found")
    text.press_sequentially("x")
    expect(result).to_be_hidden()
    text.press("Enter")
    expect(result).to_have_text("Nobody found")
    desk.put(caller={"position": 2})
    expect(result).to_be_hidden()
    expect(text).to_have_value("")


@pytest.mark.parametrize(
    "change",
    [PAUSED, {"state": "wrapup", "recording": "ended"}, {"recording": "ceased"}],
    ids=["paused", "over", "ceased"],
)
def test_the_warning_about_a_failed_pause_disappears_when_the_recording_pauses_or_ends(
    desk, page, change
):
    answer(desk, MAIR)
    desk.refusing = 503
    page.get_by_role("button", name="Pause for card details").click()
    warning = page.get_by_text("NOT confirmed")
    expect(warning).to_be_visible()
    desk.put(**change)
    expect(warning).to_be_hidden()


@resumed_or_over
def test_the_warning_about_a_failed_resume_disappears_when_the_recording_resumes_or_ends(
    desk, page, change
):
    answer(desk, MAIR, **PAUSED)
    desk.refusing = 503
    expect(page.get_by_role("button", name="Resume recording")).to_be_visible()
    page.keyboard.press("Shift+F8")
    warning = page.get_by_text("Recording has not resumed")
    expect(warning).to_be_visible()
    desk.put(**change)
    expect(warning).to_be_hidden()


@pytest.mark.parametrize(
    "change", [{"durable": True}, {"state": "wrapup", "recording": "ended"}], ids=["saved", "over"]
)
def test_the_warning_that_a_change_is_not_on_disk_disappears_once_stored_or_when_the_call_ends(
    desk, page, change
):
    answer(desk, MAIR, durable=False)
    warning = page.locator(".recording").get_by_text("not been confirmed on disk")
    expect(warning).to_be_visible()
    desk.put(**change)
    expect(warning).to_be_hidden()


@resumed_or_over
def test_the_warning_about_a_forgotten_pause_disappears_when_the_recording_resumes_or_ends(
    desk, page, change
):
    answer(desk, MAIR, **{**PAUSED, "recording_since": 1.0})
    warning = page.locator(".recording").get_by_text("Paused for")
    expect(warning).to_be_visible()
    desk.put(**change)
    expect(warning).to_be_hidden()


def test_screen_reader_announcements_are_removed_after_a_minute_and_at_the_sign_out(
    desk, open_timeless
):
    page = open_timeless()
    answer(desk, MAIR)
    expect(page.locator(".recording .word")).to_have_text("REC")
    answer(desk, MAIR, recording="fault")
    expect(page.locator("#urgent")).to_contain_text("Not being recorded because of a fault")
    advance(page, desk, 80)
    expect(page.locator("#urgent p")).to_have_count(0)
    answer(desk, MAIR)
    expect(page.locator("#urgent p")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("User name")).to_be_focused()
    expect(page.locator("#urgent p, #status p")).to_have_count(0)
