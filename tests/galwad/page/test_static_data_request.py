"""The caller asks for their data: the advisor opens a request on the page.

The page is `galwad/page/static/data_request.js` and `request_form.js`.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from helpers.page_states import CALL, MAIR, answer, ask_for_data, ring

pytestmark = pytest.mark.peer

FORM = ".data-request form"
LIST = ".data-request li"
CONFIRMED = {"confirmed": True, "outcome": "confirmed", "name": "Mair Evans"}


def sent(desk):
    return [body for _, path, body in desk.asked if path == f"/calls/{CALL}/cases"]


def press_key(page):
    expect(page.locator(".data-request > button")).to_be_visible()
    page.keyboard.press("Shift+F7")


def test_the_key_opens_the_form_with_the_confirmed_person_and_the_number_is_shown(desk, page):
    answer(desk, MAIR, caller=CONFIRMED)
    page.get_by_label("Language of the call").select_option("cy")
    press_key(page)
    expect(page.get_by_label("What the caller wants")).to_be_focused()
    expect(page.get_by_label("Whom the data are about")).to_have_value("Mair Evans")
    page.get_by_label("What the caller wants").select_option("complaint")
    page.get_by_label("What they ask for, in their words").fill(" you gave my number away ")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Open the request").click()
    expect(page.locator(LIST)).to_contain_text("Request 3 is open: tell the caller this number.")
    expect(page.locator(LIST)).to_contain_text("to complain about the use of their data")
    expect(page.locator(FORM)).to_be_hidden()
    expect(page.locator(".data-request > button")).to_be_focused()
    (body,) = sent(desk)
    assert body == {
        "kind": "complaint",
        "name": "Mair Evans",
        "representative": "",
        "authority": "",
        "details": "you gave my number away",
        "language": "cy",
    }


def test_a_request_for_another_person_takes_who_asks_from_the_note_and_needs_their_right(
    desk, page
):
    answer(desk, MAIR, caller=CONFIRMED)
    page.get_by_label("Who is calling").select_option("representative")
    page.get_by_label("On whose behalf").fill("Elin Evans")
    page.locator(".data-request > button").click()
    expect(page.get_by_label("Whom the data are about")).to_have_value("Elin Evans")
    expect(page.get_by_label("Who asks, if it is another person")).to_have_value("Mair Evans")
    submit = page.get_by_role("button", name="Open the request")
    submit.click()
    right = page.get_by_label("By which right they ask")
    expect(right).to_be_focused()
    assert sent(desk) == []
    right.fill("power of attorney")
    submit.click()
    expect(page.locator(LIST)).to_be_visible()
    assert sent(desk)[0]["authority"] == "power of attorney"


def test_a_note_does_not_close_a_call_whose_request_was_not_sent(desk, page):
    ask_for_data(desk)
    press_key(page)
    desk.put(state="wrapup", recording="ended")
    page.get_by_label("Purpose of the call").fill("waste")
    page.keyboard.press("Control+Enter")
    expect(page.locator(f"{FORM} .warning")).to_have_text(
        "Open this request, or cancel it, before you close the call."
    )
    assert not [path for _, path, _ in desk.asked if path.endswith("/contact")]
    page.keyboard.press("Escape")
    expect(page.locator(FORM)).to_be_hidden()
    page.get_by_label("Purpose of the call").press("Control+Enter")
    expect(page.locator(".contact .saved")).to_have_text("Saved")


def test_a_card_number_in_a_request_is_not_sent(desk, page):
    answer(desk, MAIR)
    press_key(page)
    page.get_by_label("Whom the data are about").fill("Mair Evans")
    page.get_by_label("What they ask for, in their words").fill("4929 4212 3460 0821")
    page.get_by_role("button", name="Open the request").click()
    expect(page.locator(f"{FORM} .warning")).to_contain_text("card number")
    assert sent(desk) == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (409, "The call has an open request of this kind for this person already,"),
        (422, "A field is missing or not valid."),
        (503, "That did not reach the server. Try again."),
    ],
)
def test_a_refused_request_keeps_what_was_typed_and_says_why(desk, page, status, words):
    answer(desk, MAIR)
    press_key(page)
    page.get_by_label("Whom the data are about").fill("Mair Evans")
    desk.refusing = status
    page.get_by_role("button", name="Open the request").click()
    expect(page.locator(f"{FORM} .warning")).to_contain_text(words)
    expect(page.get_by_label("Whom the data are about")).to_have_value("Mair Evans")


def test_a_ringing_call_offers_no_request(desk, page):
    ring(desk, MAIR)
    expect(page.locator(".call")).to_be_visible()
    page.keyboard.press("Shift+F7")
    expect(page.locator(".notice")).to_contain_text("Shift+F7 did nothing")
    expect(page.locator(".data-request")).to_be_hidden()


def test_a_form_that_cannot_be_loaded_says_so(desk, page):
    answer(desk, MAIR)
    page.route("**/request_form.js", lambda route: route.abort())
    press_key(page)
    trouble = page.locator(".data-request > .warning")
    expect(trouble).to_have_text("The server cannot be reached. Try again.")
