"""The page in a real browser, against a scripted desk.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from callerid.person import Person, RecordPage

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
WATCH_LINK = """() => {
    window.states = [];
    const link = document.getElementById("link");
    const note = () => window.states.push(link.dataset.state);
    new MutationObserver(note).observe(link, { attributes: true });
}"""
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


def test_a_wrong_password_is_reported_and_the_right_one_signs_in(desk, browser_page, address):
    desk.signed_in = False
    browser_page.goto(address)
    browser_page.get_by_label("User name").fill("sian")
    browser_page.get_by_label("Password").fill("wrong")
    browser_page.keyboard.press("Enter")
    expect(browser_page.get_by_role("alert").get_by_text("not right")).to_be_visible()
    browser_page.get_by_label("Password").fill("correct horse battery")
    browser_page.keyboard.press("Enter")
    expect(browser_page.get_by_text("No call at the moment")).to_be_visible()


def test_a_ringing_call_appears_at_once_and_shows_the_person_after_the_lookup(desk, page):
    desk.put()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    expect(page.locator(".lookup")).to_have_text("Looking up the number…")
    desk.put(**found(desk, SIAN))
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    expect(page.get_by_text("Prefers Welsh")).to_be_visible()
    expect(page.locator("#status p").last).to_have_text("Caller may be Mair Evans")


def test_each_reason_for_a_missing_name_has_its_own_text(desk, page):
    texts = {
        "not_found": "Not in the directory. Ask who is calling.",
        "withheld": "Number withheld. It has not been looked up.",
        "unavailable": "The directory cannot be reached. Ask who is calling.",
        "busy": "The directory is busy. Ask who is calling.",
    }
    for status, text in texts.items():
        desk.put(caller={"status": status})
        expect(page.locator(".lookup")).to_have_text(text)


def answers(**states):
    return [{"name": name, "answer": answer} for name, answer in states.items()]


def test_the_directories_that_have_not_answered_are_named(desk, page):
    desk.put(caller={"directories": answers(ours="found", crm="asking")})
    rows = page.locator(".directories li")
    expect(page.locator(".directories")).to_be_hidden()  # the whole lookup still runs
    desk.put(**found(desk, SIAN))
    expect(rows).to_have_text(["crm has not answered yet."])
    desk.put(caller={"directories": answers(ours="found", crm="unavailable", ldap="busy")})
    expect(rows).to_have_text(["crm cannot be reached.", "ldap is busy."])
    desk.put(caller={"directories": answers(ours="found", crm="not_found", ldap="found")})
    expect(page.locator(".directories")).to_be_hidden()


def links(**urls):
    return {"pages": [{"directory": name, "url": url} for name, url in urls.items()]}


def test_the_record_of_the_caller_opens_in_a_new_tab_in_each_directory_that_has_one(desk, page):
    pop = answered(desk, **found(desk, SIAN))
    expect(page.locator(".pages")).to_be_hidden()
    urls = {"crm": "https://crm.example/contact/7", "rt": "https://rt.example/?id=elin"}
    desk.put(caller={**pop["caller"], "confirmed": True, **links(**urls)})
    for name, url in urls.items():
        link = page.get_by_role("link", name=f"Open in {name} (new tab)")
        expect(link).to_have_attribute("href", url)
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        expect(link).to_have_attribute("target", "_blank")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.get_by_role("link", name="Agor yn crm (tab newydd)")).to_be_visible()
    desk.put(caller={"pages": []})
    expect(page.locator(".pages")).to_be_hidden()


HOSTILE_IDS = [
    *("../admin", "..\\admin", "//evil.example", "javascript:alert(1)", "%2e%2e", "a?b=c&d#e"),
    *("\"'><img src=x onerror=alert(1)>", "@evil.example", "a\tb\nc", "\u202e", "x" * 200),
]


@pytest.mark.parametrize("template", ["/contact/{id}/view", "/contact?id={id}&x=1", "/#/c/{id}"])
def test_a_hostile_record_id_stays_one_part_of_the_address(desk, page, template):
    record_page = RecordPage("crm", f"https://crm.example{template}")
    before, after = template.split("{id}")
    answered(desk, **found(desk, SIAN))
    link = page.get_by_role("link", name="Open in crm (new tab)")
    for number, record_id in enumerate(HOSTILE_IDS):
        url = record_page.url_for(Person(f"crm:{record_id}", "Mair"))
        desk.put(caller=links(crm=url), line=f"Line {number}")
        expect(page.locator(".line-name")).to_have_text(f"Line {number}")  # drawn with the link
        origin, seen = link.evaluate(
            "({href}) => { const u = new URL(href); return [u.origin, u.href]; }"
        )
        assert origin == "https://crm.example", record_id
        assert seen.startswith(f"https://crm.example{before}"), record_id
        assert seen.endswith(after), record_id
        middle = seen.removeprefix(f"https://crm.example{before}").removesuffix(after)
        assert unquote(middle) == record_id


def test_a_late_answer_keeps_the_person_whom_the_advisor_is_choosing(desk, page):
    answered(desk, **found(desk, SIAN, OWEN))
    page.get_by_role("radio", name=OWEN["name"]).check()
    third = {**SIAN, "person_id": "crm:3", "name": "Third Person"}
    desk.put(**found(desk, SIAN, OWEN, third))
    expect(page.get_by_role("radio")).to_have_count(3)
    expect(page.get_by_role("radio", name=OWEN["name"])).to_be_checked()
    expect(page.get_by_role("button", name="Checks passed")).to_be_enabled()


def test_a_person_who_was_shown_first_is_not_preselected_when_a_second_person_is_found(desk, page):
    answered(desk, **found(desk, SIAN))
    expect(page.get_by_role("button", name="Checks passed")).to_be_enabled()
    desk.put(**found(desk, SIAN, OWEN))
    expect(page.get_by_role("radio")).to_have_count(2)
    assert page.get_by_role("radio", checked=True).count() == 0
    expect(page.get_by_role("button", name="Checks passed")).to_be_disabled()


def test_none_of_several_people_is_preselected(desk, page):
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


def test_a_selected_person_stays_selected_when_the_call_changes(desk, page):
    answered(desk, **found(desk, SIAN, OWEN))
    page.get_by_role("radio", name=re.compile("Owen")).check()
    desk.put(recording="paused", recording_since=time.time())
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.get_by_role("radio", name=re.compile("Owen"))).to_be_checked()


def test_details_are_shown_only_after_the_confirmation(desk, page):
    desk.put(**found(desk, SIAN))
    expect(page.get_by_role("button", name="Checks passed")).to_be_hidden()
    answered(desk)
    expect(page.locator(".details")).to_be_hidden()
    page.get_by_role("button", name="Caller gave their details first").click()
    expect(page.locator(".details")).to_contain_text("LL00 0XX")
    expect(page.get_by_role("button", name="Checks passed")).to_be_hidden()


def test_a_new_caller_hides_the_details_and_shows_a_warning(desk, page):
    answered(desk, **found(desk, SIAN))
    page.get_by_role("button", name="Caller gave their details first").click()
    expect(page.locator(".details")).to_contain_text("LL00 0XX")
    expect(page.locator(".caller .changed")).to_be_hidden()
    looking = {"status": "looking_up", "chosen": None, "confirmed": False, "position": 2}
    desk.put(caller={**looking, "candidates": [], "details": {}})
    expect(page.locator(".details")).to_be_hidden()
    expect(page.locator(".caller .changed")).to_contain_text("A new caller")
    expect(page.locator("#urgent p").last).to_contain_text("A new caller")
    desk.put(**found(desk, OWEN))
    page.get_by_role("button", name="Checks passed").click()
    expect(page.locator(".caller .changed")).to_be_hidden()


def test_a_rejected_identity_is_noted_without_showing_details(desk, page):
    answered(desk, **found(desk, SIAN))
    page.get_by_role("button", name="Not who we thought").click()
    expect(page.locator(".question")).to_contain_text("Noted: not who we thought")
    expect(page.locator(".details")).to_be_hidden()


def test_each_recording_state_has_its_word(desk, page):
    answered(desk)
    for state, word in STATES.items():
        desk.put(recording=state)
        expect(page.locator(f".recording[data-state={state}] .word")).to_have_text(word)


def test_recording_states_differ_in_shape_and_not_only_in_colour(desk, page):
    answered(desk)
    looks = {}
    script = """node => { const s = getComputedStyle(node);
        return [s.borderRadius, s.borderTopWidth, s.borderLeftWidth, s.clipPath].join() }"""
    for state in ("recording", "paused", "ceased", "fault"):
        desk.put(recording=state)
        expect(page.locator(".recording")).to_have_attribute("data-state", state)
        looks[state] = page.locator(".recording .shape").evaluate(script)
    assert len(set(looks.values())) == len(looks)


def test_f8_pauses_while_a_note_is_typed_and_keeps_the_focus(desk, page):
    answered(desk)
    note = page.get_by_label("Notes")
    note.fill("wants to pay")
    page.keyboard.press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(note).to_be_focused()
    expect(note).to_have_value("wants to pay")


def test_a_refused_pause_raises_an_alert_at_once(desk, page):
    answered(desk)
    desk.refusing = 503
    page.get_by_role("button", name="Pause for card details").click()
    expect(page.get_by_role("alert").get_by_text("NOT confirmed")).to_be_visible()
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_a_resume_while_somebody_else_holds_the_pause_shows_why_the_recording_stays_paused(
    desk, page
):
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


def test_the_confirmation_question_disappears_when_the_call_ends(desk, page):
    answered(desk, **found(desk, SIAN))
    expect(page.get_by_text("Ask the caller to confirm")).to_be_visible()
    desk.put(state="wrapup", recording="ended")
    expect(page.get_by_text("Ask the caller to confirm")).to_be_hidden()


def test_a_refused_confirmation_says_that_nothing_was_noted(desk, page):
    answered(desk, **found(desk, SIAN))
    desk.refusing, desk.reason = 409, "not_talking"
    page.get_by_role("button", name="Checks passed").click()
    expect(page.get_by_role("alert").get_by_text("Not noted")).to_be_visible()
    expect(page.locator(".details")).to_be_hidden()


def test_a_pause_that_is_not_durable_shows_a_warning(desk, page):
    answered(desk)
    desk.put(recording="paused", recording_since=time.time(), durable=False)
    expect(page.locator(".recording .warning").first).to_contain_text("disk has not confirmed")


def test_a_forgotten_pause_shows_a_warning_with_its_length(desk, page):
    answered(desk)
    desk.put(recording="paused", recording_since=time.time() - 200)
    expect(page.locator(".recording .warning:visible")).to_contain_text("Paused for 3:2")


def test_a_pause_that_does_not_reach_the_desk_shows_at_once_that_the_connection_is_lost(desk, page):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.context.set_offline(True)
    page.keyboard.press("F8")
    expect(page.locator(".recording .word")).to_have_text("UNKNOWN", timeout=4_000)
    expect(page.locator("#link")).to_have_text("Connection lost")
    expect(page.get_by_role("alert").get_by_text("NOT confirmed")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_a_desk_that_is_silent_for_five_seconds_is_taken_for_lost(desk, open_timeless):
    page = open_timeless()
    answered(desk)
    word = page.locator(".recording .word")
    expect(word).to_have_text("REC")
    desk.fall_silent()
    page.wait_for_timeout(300)
    page.clock.run_for(4_900)
    before = word.text_content()
    page.clock.run_for(200)
    expect(word).to_have_text("UNKNOWN")
    assert before == "REC"
    desk.speak()


def test_comments_in_the_desks_stream_keep_the_connection_alive(desk, page):
    answered(desk)
    page.evaluate(WATCH_LINK)
    page.wait_for_timeout(8_000)
    assert page.evaluate("window.states") == []


def test_a_lost_connection_shows_the_recording_as_unknown(desk, page):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    desk.cut()
    expect(page.locator("#lost")).to_contain_text("Connection lost")
    expect(page.locator(".recording .word")).to_have_text("UNKNOWN")
    desk.calls[CALL]["recording"] = "paused"
    desk.mend()
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.locator("#lost")).to_be_hidden()


def test_a_lost_switch_shows_the_recording_as_unknown(desk, page):
    answered(desk)
    desk.push_alarm("switch.lost")
    expect(page.locator(".recording .word")).to_have_text("UNKNOWN")
    desk.push_alarm("switch.connected")
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_an_ended_session_asks_for_a_new_sign_in(desk, page):
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_text("Your session has ended")).to_be_visible()


def test_a_new_call_does_not_take_the_focus(desk, page):
    answered(desk)
    purpose = page.get_by_label("Purpose of the call").first
    purpose.fill("council tax")
    desk.put(call_id="20261125-093100-hgfedcba", line="Housing")
    expect(page.get_by_role("button", name=re.compile("^Ringing .*Housing"))).to_be_visible()
    expect(purpose).to_be_focused()


def test_a_new_call_is_shown_in_place_of_a_call_with_an_unwritten_note(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended", caller={"status": "unavailable"})
    expect(page.locator(".lookup")).to_be_hidden()
    desk.put(call_id="20261125-093100-abcdefgi", line="Housing")
    expect(page.get_by_role("heading", name="Housing")).to_be_visible()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_hidden()


def test_a_call_is_closed_without_a_note_only_with_a_reason(desk, page):
    answered(desk)
    expect(page.get_by_role("button", name="Close this call")).to_be_hidden()
    desk.put(state="wrapup", recording="ended")
    page.get_by_role("button", name="Close this call").click()
    expect(page.get_by_label("Why does this call need no note?")).to_be_focused()
    page.get_by_role("button", name="Close without a note").click()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    assert [asked for asked in desk.asked if asked[0] == "PUT"] == []
    page.get_by_label("Why does this call need no note?").select_option("Wrong number")
    page.get_by_role("button", name="Close without a note").click()
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    assert desk.asked[-1] == (
        "PUT",
        f"/calls/{CALL}/contact/not-needed",
        {"reason": "wrong_number"},
    )


def test_closing_a_call_with_an_unsaved_note_warns_and_going_back_keeps_the_note(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended")
    close = page.get_by_role("button", name="Close this call")
    close.click()
    expect(page.get_by_text("You have written a note that is not saved")).to_be_hidden()
    page.get_by_role("button", name="Go back").click()
    expect(close).to_be_focused()
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    close.click()
    expect(page.get_by_text("You have written a note that is not saved")).to_be_visible()
    page.get_by_role("button", name="Go back").click()
    expect(page.get_by_label("Purpose of the call")).to_have_value("Council tax bill")
    page.get_by_role("button", name="Save contact note").click()
    close.click()
    expect(page.get_by_text("You have written a note that is not saved")).to_be_hidden()


def test_a_call_that_could_not_be_closed_stays_with_an_error(desk, page):
    answered(desk)
    desk.put(state="wrapup", recording="ended")
    page.get_by_role("button", name="Close this call").click()
    page.get_by_label("Why does this call need no note?").select_option("Nobody spoke")
    desk.refusing = 503
    page.get_by_role("button", name="Close without a note").click()
    expect(page.locator(".closing").get_by_text("did not reach")).to_be_visible()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()


def test_a_typed_note_is_kept_if_its_call_disappears_and_comes_back(desk, page):
    answered(desk)
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    pop = desk.calls[CALL]
    desk.close(CALL)
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    desk.put(**pop)
    expect(page.get_by_label("Purpose of the call")).to_have_value("Council tax bill")


def test_the_screen_pop_disappears_when_its_call_is_closed(desk, page):
    desk.put()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    desk.close(CALL)
    expect(page.get_by_text("No call at the moment")).to_be_visible()


def test_the_contact_note_is_saved_at_wrap_up(desk, page):
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
def test_a_note_that_was_not_saved_shows_the_reason(desk, page, status, text):
    answered(desk)
    desk.refusing = status
    page.get_by_label("Purpose of the call").fill("Waste")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_contain_text(text)


def test_a_note_with_a_representative_is_not_saved_without_the_person_represented(desk, page):
    answered(desk)
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    page.get_by_label("Who is calling").select_option("representative")
    page.get_by_role("button", name="Save contact note").click()
    assert not [path for _, path, _ in desk.asked if path.endswith("/contact")]


def test_a_change_to_welsh_keeps_the_typed_text_and_survives_a_reload(desk, page):
    answered(desk, **found(desk, SIAN))
    page.get_by_label("Notes").fill("diolch")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".recording .word")).to_have_text("RECORDIO")
    expect(page.get_by_label("Nodiadau")).to_have_value("diolch")
    assert page.locator("html").get_attribute("lang") == "cy"
    page.reload()
    expect(page.locator(".recording .word")).to_have_text("RECORDIO")


def test_a_supervisor_sees_every_call_and_its_forgotten_pause(desk, browser_page, address):
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
    expect(rows.nth(1)).to_contain_text("PAUSED")
    expect(rows.nth(1).get_by_text("Forgotten?")).to_be_visible()
    expect(rows.nth(2).get_by_text("Forgotten?")).to_be_hidden()


def test_the_main_buttons_of_a_call_can_be_reached_by_keyboard(desk, page):
    answered(desk, **found(desk, SIAN))
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    for name in (
        "Pause for card detailsF8",
        "Checks passed",
        "Save contact noteCtrl+Enter",
        "Sign out",
    ):
        assert name in reached


def test_every_button_and_field_of_a_call_is_at_least_24_pixels_wide_and_high(desk, page):
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
    browser_page.locator(".all-calls").wait_for()
    desk.alarm("never.heard.of", detail="no space", taken_by="ceri", state="taken")
    browser_page.locator(".alarm-list > li").wait_for()
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


def test_a_page_320_pixels_wide_does_not_scroll_sideways(desk, page):
    answered(desk, **found(desk, SIAN))
    page.set_viewport_size({"width": 320, "height": 800})
    expect(page.get_by_role("heading", name="Mair Evans")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
