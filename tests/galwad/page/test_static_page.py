"""The page in a real browser, against a scripted desk.

The page is in `galwad/desk/static/`.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

SIAN = {
    "person_id": "p1",
    "name": "Mair Evans",
    "language": "cy",
    "shared_warning": False,
    "kind": "person",
    "main_line": False,
}
OWEN = {**SIAN, "person_id": "p2", "name": "Owen Evans", "language": "en", "shared_warning": True}
CALL = "20261125-093000-abcdefgh"
STATES = {
    "not_started": "OFF",
    "recording": "REC",
    "paused": "PAUSED",
    "ceased": "OFF",
    "fault": "FAULT",
    "ended": "OFF",
}


def answered(desk, **more):
    return desk.put(
        state="answered", advisor="sian", recording="recording", recording_since=time.time(), **more
    )


def found(desk, *people):
    status = "found" if len(people) == 1 else "several"
    chosen = people[0]["person_id"] if len(people) == 1 else None
    caller = {"status": status, "number_display": "01970 000001", "chosen": chosen}
    return {"caller": {**caller, "candidates": list(people)}}


def test_an_advisor_signs_in_and_a_wrong_password_is_told(desk, browser_page, address):
    desk.signed_in = False
    browser_page.goto(address)
    browser_page.get_by_label("User name").fill("sian")
    browser_page.get_by_label("Password").fill("wrong")
    browser_page.keyboard.press("Enter")
    expect(browser_page.get_by_role("alert").get_by_text("not right")).to_be_visible()
    browser_page.get_by_label("Password").fill("correct horse battery")
    browser_page.keyboard.press("Enter")
    expect(browser_page.get_by_text("No call at the moment")).to_be_visible()


def test_a_call_appears_while_it_rings_and_fills_when_the_lookup_ends(desk, page):
    desk.put()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    expect(page.locator(".lookup")).to_have_text("Looking up the number…")
    desk.put(**found(desk, SIAN))
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    expect(page.get_by_text("Prefers Welsh")).to_be_visible()
    expect(page.locator("#status p").last).to_have_text("Caller may be Mair Evans")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("not_found", "Not in the directory. Ask who is calling."),
        ("withheld", "Number withheld. It has not been looked up."),
        ("unavailable", "The directory cannot be reached. Ask who is calling."),
    ],
)
def test_why_there_is_no_name_is_told_apart(desk, page, status, text):
    desk.put(caller={"status": status})
    expect(page.locator(".lookup")).to_have_text(text)


def test_of_several_people_nobody_is_preselected(desk, page):
    answered(desk, **found(desk, SIAN, OWEN))
    expect(page.get_by_role("radio")).to_have_count(2)
    assert page.get_by_role("radio", checked=True).count() == 0
    expect(page.get_by_role("button", name="Checks passed")).to_be_disabled()
    page.get_by_role("radio", name=re.compile("Owen")).check()
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".details")).to_contain_text("1 Heol Fawr")
    assert (
        "POST",
        f"/calls/{CALL}/confirm",
        {"outcome": "confirmed", "person_id": "p2"},
    ) in desk.asked


def test_a_choice_being_made_survives_other_news(desk, page):
    answered(desk, **found(desk, SIAN, OWEN))
    page.get_by_role("radio", name=re.compile("Owen")).check()
    desk.put(recording="paused", recording_since=time.time())
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.get_by_role("radio", name=re.compile("Owen"))).to_be_checked()


def test_details_come_after_the_confirmation_only(desk, page):
    desk.put(**found(desk, SIAN))
    expect(page.get_by_role("button", name="Checks passed")).to_be_hidden()
    answered(desk)
    expect(page.locator(".details")).to_be_hidden()
    page.get_by_role("button", name="Caller gave their details first").click()
    expect(page.locator(".details")).to_contain_text("LL00 0XX")
    expect(page.get_by_role("button", name="Checks passed")).to_be_hidden()


def test_not_who_we_thought_is_an_answer_too(desk, page):
    answered(desk, **found(desk, SIAN))
    page.get_by_role("button", name="Not who we thought").click()
    expect(page.locator(".question")).to_contain_text("Noted: not who we thought")
    expect(page.locator(".details")).to_be_hidden()


@pytest.mark.parametrize(("state", "word"), STATES.items())
def test_each_recording_state_has_its_word(desk, page, state, word):
    answered(desk)
    desk.put(recording=state)
    expect(page.locator(".recording .word")).to_have_text(word)


def test_the_states_differ_in_shape_as_well(desk, page):
    answered(desk)
    looks = {}
    script = """node => { const s = getComputedStyle(node);
        return [s.borderRadius, s.borderTopWidth, s.borderLeftWidth, s.clipPath].join() }"""
    for state in ("recording", "paused", "ceased", "fault"):
        desk.put(recording=state)
        expect(page.locator(".recording")).to_have_attribute("data-state", state)
        looks[state] = page.locator(".recording .shape").evaluate(script)
    assert len(set(looks.values())) == len(looks)


def test_f8_works_while_a_note_is_being_typed_and_leaves_the_focus(desk, page):
    answered(desk)
    note = page.get_by_label("Notes")
    note.fill("wants to pay")
    page.keyboard.press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(note).to_be_focused()
    expect(note).to_have_value("wants to pay")


def test_a_pause_that_did_not_reach_the_desk_is_told_at_once(desk, page):
    answered(desk)
    desk.refusing = 503
    page.get_by_role("button", name="Pause for card details").click()
    expect(page.get_by_role("alert").get_by_text("NOT confirmed")).to_be_visible()
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_a_pause_that_another_holds_too_says_why_it_stays(desk, page):
    answered(desk)
    desk.other_holder = True
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.keyboard.press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.locator(".recording")).not_to_have_attribute("aria-busy", "true")
    page.keyboard.press("Shift+F8")
    expect(page.get_by_role("alert").get_by_text("somebody else holds it")).to_be_visible()
    desk.put(recording="recording")
    expect(page.get_by_text("somebody else holds it")).to_be_hidden()


def test_nobody_is_told_to_ask_a_caller_who_has_gone(desk, page):
    answered(desk, **found(desk, SIAN))
    expect(page.get_by_text("Ask the caller to confirm")).to_be_visible()
    desk.put(state="wrapup", recording="ended")
    expect(page.get_by_text("Did the caller confirm")).to_be_visible()


def test_a_pause_that_is_not_durable_is_told(desk, page):
    answered(desk)
    desk.put(recording="paused", recording_since=time.time(), durable=False)
    expect(page.locator(".recording .warning").first).to_contain_text("disk has not confirmed")


def test_a_forgotten_pause_warns_with_its_length(desk, page):
    answered(desk)
    desk.put(recording="paused", recording_since=time.time() - 200)
    expect(page.locator(".recording .warning").first).to_contain_text("Paused for 3:2")


def test_a_lost_connection_makes_the_recording_unknown(desk, page):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    desk.cut()
    expect(page.locator("#lost")).to_contain_text("Connection lost")
    expect(page.locator(".recording .word")).to_have_text("UNKNOWN")
    desk.calls[CALL]["recording"] = "paused"
    desk.mend()
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.locator("#lost")).to_be_hidden()


def test_a_desk_without_its_switch_does_not_know_either(desk, page):
    answered(desk)
    desk.push("alarm", {"kind": "switch.lost", "call_id": None, "since": 0})
    expect(page.locator(".recording .word")).to_have_text("UNKNOWN")
    desk.push("alarm", {"kind": "switch.connected", "call_id": None, "since": 0})
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_an_ended_session_asks_for_a_new_sign_in(desk, page):
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_text("Your session has ended")).to_be_visible()


def test_a_new_call_takes_no_focus(desk, page):
    answered(desk)
    purpose = page.get_by_label("Purpose of the call").first
    purpose.fill("council tax")
    desk.put(call_id="20261125-093100-hgfedcba", line="Housing")
    expect(page.get_by_role("heading", name="Housing")).to_be_visible()
    expect(purpose).to_be_focused()


def test_a_new_call_stands_above_those_whose_note_is_unwritten(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended", caller={"status": "unavailable"})
    expect(page.locator(".lookup")).to_be_hidden()
    desk.put(call_id="20261125-093100-abcdefgi", line="Housing")
    expect(page.locator("article h2")).to_have_text(["Housing", "Council Tax"])


def test_a_closed_wrap_up_stays_closed_until_the_call_comes_back(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended")
    page.get_by_role("button", name="Close this call").click()
    desk.put(recording_link="/api/v1/recordings/x")
    desk.put(call_id="20261125-093100-abcdefgi", line="Housing")
    expect(page.locator("article h2")).to_have_text(["Housing"])
    answered(desk)
    expect(page.locator("article")).to_have_count(2)


def test_the_pop_goes_when_another_has_answered(desk, page):
    desk.put()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    desk.close(CALL)
    expect(page.get_by_text("No call at the moment")).to_be_visible()


def test_one_contact_note_is_written_at_wrap_up(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended", recording_link="x")
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    page.get_by_label("Who is calling").select_option("family")
    page.get_by_label("On whose behalf").fill("Owen Evans")
    page.get_by_label("On what authority").fill("Letter on file")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_have_text("Saved")
    method, path, body = desk.asked[-1]
    assert (method, path) == ("PUT", f"/calls/{CALL}/contact")
    assert body["caller_type"] == "family"
    assert body["authority"] == "Letter on file"


@pytest.mark.parametrize(("status", "text"), [(409, "Check what you"), (503, "did not reach")])
def test_a_note_that_was_not_saved_says_why(desk, page, status, text):
    answered(desk)
    desk.refusing = status
    page.get_by_label("Purpose of the call").fill("Waste")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_contain_text(text)


def test_who_calls_for_another_must_say_for_whom(desk, page):
    answered(desk)
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    page.get_by_label("Who is calling").select_option("representative")
    page.get_by_role("button", name="Save contact note").click()
    assert not [path for _, path, _ in desk.asked if path.endswith("/contact")]


def test_the_page_turns_welsh_and_keeps_what_was_typed(desk, page):
    answered(desk, **found(desk, SIAN))
    page.get_by_label("Notes").fill("diolch")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".recording .word")).to_have_text("RECORDIO")
    expect(page.get_by_label("Nodiadau")).to_have_value("diolch")
    assert page.locator("html").get_attribute("lang") == "cy"
    page.reload()
    expect(page.locator(".recording .word")).to_have_text("RECORDIO")


def test_a_supervisor_sees_every_call_and_which_pause_is_forgotten(desk, browser_page, address):
    desk.me["role"] = "supervisor"
    desk.put(mine=False, state="answered", advisor="owen", recording="recording")
    desk.put(
        call_id="20261125-093100-hgfedcba",
        line="Housing",
        mine=False,
        state="answered",
        advisor="mair",
        recording="paused",
        recording_since=time.time() - 400,
    )
    browser_page.goto(address)
    rows = browser_page.get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("PAUSED")
    expect(rows.nth(2).get_by_text("Forgotten?")).to_be_visible()
    expect(rows.nth(1).get_by_text("Forgotten?")).to_be_hidden()


def test_an_alarm_stays_until_it_is_closed(desk, page):
    answered(desk)
    desk.push("alarm", {"kind": "payment.forgotten", "call_id": CALL, "since": time.time()})
    expect(page.locator(".alarm")).to_contain_text("paused for a long time (Council Tax)")
    page.get_by_role("button", name="Close this alarm").click()
    expect(page.locator(".alarm")).to_have_count(0)


def test_all_of_it_can_be_reached_by_keyboard_alone(desk, page):
    answered(desk, **found(desk, SIAN))
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    for name in ("Pause for card detailsF8", "Checks passed", "Save contact note", "Sign out"):
        assert name in reached


def test_every_target_is_at_least_24_pixels(desk, page):
    answered(desk, **found(desk, SIAN, OWEN))
    expect(page.get_by_role("radio")).to_have_count(2)
    for target in page.locator("button:visible, input:visible, select:visible").all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24


def test_every_visible_text_comes_from_the_locale(desk, browser_page, address):
    desk.pseudo = True
    desk.me["role"] = "supervisor"
    answered(desk, **found(desk, SIAN, OWEN))
    desk.put(state="wrapup", recording="ended", recording_link="x")
    desk.put(call_id="20261125-093100-hgfedcba", caller={"status": "withheld"})
    browser_page.goto(address)
    browser_page.locator(".overview").wait_for()
    browser_page.locator("#link[data-state=live]").wait_for()  # an alarm is in no snapshot
    desk.push("alarm", {"kind": "never.heard.of", "call_id": None, "since": 0})
    browser_page.locator(".alarm").wait_for()
    untranslated = browser_page.evaluate("""() => {
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
            const node = walker.currentNode, text = node.textContent.trim();
            const ours = text.startsWith("⟦") || node.parentElement.closest("[data-raw]");
            if (/\\p{L}/u.test(text) && !ours) found.push(text);
        }
        return found;
    }""")
    assert untranslated == []


def test_the_narrow_page_does_not_scroll_sideways(desk, page):
    answered(desk, **found(desk, SIAN))
    page.set_viewport_size({"width": 320, "height": 800})
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
