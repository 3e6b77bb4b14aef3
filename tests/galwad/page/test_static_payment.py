"""Pauses and resumes in quick succession, in a real browser.

The page's clock is stopped where a test must not depend on the speed of the machine.

The page is in `galwad/desk/static/`.
"""

from __future__ import annotations

import threading
import time

import pytest
from playwright.sync_api import expect

from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

PATH = "/calls/20261125-093000-abcdefgh/payment"
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


def test_a_resume_is_sent_only_after_the_pause_before_it_is_answered(desk, timeless):
    desk.slow["PUT"] = threading.Event()
    timeless.keyboard.press("F8")
    under_way(timeless)
    timeless.keyboard.press("Shift+F8")
    timeless.wait_for_timeout(500)
    assert asked(desk) == []
    desk.slow.pop("PUT").set()
    answered(timeless)
    assert asked(desk) == ["PUT", "DELETE"]


def test_a_pause_does_not_wait_for_a_slow_resume_and_is_sent_again_after_it(desk, timeless):
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
