"""The notification and the sound of a ringing call, which the user must switch on.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import CALL, MAIR, SECOND, answer, ring

pytestmark = pytest.mark.peer

PATIENCE_S = 60.0
SOUND, NOTIFY = "Play a ring sound", "Show a notification"
WATCH = """() => {
    window.tones = 0;
    const tone = AudioBufferSourceNode.prototype, { start, stop } = tone;
    tone.start = function () { window.tones++; return start.call(this); };
    tone.stop = function () { window.tones--; return stop.call(this); };
    window.notes = [];
    window.Notification = class extends Notification {
        constructor(title, options) {
            super(title, options);
            window.notes.push(this);
        }
        close() {
            window.notes.splice(window.notes.indexOf(this), 1);
            super.close();
        }
    };
    window.focus = () => (window.focusedByNote = true);
}"""


@pytest.fixture(scope="module")
def browser_path():
    """The whole browser, which shows notifications."""
    return "/usr/bin/chromium"


@pytest.fixture
def context(fresh_context):
    """A profile of its own: tests allow notifications, and two windows share what they store."""
    return fresh_context


def tones(page):
    """Return the number of ring tones that sound now."""
    return page.evaluate("window.tones")


def notes(page):
    """Return the title and the text of each notification that is shown now."""
    return page.evaluate("window.notes.map((note) => [note.title, note.body])")


def wait_for(page, condition):
    """Wait until an expression holds in the page, whose policy forbids Playwright's own way."""
    limit = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < limit, condition
        page.wait_for_timeout(50)


@pytest.fixture
def watched(desk, browser_page, address):
    """The page in a browser that allows notifications; its tones and notifications are counted."""
    browser_page.context.grant_permissions(["notifications"], origin=address)
    browser_page.add_init_script(f"({WATCH})()")
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()
    return browser_page


def switch_on(page, *names):
    for name in names:
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")


def test_a_ringing_call_neither_sounds_nor_notifies_by_default(desk, watched):
    watched.locator(".brand").click()
    ring(desk, MAIR)
    expect(watched.get_by_role("heading", name=MAIR["name"])).to_be_visible()
    for name in (SOUND, NOTIFY):
        button = watched.get_by_role("button", name=name)
        expect(button).to_have_attribute("aria-pressed", "false")
    assert (tones(watched), notes(watched)) == (0, [])


def test_a_notification_names_only_the_line_and_closes_when_the_ringing_ends(desk, watched):
    switch_on(watched, NOTIFY)
    ring(desk, MAIR)
    wait_for(watched, "window.notes.length === 1")
    assert notes(watched) == [["Ringing: Council Tax", ""]]
    answer(desk, MAIR)
    wait_for(watched, "window.notes.length === 0")


def test_a_notification_has_the_name_and_number_if_the_desk_allows_it(desk, watched):
    desk.notification_names = True
    watched.reload()
    watched.locator("#link[data-state=live]").wait_for()
    switch_on(watched, NOTIFY)
    ring(desk, MAIR)
    wait_for(watched, "window.notes.length === 1")
    assert notes(watched) == [["Ringing: Council Tax", "Mair Evans, 01970 123456"]]


def test_a_click_on_a_notification_brings_the_page_to_the_front(desk, watched):
    switch_on(watched, NOTIFY)
    ring(desk, MAIR)
    wait_for(watched, "window.notes.length === 1")
    watched.evaluate("window.notes[0].dispatchEvent(new Event('click'))")
    assert watched.evaluate("window.focusedByNote")
    assert notes(watched) == []


def test_the_ring_sound_lasts_as_long_as_a_call_rings(desk, watched):
    switch_on(watched, SOUND)
    ring(desk, MAIR)
    wait_for(watched, "window.tones === 1")
    ring(desk, MAIR, call_id=SECOND)
    expect(watched.locator(".strip li")).to_have_count(1)
    desk.close(CALL)
    expect(watched.locator(".strip")).to_be_hidden()
    assert tones(watched) == 1
    answer(desk, MAIR, call_id=SECOND)
    wait_for(watched, "window.tones === 0")


