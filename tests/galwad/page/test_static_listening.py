"""Listening at `#recordings`: the key, the player, and what the page finds out about the recording.

The page is in `galwad/page/static/`. The recording is real, and sealed to the officer of the test.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Route, expect

from helpers.page_recordings import a_recording
from helpers.peers.waiting import wait_until
from helpers.recording.office import Office
from helpers.recording.packets import CALL_ID, US
from recording.age.identity_file import Passphrase, protected
from recording.archive.manifest import read_manifest
from recording.keys.keyring import OfficerKeys
from recording.keys.signed_document import sign_trust

pytestmark = pytest.mark.peer

PASSPHRASE = "five words are long enough"
LENGTH_S = 90
PLAYED = """
window.played = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (at) {
    window.played.push([0, 1].map(channel => Array.from(this.buffer.getChannelData(channel))));
    start.call(this, at);
};
window.contexts = [];
window.AudioContext = class extends AudioContext {
    constructor(options) {
        super(options);
        window.contexts.push(this);
    }
};
"""
"""Keeps the samples of each piece of sound that the page plays, and its audio contexts."""


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """An officer's keys, and a sealed call with a pause of five seconds: 2 s of CPU time."""
    office = Office(tmp_path_factory.mktemp("office"))
    call = office.call()
    call.answer()
    call.talk(0, 30 * US)
    call.event("gap-start", 30 * US, reason="payment", trigger="page", actor="user:sian")
    call.event("gap-end", 35 * US)
    call.event("segment", 35 * US, **{"class": "centre", "to": ""})
    call.talk(35 * US, LENGTH_S * US)
    office.seal(call.end(LENGTH_S * US))
    text = office.officer._text().encode()
    (office.root / "plain.txt").write_bytes(text)
    sealed = protected(text.decode(), Passphrase(PASSPHRASE, work_factor=10))
    (office.root / "key.age").write_bytes(sealed)
    other = OfficerKeys.generate()
    other.save(office.root / "other.txt")
    for name, keys, signer in (
        ("trusted-nodes.json", [office.public_key], office.officer),
        ("strangers.json", [other.public_key], office.officer),
        ("forged.json", [office.public_key], other),
    ):
        (office.root / name).write_bytes(sign_trust(keys, signer.signing))
    return office


@pytest.fixture
def desk(desk, office):
    """A desk at which a supervisor is signed in, with the recording of the office."""
    desk.me |= {"user": "mair", "role": "supervisor", "extension": None}
    gaps = read_manifest((office.folder / f"{CALL_ID}.manifest").read_bytes()).gaps
    row = a_recording(3, tuple(gaps), talk_us=LENGTH_S * US)
    desk.recordings.rows = [{**row, "call_id": CALL_ID}]
    desk.recordings.files = {
        name: (office.folder / f"{CALL_ID}.{name}").read_bytes()
        for name in ("header", "payload", "manifest")
    }
    return desk


def reopen(page):
    """Search again, and open the recording."""
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".listen")).to_have_count(0)
    page.locator(".recordings tbody button").first.press("Enter")
    page.get_by_role("heading", name="Listen to the recording").wait_for()


@pytest.fixture
def opened(desk, browser_page, address):
    """The page with the recording opened."""
    browser_page.add_init_script(PLAYED)
    browser_page.goto(f"{address}/#recordings")
    reopen(browser_page)
    return browser_page


@pytest.fixture
def listen(opened, office):
    """A function that fills in the form with these files, presses the button, returns the page."""

    def fill(*names, passphrase=PASSPHRASE):
        if names:
            files = [office.root / name for name in names]
            opened.get_by_label("Your key file").set_input_files(files)
            opened.get_by_label("Passphrase of the key file").fill(passphrase)
        opened.get_by_label("Purpose", exact=True).select_option("A complaint")
        opened.get_by_label("Reference of the case").fill("C-1024")
        opened.get_by_role("button", name="Listen", exact=True).press("Enter")
        return opened

    return fill


def paths(desk):
    return [path for _, path, _ in desk.asked]


def pieces(page):
    """How many pieces of sound were handed to the browser."""
    return page.evaluate("window.played.length")


