"""The page during real calls: one pop for one call, and clocks that survive a crash."""

from __future__ import annotations

import re
import signal

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.programs import Baresip, Caller
from helpers.peers.service import PASSWORD
from helpers.peers.sound import save
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

COUNT = """() => {
    window.news = [];
    window.cards = 0;
    new MutationObserver((changes) => {
        for (const change of changes) {
            for (const node of change.addedNodes) {
                if (node.matches?.("article.call")) window.cards++;
                if (change.target.id === "urgent") window.news.push(node.textContent);
            }
        }
    }).observe(document.body, { childList: true, subtree: true });
}"""


@pytest.fixture
def page(service, chromium):
    """The page, signed in as sian; a script error fails the test."""
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(service.url)
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#link[data-state=live]").wait_for()
    page.evaluate(COUNT)
    yield page
    context.close()
    assert troubles == []


def seconds(clock):
    """The seconds that a clock of the page shows."""
    minutes, rest = clock.split(":")
    return 60 * int(minutes) + int(rest)


def test_two_phones_of_one_extension_make_one_pop_and_a_hold_or_hang_up_makes_no_second_pop(
    service, page, talker, ended
):
    said = service.folder / "advisor.wav"
    save(said, speech(20, 111))
    desk_phone = ended(Baresip(service.folder, service, said))
    desk_phone.wait_registered()
    other_folder = service.folder / "second"
    other_folder.mkdir()
    softphone = ended(Baresip(other_folder, service, said))
    wait_until(lambda: re.search(r"\[2 bindings\]", softphone.output()), what="both registered")
    caller = ended(Caller(service, "01970000100", media=talker("127.0.0.2").port))
    desk_phone.wait("CALL_INCOMING")
    softphone.wait("CALL_INCOMING")
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    expect(page).to_have_title("Ringing: Council Tax | Galwad")
    desk_phone.command("accept")
    state = page.locator(".call-state")
    expect(state).to_have_text("In call")
    softphone.wait("CALL_CLOSED")
    desk_phone.command("hold")
    expect(state).to_have_text("On hold")
    desk_phone.command("resume")
    expect(state).to_have_text("In call")
    caller.hang_up()
    expect(state).to_have_text("Wrap up: finish the note")
    assert page.evaluate("window.cards") == 1
    rung = [text for text in page.evaluate("window.news") if text.startswith("Incoming call")]
    assert rung == ["Incoming call: Council Tax"]
    assert page.locator(".strip").is_hidden()


def test_the_clock_of_a_pause_goes_on_from_its_start_after_a_crash_of_switch_and_desk(
    service, page, place_call
):
    call = place_call()
    word, clock = page.locator(".bar .word"), page.locator(".bar .time")
    expect(word).to_have_text("REC")
    page.keyboard.press("F8")
    expect(word).to_have_text("PAUSED")
    expect(clock).to_have_text(re.compile("0:0[5-9]|0:[1-5]."))
    for name in ("switch", "desk"):
        before = seconds(clock.text_content())
        service.processes.pop(name).end(signal.SIGKILL)
        expect(word).to_have_text("UNKNOWN")
        expect(clock).to_be_empty()
        service.start(name)
        expect(word).to_have_text("PAUSED")
        expect(clock).to_have_text(re.compile(r"\d:\d\d"))
        assert seconds(clock.text_content()) >= before
    call.hang_up()
