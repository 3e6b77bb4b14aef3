"""Pauses and resumes in quick succession, in a real browser.

The page's clock is stopped where a test must not depend on the speed of the machine.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import threading
import time

import pytest
from playwright.sync_api import expect

from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
PATH = f"/calls/{CALL}/payment"
LOST_MS = 2_000
LATE_MS = 5_000


@pytest.fixture
def timeless(desk, open_timeless):
    """The page with a call that is being recorded; only the test advances its clock."""
    page = open_timeless()
    desk.put(state="answered", advisor="sian", recording="recording", recording_since=time.time())
    expect(page.locator(".recording .word")).to_have_text("REC")
    return page


def asked(desk):
    """The methods of the payment requests so far."""
    return [method for method, path, _ in desk.asked if path == PATH]


def asked_at_last(desk, count):
    """Wait for `count` payment requests, and return their methods."""
    wait_until(lambda: len(asked(desk)) >= count, what="a payment request")
    return asked(desk)


def under_way(page):
    """Wait until the page shows that a payment request is pending."""
    expect(page.locator(".recording")).to_have_attribute("aria-busy", "true")


def answered(page):
    """Wait until the page shows that no payment request is pending."""
    expect(page.locator(".recording")).not_to_have_attribute("aria-busy", "true")


def test_f8_only_pauses_and_shift_f8_resumes(desk, timeless):
    timeless.keyboard.press("F8")
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")
    answered(timeless)
    timeless.keyboard.press("F8")
    timeless.keyboard.press("Shift+F8")
    expect(timeless.locator(".recording .word")).to_have_text("REC")
    assert asked(desk) == ["PUT", "PUT", "DELETE"]


def test_a_resume_is_sent_only_after_the_desk_has_answered_the_preceding_pause(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    timeless.keyboard.press("F8")
    under_way(timeless)
    timeless.keyboard.press("Shift+F8")
    timeless.wait_for_timeout(500)
    assert asked(desk) == []
    desk.slow.pop("PUT").set()
    answered(timeless)
    assert asked(desk) == ["PUT", "DELETE"]


def test_a_pause_does_not_wait_for_a_slow_resume_and_is_sent_again_after_the_resume(desk, timeless):
    timeless.keyboard.press("F8")
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")
    answered(timeless)
    desk.slow["DELETE"] = threading.Event()
    timeless.keyboard.press("Shift+F8")
    under_way(timeless)
    with timeless.expect_response("**/payment"):
        timeless.keyboard.press("F8")
    desk.slow.pop("DELETE").set()
    assert asked_at_last(desk, 4) == ["PUT", "PUT", "DELETE", "PUT"]
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")


def test_a_resume_followed_at_once_by_a_pause_is_not_sent(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    for key in ("F8", "Shift+F8", "F8"):
        timeless.keyboard.press(key)
    under_way(timeless)
    desk.slow.pop("PUT").set()
    answered(timeless)
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")
    assert set(asked(desk)) == {"PUT"}


def test_an_unanswered_pause_delays_a_resume_by_at_most_two_seconds(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    timeless.keyboard.press("F8")
    under_way(timeless)
    timeless.keyboard.press("Shift+F8")
    timeless.clock.run_for(LOST_MS - 1)
    timeless.wait_for_timeout(500)
    assert asked(desk) == []
    timeless.clock.run_for(1)
    assert asked_at_last(desk, 1) == ["DELETE"]


def test_an_unanswered_pause_raises_an_alert_after_five_seconds(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    timeless.keyboard.press("F8")
    under_way(timeless)
    alert = timeless.get_by_role("alert").get_by_text("NOT confirmed")
    timeless.clock.run_for(LATE_MS - 1)
    timeless.wait_for_timeout(500)
    expect(alert).to_be_hidden()
    timeless.clock.run_for(1)
    expect(alert).to_be_visible()
    desk.slow.pop("PUT").set()
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")
    expect(alert).to_be_hidden()


def test_an_unanswered_pause_that_an_event_confirms_raises_no_alert(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    timeless.keyboard.press("F8")
    under_way(timeless)
    desk.put(recording="paused", recording_since=time.time(), holders=["page:sian"])
    expect(timeless.locator(".recording .word")).to_have_text("PAUSED")
    timeless.clock.run_for(LATE_MS)
    timeless.wait_for_timeout(500)
    expect(timeless.get_by_role("alert").get_by_text("NOT confirmed")).to_be_hidden()


def talk_outside(desk, **more):
    """Let the advisor talk with a number that they have called."""
    facts = {"state": "answered", "extension": "900", "recording": "recording"}
    return desk.put(called="01632 960123", recording_since=time.time(), **{**facts, **more})


def test_a_call_that_the_advisor_has_placed_has_a_card_and_f8_pauses_it(desk, page):
    talk_outside(desk)
    card = page.locator(".call")
    expect(card.locator(".number")).to_have_text("01632 960123")
    expect(card.locator(".lookup")).to_have_text("You have called this number.")
    for part in (".confirm", ".contact", ".search"):
        expect(card.locator(part)).to_be_hidden()
    page.keyboard.press("F8")
    expect(card.locator(".word")).to_have_text("PAUSED")
    page.keyboard.press("Shift+F8")
    expect(card.locator(".word")).to_have_text("REC")
    expect(page.locator(".notice")).to_be_hidden()


KEYS = [
    ("F8", "F8 did nothing: you have no call that is answered and shown here."),
    ("Shift+F8", "Shift+F8 did nothing: you have no call that is answered and shown here."),
    ("F7", "F7 did nothing: you have no call that is answered and shown here."),
    ("F9", "F9 did nothing: you have no call that is answered and shown here."),
]


@pytest.mark.parametrize(("key", "says"), KEYS)
def test_a_key_pressed_without_a_call_shows_that_the_key_did_nothing(desk, page, said, key, says):
    page.keyboard.press(key)
    expect(page.locator(".notice")).to_have_text(says)
    assert said() == [("urgent", says)]
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".notice")).to_contain_text(f"Ni wnaeth {key} ddim")


def test_f8_while_a_call_only_rings_says_that_it_did_nothing(desk, page):
    desk.put(state="ringing")
    expect(page.locator(".call")).to_be_visible()
    page.keyboard.press("F8")
    expect(page.locator(".notice")).to_contain_text("F8 did nothing")
    assert not [path for _, path, _ in desk.asked if path.endswith("/payment")]


def test_shift_f8_says_that_no_recording_is_paused(desk, page):
    talk_outside(desk)
    expect(page.locator(".call .word")).to_have_text("REC")
    page.keyboard.press("Shift+F8")
    expect(page.locator(".notice")).to_have_text("Shift+F8 did nothing: no recording is paused.")


def test_f8_in_a_call_that_is_not_recorded_says_that_nothing_was_paused(desk, page):
    talk_outside(desk, recording="not_started")
    desk.unrecorded = frozenset({CALL})
    expect(page.locator(".call .word")).to_have_text("OFF")
    page.keyboard.press("F8")
    alert = page.get_by_role("alert").get_by_text("Nothing was paused")
    expect(alert).to_be_visible()
    desk.put(holders=["page:huw"])
    expect(alert).to_be_visible()


def test_a_phone_key_that_is_not_possible_in_the_call_shows_a_notice(desk, page):
    talk_outside(desk)
    expect(page.locator(".call .word")).to_have_text("REC")
    page.keyboard.press("Shift+F9")
    expect(page.locator(".notice")).to_have_text(
        "Shift+F9 did nothing: it is not possible in this call now."
    )
    page.keyboard.press("F8")
    expect(page.locator(".notice")).to_be_hidden()
