"""Phone control on the page: buttons and keys for my own call, failed transfers, numbers to call.

The page is `galwad/page/static/phone.js` and `dial.js`.
"""

from __future__ import annotations

import threading
import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import ACTS, CALL, MAIR, SECOND, answer, ring
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

PATH = f"/calls/{CALL}/phone"
FAILED = ".failed > p"


def asked(desk, count=0):
    """Return the phone requests, once there are at least `count`."""

    def requests():
        return [(path, body) for method, path, body in desk.asked if "phone" in path]

    wait_until(
        lambda: len(requests()) >= count, what=lambda: f"a further phone request after {requests()}"
    )
    return requests()


def talk(desk, **more):
    return answer(desk, MAIR, **{"acts": ACTS, **more})


@pytest.mark.parametrize("name", ["hold", "hangup"])
def test_the_hold_and_hang_up_buttons_send_their_acts(desk, page, name):
    talk(desk)
    page.locator(f".phone .{name}").click()
    expect(page.locator(".phone .hold")).to_be_visible()
    assert asked(desk, 1) == [(PATH, {"act": name})]


def test_a_call_offers_only_the_acts_that_the_desk_lists(desk, page):
    talk(desk, acts={})
    expect(page.locator(".bar .word")).to_have_text("REC")
    expect(page.locator(".phone")).to_be_hidden()
    talk(desk, acts={"hangup": ""})
    expect(page.locator(".phone button:visible")).to_have_text(["Hang upShift+F9"])


def test_an_impossible_act_is_marked_with_its_reason_and_not_sent(desk, page):
    talk(desk, acts={**ACTS, "hold": "on_hold"})
    hold = page.locator(".phone .hold")
    expect(hold).to_have_attribute("aria-disabled", "true")
    expect(hold).to_have_accessible_description(
        "Your phone holds the call. End the hold on your phone."
    )
    hold.click(force=True)
    page.keyboard.press("F9")
    talk(desk)
    expect(hold).not_to_have_attribute("aria-disabled", "true")
    assert asked(desk) == []


def test_f9_holds_and_ends_the_hold_and_shift_f9_hangs_up(desk, open_timeless):
    page = open_timeless()
    talk(desk)
    button = page.locator(".phone .hold")
    expect(button).to_have_text("HoldF9")
    page.keyboard.press("F9")
    talk(desk, state="held", acts={"hangup": "", "resume": "", "transfer": ""})
    expect(button).to_have_text("End holdF9")
    for key in ("F9", "Shift+F9"):
        page.clock.run_for(800)
        page.keyboard.press(key)
    expect(button).to_be_visible()
    assert [body["act"] for _, body in asked(desk, 3)] == ["hold", "resume", "hangup"]


def test_a_second_phone_key_pressed_right_after_the_first_sends_nothing(desk, page):
    talk(desk)
    expect(page.locator(".phone")).to_be_visible()
    page.keyboard.press("F9")
    page.keyboard.press("Shift+F9")
    expect(page.locator(".phone")).to_be_visible()
    assert asked(desk, 1) == [(PATH, {"act": "hold"})]


def test_f9_answers_a_ringing_call_where_the_phone_allows_it(desk, page):
    ring(desk, MAIR, acts={"answer": "answer_on_phone"})
    expect(page.locator(".phone .note")).to_have_text(
        "Answer on your phone: it cannot be answered from this page."
    )
    expect(page.locator(".phone .answer")).to_be_hidden()
    page.keyboard.press("F9")
    ring(desk, MAIR, acts={"answer": ""})
    expect(page.locator(".phone .answer")).to_be_visible()
    page.keyboard.press("F9")
    expect(page.locator(".phone .answer")).to_be_visible()
    assert asked(desk, 1) == [(PATH, {"act": "answer"})]


def test_f9_answers_a_ringing_second_call_instead_of_holding_the_first(desk, page):
    talk(desk)
    ring(desk, call_id=SECOND, acts={"answer": ""})
    page.locator(".strip li").wait_for()
    page.keyboard.press("F9")
    expect(page.locator(".strip li")).to_be_visible()
    assert asked(desk, 1) == [(f"/calls/{SECOND}/phone", {"act": "answer"})]


def test_a_transfer_is_typed_and_sent_with_the_keyboard(desk, page):
    talk(desk)
    page.locator(".phone .transfer").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Number or destination")).to_be_focused()
    page.keyboard.type("01970 111111")
    page.keyboard.press("Enter")
    expect(page.locator(".phone button.transfer")).to_be_focused()
    assert asked(desk, 1) == [(PATH, {"act": "transfer", "number": "01970 111111"})]