def test_the_sound_and_the_notification_stop_with_the_sign_out(desk, watched):
    switch_on(watched, SOUND, NOTIFY)
    ring(desk, MAIR)
    wait_for(watched, "window.tones === 1 && window.notes.length === 1")
    watched.get_by_role("button", name="Sign out").click()
    wait_for(watched, "window.tones === 0 && window.notes.length === 0")


def test_switching_the_sound_off_stops_it_at_once(desk, watched):
    switch_on(watched, SOUND)
    ring(desk, MAIR)
    wait_for(watched, "window.tones === 1")
    watched.get_by_role("button", name=SOUND).click()
    wait_for(watched, "window.tones === 0")


def test_the_choices_of_sound_and_notifications_are_kept_and_a_blocked_sound_asks_for_a_click(
    desk, watched
):
    switch_on(watched, SOUND, NOTIFY)
    watched.reload()
    watched.locator("#link[data-state=live]").wait_for()
    expect(watched.get_by_role("button", name=NOTIFY)).to_have_attribute("aria-pressed", "true")
    ring(desk, MAIR)
    banner = watched.get_by_role("alert").get_by_text("The browser has not allowed the ring sound")
    expect(banner).to_be_visible()
    watched.locator(".brand").click()
    wait_for(watched, "window.tones === 1")
    expect(banner).to_be_hidden()
    kept = watched.evaluate("Object.entries({...localStorage}).sort()")
    assert kept == [["galwad.notifications", "on"], ["galwad.ring-sound", "on"]]


def test_the_banner_about_a_blocked_sound_disappears_when_the_ringing_ends(desk, watched):
    switch_on(watched, SOUND)
    watched.reload()
    watched.locator("#link[data-state=live]").wait_for()
    ring(desk, MAIR)
    banner = watched.get_by_text("The browser has not allowed the ring sound")
    expect(banner).to_be_visible()
    answer(desk, MAIR)
    expect(banner).to_be_hidden()


def test_only_one_tab_sounds_and_notifies_and_another_takes_over_when_that_tab_closes(
    desk, watched, address
):
    switch_on(watched, SOUND, NOTIFY)
    other = watched.context.new_page()
    other.add_init_script(f"({WATCH})()")
    other.goto(address)
    other.locator("#link[data-state=live]").wait_for()
    other.locator(".brand").click()
    ring(desk, MAIR)
    expect(other.get_by_role("heading", name=MAIR["name"])).to_be_visible()
    expect(watched.get_by_role("heading", name=MAIR["name"])).to_be_attached()
    both = (watched, other)
    for page in both:
        asked = "({ held, pending }) => held.length + pending.length >= 4"
        wait_for(page, f"navigator.locks.query().then({asked})")
    assert sum(tones(page) for page in both) == 1
    assert sum(len(notes(page)) for page in both) == 1
    first, second = sorted(both, key=tones, reverse=True)
    first.close()
    wait_for(second, "window.tones === 1 && window.notes.length === 1")


def test_notifications_that_the_browser_denies_stay_off_and_the_page_says_so(
    desk, browser_page, address
):
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()
    button = browser_page.get_by_role("button", name=NOTIFY)
    button.click()
    expect(browser_page.locator(".alerting .note").last).to_contain_text("does not allow")
    expect(button).to_have_attribute("aria-pressed", "false")


def test_the_ring_tone_is_audible_and_silent_between_its_bursts(page):
    heard = page.evaluate("""async () => {
        const { ringTone } = await import("/static/chime.js");
        const context = new OfflineAudioContext(1, 4 * 48000, 48000);
        ringTone(context);
        const samples = (await context.startRendering()).getChannelData(0);
        const part = (from, to) => samples.slice(from * 48000, to * 48000);
        const loudest = (from, to) => Math.max(...part(from, to).map(Math.abs));
        return [loudest(0.1, 0.3), loudest(0.45, 0.55), loudest(1.1, 2.9), loudest(3.1, 3.3)];
    }""")
    assert 0.05 < heard[0] < 0.25
    assert max(heard[1:3]) < 0.001
    assert heard[3] == pytest.approx(heard[0], abs=0.01)
