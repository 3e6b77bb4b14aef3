"""The page of recordings in Chromium, with recordings of real calls."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD
from helpers.peers.sound import Chorus
from helpers.processes import run_galwad
from recording.age.identity_file import Passphrase, protected
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


PLAYED = """
window.played = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (at) {
    window.played.push([0, 1].map(channel => Array.from(this.buffer.getChannelData(channel))));
    start.call(this, at);
};
"""
"""Keeps the samples of each piece of sound that the page plays."""
PASSPHRASE = "five words are long enough"


def opened(service, chromium, call_id):
    """Sign in, and open the only recording; return the page, its requests, and its errors."""
    page = chromium.new_context(locale="en-GB").new_page()
    requests, troubles = [], []
    page.on("request", lambda r: requests.append((r.url, f"{r.headers} {r.post_data}")))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.add_init_script(PLAYED)
    page.goto(f"{service.url}/#recordings")
    page.get_by_label("User name").fill("ceri")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("More filters").click()
    page.get_by_label("Recording id, or the reference of a fetch").fill(call_id)
    page.get_by_role("button", name="Search").click()
    page.locator(".recordings tbody button").press("Enter")
    return page, requests, troubles


def key_files(service, folder):
    """Write the officer's key file with a passphrase, and the trust file; return both."""
    key, trust = folder / "key.age", folder / "trusted-nodes.json"
    text = service.keys.identity.read_text()
    key.write_bytes(protected(text, Passphrase(PASSPHRASE, work_factor=10)))
    node = next((service.state / "archive").glob("*.pub"))
    arguments = ("keys", "trust", service.keys.folder, "--node-key", node, "-o", trust)
    run_galwad(*map(str, arguments), check=True)
    return key, trust


def listen(page, *files, passphrase="", reference="C-1024"):
    """Fill in the form, and press the button."""
    page.get_by_label("Your key file").set_input_files(files)
    page.get_by_label("Passphrase of the key file").fill(passphrase)
    page.get_by_label("Purpose", exact=True).select_option("A complaint")
    page.get_by_label("Reference of the case").fill(reference)
    page.get_by_role("button", name="Listen", exact=True).press("Enter")


def test_an_officer_hears_a_recording_in_the_page_whose_key_never_leaves_it(
    service, paused, chromium, tmp_path
):
    recording = Recording(service, paused)
    page, requests, troubles = opened(service, chromium, paused)
    key, trust = key_files(service, tmp_path)
    listen(page, key, trust, passphrase="another passphrase")
    expect(page.get_by_text("The passphrase is wrong.")).to_be_visible()
    assert not [url for url, _ in requests if url.endswith("/listen")]
    listen(page, key, trust, passphrase=PASSPHRASE)
    verdict = page.get_by_text("Whole and unchanged: a server that your trust file names")
    expect(verdict).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()  # it has reached the end
    pieces = page.evaluate("window.played")
    for channel, samples in enumerate((recording.caller, recording.advisor)):
        heard = np.concatenate([piece[channel] for piece in pieces])
        assert len(heard) == len(samples)
        assert np.abs(heard * 32_768 - samples).max() <= 1  # browsers scale in two ways
    with service.sign_in("ceri") as admin:
        entries = list(read_export(admin.get("/api/v1/audit?limit=200").json()["lines"]))
    fetches = [each for each in entries if each.kind == "recording.fetched"]
    (fetch,) = [each for each in fetches if each.facts.get("client") == "page"]
    assert fetch.facts["call_id"] == paused
    assert (fetch.facts["purpose"], fetch.values["reference"][1]) == ("complaint", "C-1024")
    secrets = [PASSPHRASE, *service.keys.identity.read_text().split()]
    assert any(url.endswith("/listen") and "C-1024" in sent for url, sent in requests)
    for url, sent in requests:
        assert [each for each in secrets if len(each) > 20 and each in url + sent] == []
    assert troubles == []


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
