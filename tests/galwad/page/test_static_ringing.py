"""The card of a ringing call, and the greeting with which to answer it.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import CALL, HALL, MAIR, NUMBER, OWEN, advance, answer, ring

pytestmark = pytest.mark.peer

HOUR_S = 3600


def size(page, selector):
    """The size of an element's text, in pixels."""
    return float(
        page.locator(selector).first.evaluate(
            "(node) => parseFloat(getComputedStyle(node).fontSize)"
        )
    )


def set_hour(desk, hour):
    """Set the hour of the desk's local time."""
    desk.utc_offset = round(hour * HOUR_S - time.time() % (24 * HOUR_S))


def test_a_ringing_calls_name_and_number_are_larger_than_the_line_and_the_recording(desk, page):
    ring(desk, MAIR)
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    name, number = size(page, ".person .name"), size(page, ".number")
    line, recording = size(page, ".line-name"), size(page, ".bar .word")
    assert name > number > line > recording
    before = page.locator(".bar").bounding_box()["height"]
    answer(desk, MAIR)
    expect(page.locator(".bar .word")).to_have_text("REC")
    assert page.locator(".bar").bounding_box()["height"] > before * 1.5
    assert size(page, ".bar .word") > size(page, ".person .name")


GREETINGS = [
    ([MAIR], 9, "Bore da, Council Tax"),
    ([OWEN], 11.9, "Good morning, Council Tax"),
    ([MAIR], 12.1, "Prynhawn da, Council Tax"),
    ([OWEN], 19, "Good evening, Council Tax"),
    ([MAIR], 23, "Noswaith dda, Council Tax"),
    ([MAIR, OWEN], 9, "Bore da / Good morning, Council Tax"),
    ([MAIR, HALL], 9, "Bore da, Council Tax"),
    ([], 15, "Prynhawn da / Good afternoon, Council Tax"),
    ([{**MAIR, "language": ""}], 9, "Bore da / Good morning, Council Tax"),
]


def test_the_greeting_is_in_the_callers_language_and_of_the_desks_time_of_day(desk, page):
    for people, time_of_day, text in GREETINGS:
        desk.calls.clear()
        set_hour(desk, time_of_day)
        page.reload()
        ring(desk, *people)
        expect(page.locator(".say")).to_have_text(text)
        marked = page.locator(".say [lang]")
        assert {each.get_attribute("lang") for each in marked.all()} <= {"cy", "en"}, text


def test_the_greeting_disappears_soon_after_the_answer_and_does_not_come_back_after_a_hold(
    desk, open_timeless
):
    page = open_timeless()
    ring(desk, MAIR)
    expect(page.locator(".greeting")).to_be_visible()
    answer(desk, MAIR, since=time.time() + 10)
    expect(page.locator(".bar .word")).to_have_text("REC")
    expect(page.locator(".greeting")).to_be_visible()
    advance(page, desk, 40)
    expect(page.locator(".greeting")).to_be_hidden()
    desk.put(state="held")
    expect(page.locator(".call-state")).to_have_text("On hold")
    desk.put(state="answered", since=time.time() + 40)
    expect(page.locator(".call-state")).to_have_text("In call")
    expect(page.locator(".greeting")).to_be_hidden()


def test_a_call_that_was_answered_before_the_page_was_opened_has_no_greeting(
    desk, browser_page, address
):
    answer(desk, MAIR, since=time.time())
    browser_page.goto(address)
    expect(browser_page.locator(".bar .word")).to_have_text("REC")
    expect(browser_page.locator(".greeting")).to_be_hidden()


@pytest.mark.parametrize(
    ("caller", "text"),
    [
        ({"status": "withheld", "number_display": None}, "Number withheld"),
        ({"status": "unavailable"}, "The directory cannot be reached"),
        ({"status": "not_found"}, "Not in the directory"),
    ],
)
def test_a_ringing_call_without_a_name_says_why_and_shows_a_number_if_there_is_one(
    desk, page, caller, text
):
    ring(desk, caller=caller)
    expect(page.locator(".lookup")).to_contain_text(text)
    numbers = [NUMBER] if "number_display" not in caller else []
    assert page.locator(".caller .number:visible").all_text_contents() == numbers


def test_several_candidates_can_be_compared_while_the_call_rings(desk, page):
    ring(desk, MAIR, OWEN, HALL)
    expect(page.get_by_role("radio")).to_have_count(3)
    expect(page.locator(f".call[data-call='{CALL}'] .lookup")).to_contain_text("3 people")
