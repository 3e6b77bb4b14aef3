"""The page under many events, wrong clocks and hostile names.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import CALL, FOURTH, HALL, HOSTILE_NAME, MAIR, SECOND, answer, pause, ring

pytestmark = pytest.mark.peer

SKEW_S = 600
EVENTS = 200
NAMES = {
    "markup": "<img src=x onerror='window.hurt = true'><b>Mair</b>",
    "right to left": "\u202eGNIKCATTA \u05de\u05d0\u05d9\u05e8",
    "endless": "W" * 10_000,
    "words": "Mair Evans " * 900,
    "emoji": "👩‍👩‍👧‍👦" * 500,
    "combining": "Z" + "\u0351" * 2_000,
    "all of these": HOSTILE_NAME,
}


# A browser takes seconds of CPU time to lay out these names.
@pytest.mark.parametrize("width", [320, pytest.param(1180, marks=pytest.mark.long)])
def test_a_hostile_name_breaks_neither_the_layout_nor_the_text_around_it(desk, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    for kind, name in NAMES.items():
        hostile = {**MAIR, "name": name}
        answer(desk, hostile, caller={"details": {"notes": name}}, line="Council Tax")
        ring(desk, {**HALL, "name": name}, call_id=FOURTH)
        expect(page.locator(".strip li")).to_have_count(1)
        expect(page.locator(".person .name").first).to_have_text(name)
        expect(page.locator(".strip .name").first).to_have_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, kind
        assert page.evaluate("window.hurt") is None, kind
        assert page.locator(".person img, .strip img, .details img").count() == 0, kind
        parts = (".person", ".strip")
        heights = [page.locator(part).first.bounding_box()["height"] for part in parts]
        assert heights[0] < 400, kind
        assert heights[1] < 200, kind
        number = page.locator(".strip bdi.number").first
        assert number.evaluate("(node) => getComputedStyle(node).direction") == "ltr", kind
        directions = page.locator(".person .name, .strip .name").evaluate_all(
            "(nodes) => nodes.map((node) => getComputedStyle(node).unicodeBidi)"
        )
        assert set(directions) <= {"isolate", "plaintext"}, kind


def test_the_page_is_drawn_at_most_once_a_frame_and_shows_the_newest_state(desk, page):
    answer(desk, MAIR)
    expect(page.locator(".bar .word")).to_have_text("REC")
    page.evaluate("""() => {
        window.frames_ = 0;
        window.drawn = 0;
        const count = () => { window.frames_++; requestAnimationFrame(count); };
        requestAnimationFrame(count);
        const line = document.querySelector(".line-name");
        const text = Object.getOwnPropertyDescriptor(Node.prototype, "textContent");
        Object.defineProperty(line, "textContent", {
            get() { return text.get.call(this); },
            set(value) { window.drawn++; text.set.call(this, value); },
        });
    }""")
    for number in range(EVENTS):
        desk.put(line=f"Line {number}")
    expect(page.locator(".line-name")).to_have_text(f"Line {EVENTS - 1}")
    drawn, frames = page.evaluate("[window.drawn, window.frames_]")
    assert 0 < drawn <= frames + 2


def test_typing_is_not_disturbed_by_two_hundred_events(desk, page):
    answer(desk, MAIR)
    note = page.get_by_label("Notes")
    expect(note).to_be_visible()
    note.focus()
    for number in range(EVENTS):
        desk.put(line=f"Line {number}")
        if number % 20 == 0:
            page.keyboard.type("a")
    expect(page.locator(".line-name")).to_have_text(f"Line {EVENTS - 1}")
    expect(note).to_be_focused()
    expect(note).to_have_value("a" * (EVENTS // 20))


@pytest.mark.parametrize("skew", [-SKEW_S, SKEW_S])
def test_the_times_shown_stay_right_if_the_browsers_clock_is_wrong_or_is_corrected(
    desk, fresh_page, address, skew
):
    pause(desk, 65)
    ring(desk, HALL, call_id=SECOND)
    fresh_page.clock.install(time=time.time() + skew)
    fresh_page.goto(address)
    clocks = {".bar .time": r"1:\d\d", ".call-time": r"[12]:\d\d", ".strip .time": r"0:\d\d"}
    for wrong in (True, False):
        if not wrong:
            fresh_page.clock.set_system_time(time.time())
            fresh_page.clock.run_for(1_000)
        for selector, shown in clocks.items():
            expect(fresh_page.locator(selector).first).to_have_text(re.compile(f"^{shown}$"))
    assert fresh_page.locator(f".call[data-call='{CALL}'] .forgotten").count() == 0