def heard(page, first):
    """The samples of the two pieces from number `first` on, once the browser has them."""
    wait_until(lambda: pieces(page) >= first + 2, what="two pieces of sound")
    found = page.evaluate("first => window.played.slice(first, first + 2)", first)
    return np.concatenate([np.array(piece).T for piece in found])


def test_the_page_plays_what_was_sealed_and_verifies_every_byte(desk, listen, office):
    page = listen("key.age", "trusted-nodes.json")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    verdict = page.locator(".verdict")
    expect(verdict).to_have_text(re.compile("^Whole and unchanged: a server that your trust file"))
    expect(page.get_by_label("Your key file")).to_be_hidden()
    page.get_by_role("button", name="Stop").press("Enter")
    page.get_by_label("Position in the recording").fill("32")
    expect(page.locator(".here")).to_have_text("Not recorded here: Payment.")
    before = pieces(page)
    page.get_by_label("Position in the recording").fill("60")
    expect(page.locator(".here")).to_have_text("Recorded here.")
    page.get_by_role("button", name="Play").press("Enter")
    sound = heard(page, before) * 32_768
    samples, rate = office.audio()
    assert np.abs(sound - samples[60 * rate :][: len(sound)]).max() <= 1
    (body,) = [body for _, path, body in desk.asked if path.endswith("/listen")]
    assert body == {"purpose": "complaint", "reference": "C-1024"}


def test_the_parties_can_be_silenced_and_a_speed_keeps_the_pitch(listen):
    page = listen("key.age")
    page.get_by_label("Hear the caller").uncheck()
    page.get_by_role("button", name="Stop").press("Enter")
    page.get_by_label("Speed").select_option("2")
    before = pieces(page)
    page.get_by_label("Position in the recording").fill("40")
    page.get_by_role("button", name="Play").press("Enter")
    fast = heard(page, before)[:8000, 1]
    page.get_by_role("button", name="Stop").press("Enter")
    usual = heard(page, 0)[1000:9000, 1]
    pitches = [np.argmax(np.abs(np.fft.rfft(sound))) for sound in (fast, usual)]
    assert abs(pitches[0] - pitches[1]) <= 3
    assert np.abs(fast).max() < 1.5 * np.abs(usual).max()
    time = page.locator(".place-time")
    shown = time.inner_text()
    page.get_by_role("button", name="Forward 10 s").press("Enter")
    minutes, seconds = shown.split(" / ")[0].split(":")
    later = int(minutes) * 60 + int(seconds) + 10
    expect(time).to_have_text(f"{later // 60}:{later % 60:02} / 1:30")


