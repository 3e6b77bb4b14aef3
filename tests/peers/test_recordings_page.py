"""The page of recordings in Chromium, with recordings of real calls."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD
from helpers.peers.sound import Chorus
from recording.audit.chain import read_export

pytestmark = pytest.mark.peer


@pytest.fixture
def paused(service, place_call):
    """The id of a recorded call that sian paused for a while."""
    call, chorus = place_call("uas_plain"), Chorus()

    def talk(seconds, seed):
        chorus.say("caller", call.caller, speech(seconds, seed), call.from_caller).wait()

    path = f"/api/v1/calls/{call.call_id}/payment"
    talk(2, 11)
    with service.sign_in() as sian:
        assert sian.put(path).status_code == 200
        talk(1, 12)
        assert sian.delete(path).status_code == 200
    talk(1, 13)
    call.hang_up()
    assert len(Recording(service, call.call_id).gaps()) == 1
    return call.call_id


def test_an_administrator_finds_a_call_by_its_gap_and_reads_who_paused_it_and_which_entry_proves_it(
    service, paused, chromium
):
    page = chromium.new_context(locale="en-GB").new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"{service.url}/#recordings")
    page.get_by_label("User name").fill("ceri")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Recordings", level=1)).to_be_visible()
    rows = page.locator(".recordings tbody button")
    page.get_by_text("More filters").click()
    page.get_by_label("With a gap").select_option("Transferred out")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".recordings").get_by_text("No recording matches.")).to_be_visible()
    page.get_by_label("With a gap").select_option("Payment")
    page.get_by_label("Started").select_option("Today")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    rows.press("Enter")
    expect(page.locator(".detail dd").first).to_have_text(paused)
    sentence = page.locator(".detail li")
    expect(sentence).to_contain_text("because the recording was paused on the page (sian).")
    with service.sign_in("ceri") as admin:
        entries = list(read_export(admin.get("/api/v1/audit?limit=200").json()["lines"]))
    of_kind = {entry.kind: entry for entry in entries}
    paused, resumed = of_kind["payment.pause"].seq, of_kind["payment.resume"].seq
    expect(sentence).to_contain_text(f"Audit entry {paused}; the resume is entry {resumed}.")
    searches = [entry.facts["by"] for entry in entries if entry.kind == "recordings.searched"]
    assert searches == ["gap_reason", "gap_reason,when"]
    assert {"recording.shown", "recording.explained"} <= of_kind.keys()
    assert troubles == []
