"""A forgotten pause counts up, is announced and chimes; the chime can be muted.

The page is in `galwad/page/static/`. Its clock is stopped, and only the tests advance it.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from helpers.page_states import CALL, advance
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

REMINDER_S = 45
ALARM_S = 90
AGAIN_S = 60
LAG_S = 4
"""How much later the page's count may be than the test's, in seconds.

The page counts from the desk's time, which was some seconds old when it arrived on a busy machine.
"""
LISTEN = """() => {
    window.tones = [];
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) {
        window.tones.push([this.frequency.value, this.context.state]);
        return start.call(this, at);
    };
}"""
RENDER = """async () => {
    const { sound } = await import("/static/chime.js");
    const context = new OfflineAudioContext(1, 48000, 48000);
    const end = sound(context);
    const samples = [...(await context.startRendering()).getChannelData(0)];
    const loudest = (part) => Math.max(...part.map(Math.abs));
    const upward = (each, n) => n < end * 48000 && samples[n - 1] < 0 && each >= 0;
    const crossings = samples.filter(upward);
    return {
        end,
        loudest: loudest(samples),
        first: loudest(samples.slice(0, 10)),
        rest: loudest(samples.slice(Math.ceil(end * 48000))),
        pitch: crossings.length / end,
    };
}"""


@pytest.fixture
def timeless(desk, open_timeless):
    """The page with a call whose pause begins now, by the page's stopped clock."""
    desk.pause_reminder, desk.pause_alarm = REMINDER_S, ALARM_S
    page = open_timeless()
    page.evaluate(LISTEN)
    pause(desk, page)
    return page


def pause(desk, page, **more):
    """Pause the recording at the page's present time."""
    now = page.evaluate("Date.now()") / 1_000
    facts = {
        "line": "Line 0",
        "state": "answered",
        "advisor": "sian",
        "holders": ["page:sian"],
        **more,
    }
    desk.put(recording="paused", recording_since=now, **facts)
    expect(page.locator(".recording .word")).to_have_text("PAUSED")


def tones(page):
    """The frequencies of the tones so far; each chime has two."""
    found = page.evaluate("window.tones")
    assert all(state == "running" for _, state in found)
    return [frequency for frequency, _ in found]


def allow_sound(page):
    """Click on the page, as every advisor has done who has signed in there."""
    page.locator(".brand").click()
    page.wait_for_timeout(300)


def test_a_pause_counts_up_and_chimes_at_the_reminder_time_and_then_every_minute(desk, timeless):
    allow_sound(timeless)
    advance(timeless, desk, REMINDER_S - LAG_S)
    warning = timeless.locator(".recording .warning").get_by_text("Paused for")
    expect(timeless.locator(".recording .time")).to_have_text(re.compile("0:(3[6-9]|4[01])"))
    warned_early = warning.is_visible()
    advance(timeless, desk, 2 * LAG_S)
    expect(warning).to_contain_text(re.compile("Paused for 0:4[5-9]"))
    expect(timeless.locator("#urgent p").last).to_contain_text("Paused for 0:4")
    assert not warned_early
    assert tones(timeless) == [660, 880]
    advance(timeless, desk, AGAIN_S - 2 * LAG_S)
    assert tones(timeless) == [660, 880]
    advance(timeless, desk, 3 * LAG_S)
    expect(warning).to_contain_text(re.compile("Paused for 1:(4[5-9]|5[0-3])"))
    assert tones(timeless) == [660, 880] * 2
    assert [method for method, path, _ in desk.asked if path.endswith("payment")] == []
    desk.put(recording="recording", holders=[])
    expect(warning).to_be_hidden()
    advance(timeless, desk, 2 * AGAIN_S)
    assert tones(timeless) == [660, 880] * 2


def test_a_muted_chime_leaves_the_written_warning(desk, timeless):
    timeless.get_by_role("button", name="Mute the chime").click()
    expect(timeless.get_by_role("button", name="Mute the chime")).to_have_attribute(
        "aria-pressed", "true"
    )
    expect(timeless.locator("#status p").last).to_contain_text("The written warnings stay")
    advance(timeless, desk, REMINDER_S + LAG_S)
    expect(timeless.locator(".recording .warning").get_by_text("Paused for")).to_be_visible()
    assert tones(timeless) == []
    timeless.get_by_role("button", name="Mute the chime").click()
    advance(timeless, desk, AGAIN_S)
    assert tones(timeless) == [660, 880]


def test_a_chime_that_the_browser_blocks_asks_for_a_click_and_sounds_then(desk, timeless):
    advance(timeless, desk, REMINDER_S + LAG_S)
    banner = timeless.get_by_role("alert").get_by_text("The browser has not allowed the chime")
    expect(banner).to_be_visible()
    assert tones(timeless) == []
    allow_sound(timeless)
    expect(banner).to_be_hidden()
    assert tones(timeless) == [660, 880]


def test_the_banner_about_a_blocked_chime_disappears_when_the_pause_ends(desk, timeless):
    advance(timeless, desk, REMINDER_S + LAG_S)
    banner = timeless.get_by_text("The browser has not allowed the chime")
    expect(banner).to_be_visible()
    desk.put(recording="recording", holders=[])
    expect(banner).to_be_hidden()
    allow_sound(timeless)
    assert tones(timeless) == []


def test_a_pause_does_not_chime_while_the_switch_is_lost(desk, timeless):
    allow_sound(timeless)
    desk.push_alarm("switch.lost")
    expect(timeless.locator(".recording .word")).to_have_text("UNKNOWN")
    advance(timeless, desk, REMINDER_S + 10)
    assert tones(timeless) == []


def test_a_supervisor_sees_and_hears_a_pause_after_the_alarm_time(desk, open_timeless):
    desk.me["role"] = "supervisor"
    desk.pause_reminder, desk.pause_alarm = REMINDER_S, ALARM_S
    page = open_timeless()
    page.evaluate(LISTEN)
    allow_sound(page)
    now = page.evaluate("Date.now()") / 1_000
    facts = {
        "line": "Line 0",
        "mine": False,
        "state": "answered",
        "advisor": "owen",
        "holders": ["page:owen"],
    }
    desk.put(recording="paused", recording_since=now, **facts)
    row = page.get_by_role("row").nth(1)
    paused = page.get_by_role("row").filter(has_text="PAUSED")

    def is_drawn():
        page.clock.run_for(100)  # the list may be drawn with the next frame
        return paused.count() == 1

    wait_until(is_drawn, what="the pause in the list")
    advance(page, desk, ALARM_S - LAG_S)
    expect(row).to_contain_text(re.compile("1:2[1-6]"))
    early = row.get_by_text("Forgotten?").is_visible()
    advance(page, desk, 2 * LAG_S)

    def is_forgotten():
        page.clock.run_for(100)
        return row.get_by_text("Forgotten?").is_visible()

    wait_until(is_forgotten, what="the warning in the list")
    assert not early
    desk.alarm("payment.forgotten_long", CALL)
    expect(page.locator(".alarm-list")).to_contain_text("paused for very long (Line ")
    assert tones(page) == [660, 880]


def test_the_chime_is_audible_and_ends_in_silence(page):
    heard = page.evaluate(RENDER)
    assert 0.6 < heard["end"] < 0.8
    assert 0.1 < heard["loudest"] < 0.5
    assert heard["first"] < 0.02
    assert heard["rest"] < 0.001
    assert 660 < heard["pitch"] < 880