def test_escape_closes_the_transfer_form_without_sending_anything(desk, page):
    talk(desk)
    page.locator(".phone button.transfer").click()
    page.keyboard.type("301")
    page.keyboard.press("Escape")
    expect(page.locator("form.transfer")).to_be_hidden()
    expect(page.locator(".phone button.transfer")).to_be_focused()
    assert asked(desk) == []


def test_a_refused_transfer_says_why_and_keeps_the_number(desk, page):
    talk(desk)
    desk.refusing, desk.reason = 409, "unknown_number"
    page.locator(".phone button.transfer").click()
    page.keyboard.type("999")
    page.keyboard.press("Enter")
    alert = page.locator(".phone > [role=alert]")
    expect(alert).to_have_text("Nothing can be reached at this number. Check it.")
    expect(page.get_by_label("Number or destination")).to_have_value("999")


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (503, "", "No connection to the switch. Do it on your phone."),
        (429, "", "Too many at once. Wait a minute."),
        (409, "a newer reason", "That did not work. Do it on your phone."),
        (409, "not_yours", "This call is no longer yours."),
    ],
)
def test_a_refusal_of_a_phone_act_has_a_text_for_its_reason_or_a_general_text(
    desk, page, status, reason, text
):
    talk(desk)
    desk.refusing, desk.reason = status, reason
    page.locator(".phone .hangup").click()
    expect(page.locator(".phone > [role=alert]")).to_have_text(text)


def test_a_transfer_in_progress_is_shown_and_no_second_transfer_is_offered(desk, page):
    talk(desk, acts={**ACTS, "transfer": "transferring"}, transferring="department")
    expect(page.locator(".phone .note")).to_contain_text("the other party has not answered yet")
    expect(page.locator(".phone button.transfer")).to_have_attribute("aria-disabled", "true")
    page.locator(".phone button.transfer").click(force=True)
    expect(page.locator("form.transfer")).to_be_hidden()


FAILURES = {
    486: "the line is busy",
    603: "the other party declined it",
    600: "the line is busy",
    480: "there was no answer",
    404: "the number does not exist",
    408: "there was no answer",
    503: "the other party cannot be reached now",
    488: "the other side refused it (status 488)",
}
"""The words for each status; no status has the words of the one before it."""


def test_a_failed_transfer_is_shown_with_its_reason(desk, page):
    for transfer, (status, words) in enumerate(FAILURES.items(), 1):
        talk(desk, transfer_failed=status, transfers_begun=transfer)
        text = f"The transfer did not happen: {words}. You still have the caller."
        expect(page.locator(FAILED), f"status {status}").to_have_text(text)


def test_a_failed_transfer_is_announced_and_stays_until_it_is_dismissed(desk, page, said):
    talk(desk, transferring="department", transfers_begun=1)
    expect(page.locator(".phone")).to_be_visible()
    talk(desk, transferring="", transfer_failed=486, transfers_begun=1)
    expect(page.locator(FAILED)).to_be_visible()
    text = "The transfer did not happen: the line is busy. You still have the caller."
    assert ("urgent", text) in said()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(FAILED)).to_be_hidden()
    expect(page.locator(".line-name")).to_be_focused()
    talk(desk, recording="paused", holders=["page:sian"])
    expect(page.locator(".bar .word")).to_have_text("PAUSED")
    expect(page.locator(FAILED)).to_be_hidden()
    talk(desk, transfer_failed=486, transfers_begun=2)
    expect(page.locator(FAILED)).to_be_visible()


def test_a_dismissed_transfer_failure_stays_hidden_after_a_reload_until_another_transfer_fails(
    desk, page
):
    talk(desk, transfer_failed=486, transfers_begun=1)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(FAILED)).to_be_hidden()
    page.reload()
    expect(page.locator(".phone .hold")).to_be_visible()
    expect(page.locator(FAILED)).to_be_hidden()
    talk(desk, transfer_failed=486, transfers_begun=2)
    expect(page.locator(FAILED)).to_be_visible()


def test_a_new_transfer_hides_the_reason_of_the_failed_transfer(desk, page):
    talk(desk, transfer_failed=486, transfers_begun=1)
    expect(page.locator(FAILED)).to_be_visible()
    talk(desk, transfer_failed=0, transferring="centre", transfers_begun=2)
    expect(page.locator(FAILED)).to_be_hidden()


