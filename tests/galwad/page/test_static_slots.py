"""One call in full, and the others in a strip that stays in sight.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from helpers.examples import long_after
from helpers.page_states import (
    CALL,
    FOURTH,
    HALL,
    MAIR,
    OWEN,
    SECOND,
    THIRD,
    answer,
    confirm,
    ring,
    several_calls,
)

pytestmark = pytest.mark.peer

PAYMENTS = re.compile(r"/calls/(.+)/payment")


def shown(page):
    """The card that is shown in full."""
    return page.locator(".call:not([hidden])")


def expect_shown(page, call_id):
    """Wait until the card of this call, and no other one, is shown in full."""
    expect(page.locator(f".call[data-call='{call_id}']")).to_be_visible()
    expect(shown(page)).to_have_count(1)


def in_strip(page, call_id):
    """The button of a further call."""
    return page.locator(f".strip li[data-call='{call_id}'] button")


def confirmed(desk):
    """The ids of the calls whose caller the page has confirmed."""
    return [path.split("/")[2] for _, path, _ in desk.asked if path.endswith("/confirm")]


@pytest.fixture
def several(desk, page):
    """The page with a call that the advisor talks on, and three further ones."""
    several_calls(desk)
    expect(in_strip(page, FOURTH)).to_be_visible()
    return page


def test_the_call_in_progress_is_shown_and_the_others_are_in_the_strip(several):
    expect_shown(several, CALL)
    expect(several.locator(".strip li")).to_have_count(3)
    expect(several.locator(".strip-label")).to_have_text("1 more ringing:")
    ringing = several.locator(".strip button").first
    expect(ringing).to_have_attribute("data-state", "ringing")
    for text in ("Ringing", "01970 123456", HALL["name"], "Planning"):
        expect(ringing).to_contain_text(text)
    expect(in_strip(several, SECOND)).to_contain_text("On hold")
    expect(in_strip(several, SECOND).locator(".mark")).to_have_text("REC")
    expect(in_strip(several, THIRD)).to_contain_text("Wrap up")


def test_the_strip_is_hidden_while_there_is_one_call(desk, page):
    answer(desk, MAIR)
    expect_shown(page, CALL)
    expect(page.locator(".strip")).to_be_hidden()


def test_a_click_shows_a_further_call_in_full_and_keeps_what_was_typed(several):
    shown(several).get_by_label("Notes").fill("wants a new bin")
    in_strip(several, SECOND).click()
    expect_shown(several, SECOND)
    expect(shown(several).get_by_role("heading", name="Housing")).to_be_focused()
    in_strip(several, CALL).click()
    expect_shown(several, CALL)
    expect(shown(several).get_by_label("Notes")).to_have_value("wants a new bin")
    expect(shown(several).get_by_label("Notes")).to_be_focused()


def test_the_next_call_key_shows_each_call_in_turn(several):
    seen = set()
    for _ in range(4):
        several.keyboard.press("F4")
        expect(shown(several)).to_have_count(1)
        seen.add(shown(several).get_attribute("data-call"))
    assert seen == {CALL, SECOND, THIRD, FOURTH}


def test_the_next_call_key_is_left_to_the_browser_while_there_is_one_call(desk, page):
    page.evaluate("addEventListener('keydown', (event) => (window.left = !event.defaultPrevented))")
    answer(desk, MAIR)
    expect_shown(page, CALL)
    page.keyboard.press("F4")
    assert page.evaluate("window.left")


def test_a_chosen_call_stays_shown_while_others_ring_and_change(desk, several):
    in_strip(several, SECOND).click()
    ring(desk, MAIR, call_id=FOURTH, line="Planning and building")
    expect(in_strip(several, FOURTH)).to_contain_text("Planning and building")
    expect_shown(several, SECOND)


def test_a_call_that_is_answered_is_shown_in_place_of_the_chosen_one(desk, several):
    in_strip(several, THIRD).click()
    expect_shown(several, THIRD)
    desk.put(call_id=CALL, state="held")
    answer(desk, HALL, call_id=FOURTH, line="Planning")
    expect_shown(several, FOURTH)
    expect(shown(several).get_by_role("heading", name="Planning")).to_be_focused()


@pytest.fixture
def writing(desk, page):
    """The page with a call that is over, in whose note the advisor types."""
    answer(desk, MAIR)
    desk.put(state="wrapup", recording="ended")
    shown(page).get_by_label("Notes").fill("wants a new ")
    return page


def test_a_call_that_rings_does_not_replace_a_card_in_which_somebody_types(desk, writing):
    note = shown(writing).get_by_label("Notes")
    ring(desk, HALL, call_id=FOURTH, line="Planning")
    expect(in_strip(writing, FOURTH)).to_contain_text("Ringing")
    writing.keyboard.type("bin ")
    desk.close(FOURTH)
    expect(in_strip(writing, FOURTH)).to_have_count(0)
    writing.keyboard.type("today")
    expect(note).to_be_focused()
    expect(note).to_have_value("wants a new bin today")


def test_a_call_that_is_answered_replaces_a_card_in_which_somebody_types(desk, writing):
    answer(desk, HALL, call_id=FOURTH, line="Planning")
    expect_shown(writing, FOURTH)
    expect(shown(writing).get_by_role("heading", name="Planning")).to_be_focused()
    writing.keyboard.type("bin")
    writing.keyboard.press("Enter")
    in_strip(writing, CALL).click()
    expect(shown(writing).get_by_label("Notes")).to_have_value("wants a new ")
    assert confirmed(desk) == []


def test_f7_and_enter_confirm_the_caller_of_the_call_in_progress_whichever_card_is_shown(
    desk, writing
):
    answer(desk, HALL, call_id=FOURTH, line="Planning")
    expect_shown(writing, FOURTH)
    in_strip(writing, CALL).click()
    expect_shown(writing, CALL)
    writing.keyboard.press("F7")
    expect_shown(writing, FOURTH)
    writing.keyboard.press("Enter")
    expect(shown(writing).locator(".details")).to_be_visible()
    assert confirmed(desk) == [FOURTH]


@pytest.mark.parametrize("state", ["held", "wrapup"])
def test_the_caller_of_a_call_on_hold_or_in_wrap_up_cannot_be_confirmed(desk, writing, state):
    answer(desk, HALL, call_id=FOURTH, line="Planning")
    expect_shown(writing, FOURTH)
    expect(shown(writing).locator(".confirm")).to_be_visible()
    writing.keyboard.press("F7")
    desk.put(call_id=FOURTH, state=state)
    expect(writing.locator(f".call[data-call='{FOURTH}'] .confirm")).to_be_hidden()
    writing.keyboard.press("Enter")
    writing.keyboard.press("F7")
    expect(writing.locator(".notice")).to_have_text(
        "F7 did nothing: in this call there is no question to answer now."
    )
    writing.keyboard.press("Enter")
    assert confirmed(desk) == []


def test_of_two_answered_calls_the_keys_act_on_the_one_answered_last(desk, page):
    acts = {"acts": {"hangup": "", "hold": "", "transfer": ""}}
    answer(desk, MAIR, **acts)
    expect_shown(page, CALL)
    answer(desk, HALL, call_id=FOURTH, line="Planning", **acts)
    expect_shown(page, FOURTH)
    in_strip(page, CALL).click()
    expect_shown(page, CALL)
    expect(shown(page).locator(".confirm")).to_be_hidden()
    page.keyboard.press("Shift+F9")
    expect(shown(page).locator(".call-state")).to_be_visible()
    page.keyboard.press("F2")
    expect_shown(page, FOURTH)
    acted = [path for _, path, _ in desk.asked if path.endswith("/phone")]
    assert acted == [f"/calls/{FOURTH}/phone"]


def test_a_held_call_that_is_resumed_is_shown_and_enter_does_not_confirm_its_caller(desk, page):
    answer(desk, MAIR)
    shown(page).get_by_role("button", name="Checks passed").focus()
    desk.put(state="held")
    answer(desk, HALL, call_id=FOURTH, line="Planning")
    expect_shown(page, FOURTH)
    shown(page).get_by_label("Notes").focus()
    desk.put(call_id=FOURTH, state="wrapup", recording="ended")
    desk.put(state="answered")
    expect_shown(page, CALL)
    page.keyboard.press("Enter")
    expect(shown(page).get_by_role("heading", name="Council Tax")).to_be_focused()
    assert confirmed(desk) == []


def test_a_call_that_a_pbx_answered_for_a_group_does_not_replace_a_card_in_which_somebody_types(
    desk, writing
):
    group = {"advisor": None, "talking_since": None}
    answer(desk, HALL, call_id=FOURTH, line="Planning", **group)
    expect(in_strip(writing, FOURTH)).to_contain_text("In call")
    expect_shown(writing, CALL)
    expect(shown(writing).get_by_label("Notes")).to_be_focused()


def test_a_ringing_call_does_not_take_the_focus_from_a_button_of_the_card(desk, page):
    confirm(desk, state="wrapup", recording="ended")
    button = page.get_by_role("button", name="Close this call")
    button.focus()
    ring(desk, HALL, call_id=FOURTH)
    expect(in_strip(page, FOURTH)).to_be_visible()
    expect(button).to_be_focused()


def test_a_ringing_call_is_shown_in_place_of_a_call_in_wrap_up(desk, page):
    confirm(desk, state="wrapup", recording="ended")
    expect_shown(page, CALL)
    ring(desk, HALL, call_id=FOURTH)
    expect_shown(page, FOURTH)
    desk.close(FOURTH)
    expect_shown(page, CALL)


def test_of_two_ringing_calls_the_one_shown_first_stays_shown(desk, page):
    ring(desk, MAIR)
    expect_shown(page, CALL)
    ring(desk, OWEN, call_id=SECOND, started=time.time() - 60)
    expect(in_strip(page, SECOND)).to_be_visible()
    expect_shown(page, CALL)


def test_f8_pauses_all_live_calls_also_those_that_are_not_shown(desk, several):
    several.keyboard.press("F8")
    expect(shown(several).locator(".word")).to_have_text("PAUSED")
    expect(in_strip(several, SECOND).locator(".mark")).to_have_text("PAUSED")
    paused = {PAUSED[1] for _, path, _ in desk.asked if (PAUSED := PAYMENTS.fullmatch(path))}
    assert paused == {CALL, SECOND}


def test_the_recordings_in_the_strip_are_unknown_without_a_connection(desk, several):
    desk.cut()
    expect(in_strip(several, SECOND).locator(".mark")).to_have_text("UNKNOWN")


def test_the_focus_stays_on_a_button_of_the_strip_when_calls_come_and_go(desk, several):
    in_strip(several, SECOND).focus()
    desk.close(FOURTH)
    expect(in_strip(several, FOURTH)).to_have_count(0)
    expect(in_strip(several, SECOND)).to_be_focused()
    desk.close(SECOND)
    expect(in_strip(several, SECOND)).to_have_count(0)
    expect(several.locator("#main")).to_be_focused()


@pytest.mark.parametrize(
    "size", long_after(2, [((1180, 800),), ((320, 180),), ((420, 800),), ((320, 256),)])
)
def test_the_strip_and_the_recording_stay_in_sight_and_never_hide_the_focus(several, size):
    several.set_viewport_size({"width": size[0], "height": size[1]})
    expect(shown(several).locator(".bar .word")).to_be_attached()
    expect(several.locator(".today")).to_be_visible()  # it moves what is below it
    shown(several).get_by_label("Purpose of the call").focus()
    hidden = []
    for _ in range(12):
        several.keyboard.press("Tab")
        hidden += several.evaluate("""() => {
            const node = document.activeElement, box = node.getBoundingClientRect();
            const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            const seen = node === document.body || node.contains(at) || at?.contains(node);
            return seen ? [] : [node.outerHTML.slice(0, 80)];
        }""")
    shown(several).get_by_role("button", name="Save contact note").focus()
    assert hidden == []
    expect(several.locator(".strip-label")).to_be_in_viewport(ratio=1)
    expect(several.locator(".strip button").first).to_be_in_viewport(ratio=0.3)
    for part in (".bar .word", ".bar .time", ".bar .pause"):
        expect(shown(several).locator(part)).to_be_in_viewport(ratio=1)
    taken = several.locator(".strip").bounding_box()["height"]
    taken += shown(several).locator(".bar").bounding_box()["height"]
    assert taken < size[1] * 2 / 3


def test_the_title_says_first_that_a_call_rings_and_names_no_caller(desk, several):
    expect(several).to_have_title("Ringing: Planning | REC | Council Tax | Galwad")
    desk.close(FOURTH)
    expect(several).to_have_title("REC | Council Tax | Galwad")
