"""The question who is calling, by keyboard. The page is in `galwad/page/static/`."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

FOCUSED = "node => node === document.activeElement"
TWO_FRAMES = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"


def person(number, name):
    return {
        "person_id": f"directory:{number}",
        "name": name,
        "language": "cy",
        "shared_warning": False,
        "kind": "person",
        "main_line": False,
    }


ELIN, MAIR = person(1, "Elin Fictitious"), person(2, "Mair Fictitious")


def answered(desk, status, *people, **more):
    chosen = people[0]["person_id"] if len(people) == 1 else None
    caller = {"status": status, "candidates": list(people), "chosen": chosen, **more}
    state = {"recording": "recording", "recording_since": time.time(), "extension": "201"}
    return desk.put(state="answered", advisor="sian", caller=caller, **state)


def confirmations(desk):
    return [body for _, path, body in desk.asked if path.endswith("/confirm")]


def test_f7_moves_the_focus_to_the_confirmation_question_and_confirms_nothing(desk, page):
    answered(desk, "found", ELIN)
    checks = page.get_by_role("button", name="Checks passed")
    expect(checks).to_be_visible()
    page.keyboard.press("F7")
    assert checks.evaluate(FOCUSED)
    page.keyboard.press("F7")
    assert confirmations(desk) == []


def test_enter_after_f7_confirms_the_caller_and_the_focus_goes_to_their_name(desk, page):
    answered(desk, "found", ELIN)
    expect(page.get_by_role("button", name="Checks passed")).to_be_visible()
    page.keyboard.press("F7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 Heol Fawr")).to_be_visible()
    people = page.locator(".people")
    assert people.evaluate(FOCUSED)
    expect(people).to_contain_text("Elin Fictitious")


def test_f7_moves_the_focus_to_the_choice_if_several_people_have_the_number(desk, page):
    answered(desk, "several", ELIN, MAIR)
    first = page.get_by_role("radio").first
    expect(first).to_be_visible()
    page.keyboard.press("F7")
    assert first.evaluate(FOCUSED)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("F7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("radio")).to_have_count(0)
    assert [each["person_id"] for each in confirmations(desk)] == ["directory:2"]


def test_f7_leaves_the_focus_where_it_is_if_nothing_is_asked(desk, page):
    desk.put(state="ringing", caller={"status": "found", "candidates": [ELIN]})
    expect(page.get_by_text("Elin Fictitious").first).to_be_visible()
    page.locator("main").focus()
    page.keyboard.press("F7")
    assert page.locator("main").evaluate(FOCUSED)


def test_f7_with_a_modifier_key_does_not_move_the_focus(desk, page):
    answered(desk, "found", ELIN)
    checks = page.get_by_role("button", name="Checks passed")
    expect(checks).to_be_visible()
    for keys in ("Shift+F7", "Control+F7", "Alt+F7"):
        page.keyboard.press(keys)
    assert not checks.evaluate(FOCUSED)


def test_a_late_answer_to_a_confirmation_does_not_replace_a_newer_state_of_the_call(desk, page):
    """The desk's answer to a confirmation is the state of the call at that time."""
    held = []
    page.route("**/confirm", lambda route: held.append((route, route.fetch())))
    answered(desk, "found", ELIN)
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".details")).to_be_visible()
    desk.put(recording="fault")
    fault = page.locator(".recording .word")
    expect(fault).to_have_text("FAULT")
    (route, answer) = held[0]
    assert answer.json()["recording"] == "recording"
    with page.expect_response("**/confirm"):
        route.fulfill(response=answer)
    page.evaluate(TWO_FRAMES)
    expect(fault).to_have_text("FAULT")
    assert page.locator(".details").is_visible()
