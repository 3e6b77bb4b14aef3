"""A screen reader on the page: what it says by itself, and what it reads from top to bottom.

The screen reader is `@guidepup/virtual-screen-reader`, which scripts/test installs with npm. It
reads the accessibility tree by the rules of WAI-ARIA. The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

PROGRAM = (
    Path(sys.prefix)
    / "screen_reader/node_modules/@guidepup/virtual-screen-reader/lib/esm/index.browser.js"
)
START = """async () => {
    const { virtual } = await import("/screen-reader.js");
    window.reader = virtual;
    await virtual.start({ container: document.body });
    await virtual.clearSpokenPhraseLog();
}"""
STOP_TIMERS = "() => { for (let id = setTimeout(() => {}); id > 0; id -= 1) clearTimeout(id); }"
"""The clocks of the page change each second, and the screen reader then begins again."""
HEARD = """async (phrase) => {
    const log = await window.reader.spokenPhraseLog();
    return log.includes(phrase) && [...log];
}"""
READ_ALL = """async () => {
    const { reader } = window;
    await reader.moveToStartOfContainer?.();
    await reader.clearSpokenPhraseLog();
    const read = [];
    for (;;) {
        await reader.next();
        const phrase = await reader.lastSpokenPhrase();
        if (phrase === "end of document" || phrase === "document" || read.length > 400) return read;
        read.push(phrase);
    }
}"""
ELIN = {
    "person_id": "directory:1",
    "name": "Elin Fictitious",
    "language": "cy",
    "shared_warning": False,
    "kind": "person",
    "main_line": False,
}
FOUND = {"status": "found", "candidates": [ELIN], "chosen": "directory:1"}


@pytest.fixture
def page(chromium, address):
    """The page, open and connected, with the screen reader in it, which its policy would forbid."""
    assert PROGRAM.exists(), f"{PROGRAM} is missing: run scripts/test"
    context = chromium.new_context(locale="en-GB", bypass_csp=True)
    page = context.new_page()
    script = PROGRAM.read_text(encoding="utf-8")
    page.route(
        "**/screen-reader.js",
        lambda route: route.fulfill(body=script, content_type="text/javascript"),
    )
    page.goto(address)
    page.locator("#link[data-state=live]").wait_for()
    page.evaluate(START)
    yield page
    context.close()


def heard(page, phrase):
    """Wait until the screen reader has said this by itself; return all that it has said."""
    return page.wait_for_function(HEARD, arg=phrase).json_value()


def answered(desk):
    state = {"recording": "recording", "recording_since": time.time(), "extension": "201"}
    desk.put(state="answered", advisor="sian", caller=FOUND, **state)


def test_a_screen_reader_announces_a_call_at_once_and_the_callers_name_politely(desk, page):
    desk.put(state="ringing", caller={"status": "looking_up"})
    heard(page, "assertive: Incoming call: Council Tax")
    desk.put(caller=FOUND)
    heard(page, "polite: Caller may be Elin Fictitious")
    answered(desk)
    heard(page, "assertive: Both sides are being recorded.")
    page.keyboard.press("F8")
    heard(page, "assertive: Nothing is being recorded. You may take card details.")
    page.keyboard.press("Shift+F8")
    page.wait_for_function(
        "async () => (await window.reader.spokenPhraseLog())"
        ".filter((each) => each === 'assertive: Both sides are being recorded.').length === 2"
    )


def test_nothing_but_the_incoming_call_is_announced_while_its_lookup_runs(desk, page):
    desk.put(state="ringing", caller={"status": "looking_up"})
    said = heard(page, "assertive: Incoming call: Council Tax")
    assert said == ["assertive: Incoming call: Council Tax"]


def test_the_recording_is_read_before_the_caller_and_the_caller_before_the_note(desk, page):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.keyboard.press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    page.evaluate(STOP_TIMERS)
    read = page.evaluate(READ_ALL)
    wanted = [
        "article, Council Tax",
        "In call",
        "region, Recording",
        "PAUSED",
        "button, Resume recording Shift+F8, key shortcuts Shift+F8",
        "region, Caller",
        "heading, Elin Fictitious, level 3",
        "Prefers Welsh",
        "group, Ask the caller to confirm their details. What was the answer?",
        "button, Checks passed, key shortcuts F7",
        "heading, Contact note F2, level 3",
        "textbox, Notes",
    ]
    assert [each for each in read if each in wanted] == wanted


def test_every_control_that_is_read_has_a_name(desk, page):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.evaluate(STOP_TIMERS)
    read = page.evaluate(READ_ALL)
    controls = [each for each in read if each.split(",")[0] in {"button", "textbox", "combobox"}]
    assert len(controls) > 10
    assert [each for each in controls if not each.partition(", ")[2].strip()] == []