def test_shift_f2_hands_the_caller_over_where_a_destination_for_welsh_is_set(desk, page):
    talk(desk)
    expect(page.locator(".phone .hangup")).to_be_visible()
    expect(page.locator(".phone .welsh")).to_be_hidden()
    page.keyboard.press("Shift+F2")
    desk.welsh = True
    page.reload()
    expect(page.locator(".phone .welsh")).to_be_visible()
    page.keyboard.press("Shift+F2")
    expect(page.locator(".phone .welsh")).to_be_visible()
    assert asked(desk, 1) == [(PATH, {"act": "welsh"})]


def test_the_focus_moves_to_the_call_when_its_buttons_disappear(desk, page):
    talk(desk)
    page.locator(".phone .hangup").focus()
    talk(desk, state="wrapup", recording="ended", acts={})
    expect(page.locator(".phone")).to_be_hidden()
    expect(page.locator(".line-name")).to_be_focused()


def test_no_phone_act_is_offered_while_the_connection_is_lost(desk, page):
    talk(desk)
    expect(page.locator(".phone .hold")).to_be_visible()
    desk.cut()
    page.locator("#link[data-state=lost]").wait_for()
    expect(page.locator(".phone .hold")).to_be_hidden()
    page.keyboard.press("Shift+F9")
    desk.mend()
    page.locator("#link[data-state=live]").wait_for()
    expect(page.locator(".phone .hold")).to_be_visible()
    assert asked(desk) == []


def test_the_texts_of_the_phone_follow_the_language_of_the_page(desk, page):
    talk(desk, transfer_failed=486, transfers_begun=1)
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(FAILED)).to_contain_text("mae'r llinell yn brysur")
    expect(page.locator(".phone .hangup")).to_contain_text("Rhoi'r ffôn i lawr")


def test_a_number_is_called_from_the_form(desk, browser_page, address):
    desk.dials = True
    browser_page.goto(address)
    field = browser_page.get_by_label("Call a number")
    field.fill("01970 222222")
    field.press("Enter")
    expect(browser_page.locator(".dial .note")).to_have_text(
        "Your phone is ringing. Answer it, and 01970 222222 is called."
    )
    expect(field).to_have_value("")
    assert asked(desk, 1) == [("/phone/dial", {"number": "01970 222222"})]


def test_a_number_of_the_day_is_called_with_a_click(desk, browser_page, address):
    desk.dials = True
    missed = {
        "call_id": CALL,
        "line": "Housing",
        "number": "+441970333333",
        "number_display": "01970 333333",
        "withheld": False,
        "outcome": "missed",
        "started": time.time() - 60,
        "waited": 9,
    }
    desk.today = {**desk.today, "missed": [missed]}
    browser_page.goto(address)
    browser_page.get_by_role("link", name="01970 333333").click()
    expect(browser_page.locator(".dial .note")).to_be_visible()
    assert asked(desk, 1) == [("/phone/dial", {"number": "+441970333333"})]


def test_pressing_enter_twice_dials_one_call(desk, browser_page, address):
    desk.dials = True
    desk.slow["POST"] = gate = threading.Event()
    browser_page.goto(address)
    field = browser_page.get_by_label("Call a number")
    field.fill("301")
    field.press("Enter")
    field.press("Enter")
    gate.set()
    expect(browser_page.locator(".dial .note")).to_be_visible()
    assert asked(desk, 1) == [("/phone/dial", {"number": "301"})]


def test_a_refused_call_says_why(desk, browser_page, address):
    desk.dials, desk.refusing, desk.reason = True, 409, "not_registered"
    browser_page.goto(address)
    field = browser_page.get_by_label("Call a number")
    field.fill("301")
    field.press("Enter")
    expect(browser_page.locator(".dial [role=alert]")).to_have_text(
        "Your phone is not registered. Switch it on."
    )


def test_a_call_that_a_full_switch_refuses_says_that_all_lines_are_busy(
    desk, browser_page, address
):
    desk.dials, desk.refusing, desk.reason = True, 409, "full"
    browser_page.goto(address)
    browser_page.get_by_label("Call a number").fill("301")
    browser_page.keyboard.press("Enter")
    expect(browser_page.locator(".dial [role=alert]")).to_have_text(
        "All lines are busy. Try again in a minute."
    )


def test_no_number_can_be_called_where_the_desk_does_not_offer_dialling(desk, page):
    expect(page.locator(".idle")).to_be_visible()
    expect(page.locator(".dial")).to_be_hidden()
