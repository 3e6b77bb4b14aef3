"""Chromium on the real page of the real desk, during a real call from SIPp to baresip."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Baresip, Caller
from helpers.peers.service import CALLER, PASSWORD
from helpers.peers.sound import save

pytestmark = pytest.mark.peer

PEOPLE = "reference,name,numbers,language,postcode\nP1,Mair Pritchard,{number},cy,LL00 0XX\n"


def sign_in(chromium, service, password):
    """The page, signed in as sian, and the list of its script errors."""
    page = chromium.new_context(locale="en-GB").new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(service.url)
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    return page, troubles


def test_an_advisor_identifies_the_caller_and_pauses_the_recording_on_the_page(
    service, chromium, talker, ended
):
    people = service.folder / "people.csv"
    people.write_text(PEOPLE.format(number=CALLER), encoding="utf-8")
    service.galwad("directory", "import", str(people))
    said = service.folder / "advisor.wav"
    save(said, speech(20, 111))
    advisor = ended(Baresip(service.folder, service, said))
    advisor.wait_registered()
    page, troubles = sign_in(chromium, service, PASSWORD)
    mouth = talker("127.0.0.2")
    caller = ended(Caller(service, "01970000100", media=mouth.port))
    advisor.wait("CALL_INCOMING")
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    expect(page.get_by_role("heading", name="Mair Pritchard")).to_be_visible()
    expect(page.get_by_text("Prefers Welsh")).to_be_visible()
    assert "LL00 0XX" not in page.content()
    advisor.command("accept")
    word = page.locator(".recording .word")
    expect(word).to_have_text("REC")
    page.get_by_role("button", name="Checks passed").click()
    expect(page.get_by_text("LL00 0XX")).to_be_visible()
    page.keyboard.press("F8")
    expect(word).to_have_text("PAUSED")
    page.screenshot(path=str(service.folder / "paused.png"))
    before = len(mouth.heard)
    mouth.wait_heard(before + 25)
    page.keyboard.press("Shift+F8")
    expect(word).to_have_text("REC")
    caller.hang_up()
    expect(page.locator("#urgent p").last).to_have_text("The call is over.")
    assert troubles == []
    recording = Recording(service, service.call_id())
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "page", "user:sian")
    assert recording.silent_in(gap)
