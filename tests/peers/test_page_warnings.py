"""Warnings on the real page during a real call: a forgotten pause, and a typed card number."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD

pytestmark = pytest.mark.peer

REMINDER_S = 5
ALARM_S = 15
"""So much later that a slow machine sees the one before the other."""
LONGER_S = 10
"""How long the pause goes on after the alarm."""
CARD = "4242424242424242"
LISTEN = """() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) {
        window.tones += 1;
        return start.call(this, at);
    };
}"""


@pytest.fixture
def service(start):
    """All three processes; a pause counts as forgotten after a few seconds."""
    warnings = f"pause_reminder = {REMINDER_S}\npause_alarm = {ALARM_S}\n"
    return start("switch", "desk", "finaliser", users=True, more=warnings)


@pytest.fixture
def open_page(chromium, service):
    """Open the page of a user, who signs in there."""
    contexts = []

    def open_page(user):
        context = chromium.new_context(locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        page.goto(service.url)
        page.evaluate(LISTEN)
        page.get_by_label("User name").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator("#link[data-state=live]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_a_forgotten_pause_warns_the_advisor_then_the_supervisor_and_nothing_resumes_it(
    service, open_page, place_call
):
    """Two pages count the seconds of a pause: 5 s of CPU time."""
    sian, ceri = open_page("sian"), open_page("ceri")
    call = place_call("uas_plain")
    word = sian.locator(".recording .word")
    expect(word).to_have_text("REC")
    pressed = time.monotonic()
    sian.keyboard.press("F8")
    expect(word).to_have_text("PAUSED")
    expect(sian.locator(".recording .warning:visible")).to_contain_text("Paused for 0:")
    reminded = time.monotonic() - pressed
    expect(sian.locator(".alarm")).to_contain_text("paused for a long time (Main number)")
    assert ceri.locator(".alarm-list > li").count() == 0
    expect(ceri.locator(".alarm-list > li")).to_contain_text("paused for very long")
    alarmed = time.monotonic() - pressed
    expect(ceri.locator("[data-t='overview.forgotten']")).to_be_visible()
    assert REMINDER_S <= reminded < alarmed
    assert alarmed >= ALARM_S
    assert sian.evaluate("window.tones") == 2
    assert ceri.evaluate("window.tones") == 2
    with service.sign_in("ceri") as admin:
        assert "galwad_desk_forgotten_pauses 1.0" in admin.get("/api/v1/metrics").text
    sian.wait_for_timeout(LONGER_S * 1_000)
    expect(word).to_have_text("PAUSED")
    assert service.log.events("payment.resume") == []
    call.hang_up()
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert gap["to_us"] - gap["from_us"] > (ALARM_S + LONGER_S) * 1_000_000


def test_a_card_number_in_the_note_is_refused_by_the_page_and_the_desk_and_is_in_no_file(
    service, open_page, place_call
):
    service.planted.append(CARD)
    sian = open_page("sian")
    call = place_call("uas_plain")
    sian.get_by_label("Purpose of the call").fill("Council tax")
    sian.get_by_label("Notes").fill(f"paid by card {CARD}")
    expect(sian.get_by_role("alert").get_by_text("looks like a payment card")).to_be_visible()
    sian.get_by_role("button", name="Save contact note").click()
    expect(sian.locator(".saved")).to_contain_text("Not saved yet")
    path = f"/api/v1/calls/{call.call_id}/contact"
    with service.sign_in() as program:
        refused = program.put(path, json={"purpose": "Council tax", "notes": CARD})
        assert (refused.status_code, refused.json()["reason"]) == (422, "card_number")
        searched = program.get(f"/api/v1/recordings?number={CARD}")
        assert searched.status_code == 422
    sian.get_by_label("Notes").fill("paid by card")
    sian.get_by_role("button", name="Save contact note").click()
    expect(sian.locator(".saved")).to_have_text("Saved")
    call.hang_up()
    service.log.wait("request.card_number", 2)
    for folder in (service.state, service.runtime):
        for file in folder.rglob("*"):
            if file.is_file():
                assert CARD.encode() not in file.read_bytes(), file
