"""The end of a wrap-up: the list "Notes to write", and an advisor's whole call by keyboard.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time
from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

CALL, LATER = "20261125-093000-abcdefgh", "20261125-093100-abcdefgh"
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
FAULTS = """async () => {
    const { violations } = await axe.run();
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`));
}"""
MOST_KEYS = 12


def answered(desk, **more):
    state = {"recording": "recording", "recording_since": time.time(), "extension": "201"}
    return desk.put(**{"state": "answered", "advisor": "sian", **state, **more})


def wrapped_up(desk, seconds=900, call_id=CALL, **more):
    """Let a call be in wrap-up whose limit of 120 s began so many seconds ago."""
    ended = time.time() - seconds
    caller = {"status": "found", "number_display": "01632 960001", "name": "Elin Fictitious"}
    return desk.put(
        **{
            "call_id": call_id,
            "state": "wrapup",
            "advisor": "sian",
            "recording": "ended",
            "since": ended,
            "wrap_up_until": ended + 120,
            "caller": caller,
            **more,
        }
    )


def card(page, call_id=CALL):
    return page.locator(f"article[data-call='{call_id}']")


def row(page, call_id=CALL):
    return page.locator(f".open-notes li[data-call='{call_id}']")


def purpose(page, call_id=CALL):
    return card(page, call_id).get_by_label("Purpose of the call")


def test_a_call_becomes_a_row_when_its_wrap_up_time_is_over(desk, page):
    wrapped_up(desk, wrap_up_until=time.time() + 5)
    expect(card(page)).to_be_visible()
    expect(card(page)).to_be_hidden()
    expect(row(page)).to_contain_text("01632 960001")
    expect(row(page)).to_contain_text("Elin Fictitious")
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    expect(page).to_have_title("No call at the moment | Galwad")


def test_a_call_without_a_wrap_up_limit_stays_a_card(desk, page):
    wrapped_up(desk, wrap_up_until=None)
    expect(card(page)).to_be_visible()
    expect(row(page)).to_have_count(0)


def test_a_row_stays_a_row_after_a_reload(desk, page):
    wrapped_up(desk)
    expect(row(page)).to_be_visible()
    page.reload()
    expect(row(page)).to_contain_text("Elin Fictitious")
    expect(card(page)).to_be_hidden()


def test_a_card_in_which_somebody_types_does_not_become_a_row_until_the_focus_leaves_it(desk, page):
    wrapped_up(desk, seconds=0)
    purpose(page).fill("Waste")
    wrapped_up(desk, line="Housing")
    expect(card(page).get_by_role("heading", name="Housing")).to_be_visible()
    expect(purpose(page)).to_be_focused()
    page.get_by_role("button", name="Sign out").focus()
    expect(card(page)).to_be_hidden()
    expect(row(page)).to_contain_text("Draft saved")


def test_a_row_opens_by_its_button_and_stays_open(desk, page):
    wrapped_up(desk)
    row(page).get_by_role("button", name="Write note").press("Enter")
    expect(purpose(page)).to_be_focused()
    expect(row(page)).to_have_count(0)
    page.get_by_role("button", name="Sign out").focus()
    desk.put(call_id=CALL, line="Housing")
    expect(card(page).get_by_role("heading", name="Housing")).to_be_visible()


def test_a_card_is_collapsed_to_a_row_by_hand_and_the_focus_moves_to_the_row(desk, page):
    wrapped_up(desk, seconds=0)
    card(page).get_by_role("button", name="Write the note later").press("Enter")
    expect(card(page)).to_be_hidden()
    expect(row(page).get_by_role("button", name="Write note")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("list of notes to write")


def test_a_call_is_closed_without_a_note_from_its_row(desk, page):
    wrapped_up(desk)
    row(page).get_by_role("button", name="Close this call").press("Enter")
    reason = page.get_by_label("Why does this call need no note?")
    expect(reason).to_be_focused()
    reason.select_option("Wrong number")
    page.get_by_role("button", name="Close without a note").press("Enter")
    expect(card(page)).to_have_count(0)  # the line has become a card with the question
    expect(row(page)).to_have_count(0)
    expect(page.locator(".open-notes")).to_be_hidden()
    assert ("PUT", f"/calls/{CALL}/contact/not-needed", {"reason": "wrong_number"}) in desk.asked


def test_the_focus_in_a_row_that_disappears_moves_to_the_next_row(desk, page):
    wrapped_up(desk)
    wrapped_up(desk, call_id=LATER)
    row(page).get_by_role("button", name="Write note").focus()
    desk.close(CALL)
    expect(row(page, LATER).get_by_role("button", name="Write note")).to_be_focused()
    desk.close(LATER)
    expect(page.locator("main")).to_be_focused()


def test_the_note_key_goes_to_the_call_in_progress_and_then_to_the_notes_to_write(desk, page):
    wrapped_up(desk, call_id=LATER)
    answered(desk)
    expect(purpose(page)).to_be_visible()
    page.keyboard.press("F2")
    expect(purpose(page)).to_be_focused()
    page.keyboard.press("F2")
    expect(purpose(page, LATER)).to_be_focused()
    page.keyboard.press("F2")
    expect(purpose(page)).to_be_focused()


def test_the_end_of_a_call_does_not_take_the_focus(desk, page):
    answered(desk)
    page.get_by_role("button", name="Cymraeg").focus()
    desk.put(state="wrapup", recording="ended")
    expect(card(page)).to_have_attribute("data-state", "wrapup")
    expect(page.get_by_role("button", name="Cymraeg")).to_be_focused()


def test_a_hostile_name_in_a_row_is_shown_as_text(desk, page):
    name = "\u202egnaro<img src=x onerror=alert(1)>" + "n" * 180
    wrapped_up(desk, caller={"status": "found", "number_display": "01632 960001", "name": name})
    expect(row(page).locator(".name")).to_have_text(name)
    assert row(page).locator("img").count() == 0


@pytest.mark.parametrize("width", [320, 1100])
def test_axe_finds_no_fault_in_the_list_of_notes_to_write(desk, page, width):
    page.set_viewport_size({"width": width, "height": 800})
    wrapped_up(desk)
    wrapped_up(desk, call_id=LATER, draft=None)
    expect(row(page, LATER)).to_be_visible()
    page.evaluate(AXE)
    assert page.evaluate(FAULTS) == []
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0


def test_a_supervisor_sees_how_many_notes_were_closed(desk, browser_page, address):
    desk.me = {**desk.me, "role": "supervisor"}
    desk.closed = [{"advisor": "sian", "not_written": 2, "unfinished": 1}]
    browser_page.goto(address)
    section = browser_page.locator("section.closed-notes")
    expect(section).to_contain_text("sian: 2 not written, 1 not finished.")
    desk.closed = []
    browser_page.reload()
    expect(browser_page.get_by_role("heading", name="All calls")).to_be_visible()
    expect(section).to_be_hidden()


def test_an_advisor_does_not_ask_for_the_closed_notes(desk, page):
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    assert not [path for _, path, _ in desk.read if path == "/contacts/closed"]


def test_a_whole_call_needs_at_most_twelve_key_presses_besides_the_text(desk, page):
    pressed = 0

    def press(*keys):
        nonlocal pressed
        for key in keys:
            page.keyboard.press(key)
            pressed += len(key.split("+"))

    page.locator("main").focus()
    one = {
        "person_id": "directory:1",
        "name": "Elin Fictitious",
        "language": "cy",
        "shared_warning": False,
        "kind": "person",
        "main_line": False,
    }
    found = {"status": "found", "candidates": [one], "chosen": "directory:1"}
    answered(desk, caller=found)
    confirm = page.get_by_role("button", name="Checks passed")
    expect(confirm).to_be_visible()
    press("F7", "Enter")
    expect(page.get_by_text("1 Heol Fawr")).to_be_visible()
    press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    press("Shift+F8")
    expect(page.locator(".recording .word")).to_have_text("REC")
    desk.put(state="wrapup", recording="ended")
    press("F2")
    page.keyboard.type("Missed collection")
    press("Control+Enter")
    expect(card(page).locator(".saved")).to_have_text("Saved")
    assert desk.calls[CALL]["contact"]["purpose"] == "Missed collection"
    assert pressed <= MOST_KEYS