def test_only_one_recording_plays_and_a_closed_row_is_silent(desk, opened, listen):
    first = desk.recordings.rows[0]
    desk.recordings.rows.append({**first, "call_id": CALL_ID.replace("abcdefgh", "bcdefghi")})
    reopen(opened)
    page = listen("key.age")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.locator(".recordings tbody th button").nth(1).press("Enter")
    second = page.locator(".listen").nth(1)
    second.get_by_label("Purpose", exact=True).select_option("A complaint")
    second.get_by_label("Reference of the case").fill("C-1025")
    second.get_by_role("button", name="Listen", exact=True).press("Enter")
    expect(second.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_have_count(1)
    expect(second.locator(".verdict")).to_contain_text("it is not what the server has signed")
    page.locator(".recordings tbody th button").nth(1).press("Enter")
    expect(second.get_by_role("button", name="Play", include_hidden=True)).to_have_count(1)


def test_a_server_that_stops_sending_leaves_the_recording_unverified(desk, listen):
    desk.recordings.parts = 3  # enough for the first sound
    page = listen("key.age")
    expect(page.locator(".verdict")).to_contain_text("so it was not verified to its end")
    expect(page.get_by_text("The server did not send the recording.")).to_be_visible()
    assert pieces(page)


def changed(files, name, at):
    data = bytearray(files[name])
    data[at] ^= 1
    files[name] = bytes(data)


FAULTS = {
    "not a key": (("trusted-nodes.json", "plain.txt", "other.txt"), "Choose one key file."),
    "text": (("text.txt",), "This file has no key"),
    "no passphrase": (("key.age",), "Enter the passphrase"),
    "forged trust": (("plain.txt", "forged.json"), "The trust file was not signed with this key"),
    "another key": (("other.txt",), "This key does not open this recording."),
}


def test_a_fault_of_the_key_is_explained_and_fetches_no_sound(desk, listen, office):
    (office.root / "text.txt").write_text("Dear Sir or Madam,\n")
    for fault, (names, says) in FAULTS.items():
        page = listen(*names, passphrase="")
        expect(page.locator(".listen .warning").first, fault).to_contain_text(says)
        if fault == "another key":
            page.get_by_role("button", name="Close the key").click()
    assert not [path for path in paths(desk) if "/payload" in path]
    assert len([path for path in paths(desk) if path.endswith("/listen")]) == 1


def test_a_changed_or_missing_part_is_never_called_whole(desk, listen):
    files = dict(desk.recordings.files)
    for fault, says in {
        "header": "The recording's header was changed",
        "end": "The recording is damaged",
        "first chunk": "The recording is damaged",
        "last chunk": "The recording is damaged",
        "manifest": "Do not rely on this recording: it is not what the server has signed.",
        "no manifest": "The signed manifest is missing",
    }.items():
        damaged = desk.recordings.files = dict(files)
        if fault == "header":
            changed(damaged, "header", -5)
        elif fault == "end":
            damaged["payload"] = damaged["payload"][:-1]
        elif fault == "first chunk":
            changed(damaged, "payload", 1000)
        elif fault == "last chunk":
            changed(damaged, "payload", -1)
        elif fault == "manifest":
            changed(damaged, "manifest", 100)
        else:
            del damaged["manifest"]
        first = not [path for path in paths(desk) if path.endswith("/listen")]
        page = listen(*(("key.age", "trusted-nodes.json") if first else ()))
        expect(page.locator(".listen .warning:visible"), fault).to_contain_text(says)
        if fault == "manifest":  # the sound is shown; open the recording again
            reopen(page)


def test_a_timeline_with_other_gaps_than_the_signed_manifest_is_never_called_whole(
    desk, opened, listen
):
    row = desk.recordings.rows[0]
    desk.recordings.rows = [{**row, "gaps": row["gaps"][1:]}]
    reopen(opened)
    page = listen("key.age", "trusted-nodes.json")
    expect(page.locator(".verdict")).to_contain_text("Do not rely on this recording")


def test_a_recording_that_is_closed_while_it_is_opened_does_not_begin_to_play(desk, opened, listen):
    waiting: list[Route] = []
    opened.route("**/listen", lambda route: waiting.append(route))  # noqa: PLW0108 - it marks it
    page = listen("key.age")
    wait_until(lambda: page.evaluate("1") and waiting, what="the request")
    row = page.locator(".recordings tbody th button").first
    row.press("Enter")
    with page.expect_response("**/listen"):
        waiting[0].continue_()
    expect(page.locator(".listen [aria-busy=true]")).to_have_count(0)
    row.press("Enter")
    expect(page.get_by_label("Reference of the case")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    assert pieces(page) == 0
    assert [path for path in paths(desk) if "/payload" in path] == []


def test_a_step_beyond_the_end_does_not_begin_again(listen):
    page = listen("key.age")
    place = page.get_by_label("Position in the recording")
    place.fill("85")
    page.get_by_role("button", name="Forward 10 s").press("Enter")
    expect(page.locator(".place-time")).to_have_text("1:30 / 1:30")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_without_the_signer_in_the_trust_file_the_page_does_not_call_a_recording_whole(listen):
    page = listen("key.age", "strangers.json")
    says = "Do not rely on this recording: a server that your trust file does not name"
    expect(page.locator(".verdict")).to_contain_text(says)


def test_the_key_is_forgotten_at_the_sign_out(desk, listen):
    page = listen("key.age")
    expect(page.locator(".verdict")).to_contain_text("Which server signed it is not proven")
    page.get_by_role("button", name="Sign out").first.click()
    expect(page.get_by_label("User name")).to_be_visible()
    states = "contexts.filter(each => each.sampleRate === 8000).map(each => each.state)"
    assert page.evaluate(states) == ["closed"]
    desk.signed_in = True
    page.get_by_label("User name").fill("mair")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    reopen(page)
    expect(page.get_by_label("Your key file")).to_be_visible()
