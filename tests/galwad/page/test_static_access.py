"""The page for people who use a screen reader or no mouse, or look away (WCAG 2.2).

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import threading
import time
from importlib.resources import files

import pytest
from playwright.sync_api import expect

from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PATH = f"/calls/{CALL}/payment"


def answered(desk, **more):
    state = {"recording": "recording", "recording_since": time.time(), "extension": "201"}
    return desk.put(**{"state": "answered", "advisor": "sian", **state, **more})


def paused(desk, *holders, **more):
    return answered(desk, recording="paused", holders=list(holders), **more)


def focused(page):
    return page.evaluate("document.activeElement.textContent.trim()")


def test_a_new_call_and_each_recording_change_are_announced_urgently_once(desk, page, said):
    # The page draws once a frame, so each state is awaited before the next event.
    word = page.locator(".recording .word")
    desk.put()
    expect(word).to_have_text("OFF")
    answered(desk)
    expect(word).to_have_text("REC")
    paused(desk, "page:sian")
    expect(word).to_have_text("PAUSED")
    expect(page.locator(".recording .time")).to_have_text(re.compile(r"^0:(0[3-9]|[1-5]\d)$"))
    answered(desk)
    expect(word).to_have_text("REC")
    assert said() == [
        ("urgent", "Incoming call: Council Tax"),
        ("urgent", "Both sides are being recorded."),
        ("urgent", "Nothing is being recorded. You may take card details."),
        ("urgent", "Both sides are being recorded."),
    ]


def test_a_forgotten_pause_is_announced_once_with_its_length(desk, page, said):
    answered(desk)
    paused(desk, "page:sian", recording_since=time.time() - 200)
    later = re.compile(r"Paused for 3:(2[3-9]|[3-5]\d)")
    expect(page.locator(".recording .warning:visible")).to_contain_text(later)
    warnings = [text for _, text in said() if text.startswith("Paused for")]
    assert len(warnings) == 1
    assert re.search(r"Paused for 3:[1-5]\d\.", warnings[0])


def test_the_lookup_result_is_announced_without_interrupting(desk, page, said):
    desk.put()
    expect(page.locator(".lookup")).to_contain_text("Looking up")
    desk.put(caller={"status": "withheld"})
    expect(page.locator(".lookup")).to_contain_text("withheld")
    assert ("status", "Number withheld. It has not been looked up.") in said()


def test_a_change_of_language_repeats_no_announcement(desk, page, said):
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".recording .word")).to_have_text("RECORDIO")
    assert said() == []
    assert page.locator("#urgent p, #status p").count() == 0


def test_a_second_failed_pause_is_announced_again(desk, page):
    answered(desk)
    desk.refusing = 503
    page.get_by_role("button", name="Pause for card details").click()
    told = page.locator(".recording > .more > [role=alert]")
    expect(told).to_contain_text("NOT confirmed")
    told.evaluate("""node => new MutationObserver(() => {
        if (!node.hidden) node.dataset.toldAgain = "";
    }).observe(node, { attributes: true, attributeFilter: ["hidden"] })""")
    page.keyboard.press("F8")
    expect(told).to_have_attribute("data-told-again", "")


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({}, "Ringing: Council Tax | Galwad"),
        ({"state": "answered", "recording": "recording"}, "REC | Council Tax | Galwad"),
        ({"state": "held", "recording": "paused"}, "PAUSED | Council Tax | Galwad"),
        ({"state": "answered", "recording": "fault"}, "FAULT | Council Tax | Galwad"),
        ({"state": "wrapup"}, "Wrap up: finish the note | Council Tax | Galwad"),
    ],
)
def test_the_title_shows_the_state_of_the_call(desk, page, change, title):
    desk.put(**change)
    expect(page).to_have_title(title)


def test_the_title_follows_the_language_and_the_connection(desk, page):
    expect(page).to_have_title("No call at the moment | Galwad")
    answered(desk)
    page.get_by_role("button", name="Cymraeg").click()
    expect(page).to_have_title("RECORDIO | Council Tax | Galwad")
    desk.cut()
    expect(page).to_have_title("ANHYSBYS | Council Tax | Galwad")
    desk.mend()
    page.get_by_role("button", name="Allgofnodi").click()
    expect(page).to_have_title("Mewngofnodi | Galwad")


def test_text_in_another_language_has_its_language_marked(desk, page):
    for language, text in (("en", "English"), ("cy", "Cymraeg"), ("cy", "Galwad")):
        assert (
            page.get_by_text(text, exact=True).evaluate("node => node.closest('[lang]').lang")
            == language
        )


def test_after_a_pause_by_keyboard_the_focus_is_not_on_the_resume_button(desk, page):
    answered(desk)
    page.get_by_role("button", name="Pause for card details").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    expect(page.get_by_role("region", name="Recording")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Resume recording")).to_be_focused()
    assert [method for method, path, _ in desk.asked if path == PATH] == ["PUT"]


def test_a_double_click_pauses_and_does_not_resume(desk, open_timeless):
    page = open_timeless()
    answered(desk)
    page.get_by_role("button", name="Pause for card details").click()
    resume = page.get_by_role("button", name="Resume recording")
    resume.click()
    page.clock.run_for(1_000)
    resume.click()
    expect(page.locator(".recording .word")).to_have_text("REC")
    assert [method for method, path, _ in desk.asked if path == PATH] == ["PUT", "DELETE"]


def test_f8_without_a_call_or_with_the_control_key_is_left_to_the_browser(desk, page):
    page.evaluate("""() => {
        window.left = [];
        addEventListener("keydown", (event) => window.left.push(!event.defaultPrevented));
    }""")
    page.keyboard.press("F8")
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    page.keyboard.press("Control+F8")
    assert page.evaluate("window.left") == [True, True, True]
    assert not [path for _, path, _ in desk.asked if path == PATH]


def test_every_tab_stop_is_visible_and_the_focus_leaves_the_page(desk, page):
    paused(desk, "page:sian", "phone:204")
    desk.alarm("recording.fault", CALL)
    page.locator(".alarm").wait_for()
    page.get_by_role("button", name="Release phone 204…").wait_for()
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(
            page.evaluate("""() => {
                const node = document.activeElement, look = getComputedStyle(node);
                const box = node.getBoundingClientRect();
                const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                return {
                    body: node === document.body,
                    text: node.textContent.trim(),
                    ring: look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2,
                    clear: node.contains(at) || Boolean(at?.contains(node)),
                };
            }""")
        )
        if stops[-1]["body"]:
            break
    assert stops[-1]["body"], "the focus never leaves the page"
    texts = [stop["text"] for stop in stops]
    for name in ("Skip to the calls", "Close this alarm", "Resume recordingShift+F8"):
        assert name in texts
    assert [s["text"] for s in stops[:-1] if not (s["ring"] and s["clear"])] == []


def test_releasing_the_pause_of_another_phone_needs_a_confirmation(desk, page):
    paused(desk, "phone:204")
    expect(page.get_by_role("button", name="Resume recording")).to_be_hidden()
    page.get_by_role("button", name="Release phone 204…").press("Enter")
    question = page.get_by_role("group", name=re.compile("no card details"))
    expect(question).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Release phone 204…")).to_be_focused()
    assert not [path for _, path, _ in desk.asked if path == PATH]
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Yes, release phone 204").press("Enter")
    expect(page.locator(".recording .word")).to_have_text("REC")
    expect(page.get_by_role("region", name="Recording")).to_be_focused()
    assert desk.asked[-1] == ("DELETE", PATH, {"holder": "phone:204"})


def test_an_advisor_sees_a_payment_systems_pause_but_cannot_release_it(desk, page):
    paused(desk, "token:pay")
    expect(page.locator(".recording .holders")).to_contain_text("payment system pay")
    expect(page.locator(".recording .holders")).to_contain_text("A supervisor can release it.")
    expect(page.locator(".recording .holders").get_by_role("button")).to_have_count(0)


def test_a_supervisor_can_release_any_pause_holder_of_any_call(desk, browser_page, address):
    desk.me["role"] = "supervisor"
    paused(desk, "page:owen", "page", "token:pay", mine=False, advisor="owen")
    browser_page.goto(address)
    for name in ("payment system pay", "an advisor's page", "the page of owen"):
        browser_page.get_by_role("button", name=f"Release {name}…").click()
        browser_page.get_by_role("button", name=f"Yes, release {name}").click()
    expect(browser_page.get_by_role("row").nth(1)).to_contain_text("REC")
    assert [body for *_, path, body in desk.asked if path == PATH] == [
        {"holder": "token:pay"},
        {"holder": "page"},
        {"holder": "page:owen"},
    ]


def test_an_advisor_can_resume_their_own_pause_but_not_that_of_another_persons_page(desk, page):
    paused(desk, "page:mair", "page:sian")
    holders = page.locator(".recording .holders")
    expect(holders.locator("[data-holder='page:sian']")).to_contain_text("Resuming the recording")
    expect(holders.locator("[data-holder='page:mair']")).to_contain_text("the page of mair")
    page.keyboard.press("Shift+F8")
    expect(page.get_by_role("alert").get_by_text("somebody else holds it")).to_be_visible()
    expect(holders.locator("li")).to_have_count(1)
    expect(page.get_by_role("button", name="Resume recording")).to_be_hidden()
    expect(holders).to_contain_text("A supervisor can release it.")
    expect(holders.get_by_role("button")).to_have_count(0)
    assert [body for *_, path, body in desk.asked if path == PATH] == [{}]


def test_an_advisor_resumes_from_a_pause_that_an_older_version_began(desk, page):
    paused(desk, "page")
    expect(page.get_by_role("button", name="Resume recording")).to_be_visible()
    expect(page.locator(".recording .holders")).to_be_hidden()
    page.keyboard.press("Shift+F8")
    expect(page.locator(".recording .word")).to_have_text("REC")


def test_a_failed_release_raises_an_alert(desk, page):
    paused(desk, "phone:204")
    page.get_by_role("button", name="Release phone 204…").click()
    desk.refusing = 503
    page.get_by_role("button", name="Yes, release phone 204").click()
    expect(page.get_by_role("alert").get_by_text("It was not released")).to_be_visible()
    expect(page.locator(".recording .word")).to_have_text("PAUSED")


def test_an_unsaved_note_survives_the_end_of_the_session(desk, page):
    answered(desk)
    page.get_by_label("Notes").fill("wants to pay")
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_role("alert").get_by_text("Your session has ended")).to_be_visible()
    expect(page.get_by_label("User name")).to_be_focused()
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Notes")).to_have_value("wants to pay")
    expect(page.locator(".saved")).to_have_text("Not saved yet")


def test_an_unsaved_note_is_not_shown_to_the_next_user(desk, page):
    answered(desk)
    page.get_by_label("Notes").fill("wants to pay")
    wait_until(lambda: desk.drafts, what="the draft")
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    desk.me = {**desk.me, "user": "owen"}
    desk.drafts.clear()  # the desk shows a draft only to its author
    desk.put(draft=None)
    page.get_by_label("User name").fill("owen")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Notes")).to_have_value("")


def test_an_idle_user_is_warned_before_the_session_ends(desk, open_timeless):
    desk.me["idle"] = 4
    page = open_timeless()
    expect(page.get_by_text("You will be signed out within two minutes").first).to_be_visible()
    expect(page.locator("#urgent p").last).to_contain_text("will be signed out")
    before = len(desk.asked)
    page.get_by_role("button", name="Stay signed in").press("Enter")
    expect(page.locator("#session .banner")).to_be_hidden()
    expect(page.locator("#main")).to_be_focused()
    assert ("GET", "/me", {}) in desk.asked[before:]


def test_a_user_in_a_call_gets_no_idle_warning(desk, browser_page, address):
    desk.me["idle"] = 2
    answered(desk)
    browser_page.goto(address)
    expect(browser_page.locator(".call-time")).to_have_text(re.compile(r"^0:(0[5-9]|[1-5]\d)$"))
    expect(browser_page.locator("#session .banner")).to_be_hidden()


def test_the_absolute_end_of_a_session_is_announced_without_an_offer_to_stay_signed_in(
    desk, browser_page, address
):
    desk.me["until"] = time.time() + 100
    browser_page.goto(address)
    expect(browser_page.get_by_text("Your session ends within two minutes").first).to_be_visible()
    expect(browser_page.get_by_role("button", name="Stay signed in")).to_be_hidden()


def test_a_saved_note_is_announced_and_the_focus_moves_to_the_calls_when_its_card_closes(
    desk, page, said
):
    answered(desk)
    page.get_by_label("Purpose of the call").fill("Council tax bill")
    page.get_by_role("button", name="Save contact note").press("Enter")
    expect(page.locator(".saved")).to_have_text("Saved")
    expect(page.locator("#status p").last).to_have_text("Saved")
    assert said()[-1] == ("status", "Saved")
    desk.close(CALL)
    expect(page.locator("#main")).to_be_focused()


def test_there_is_no_animation_with_reduced_motion(desk, page):
    page.emulate_media(reduced_motion="reduce")
    answered(desk, recording="paused", recording_since=time.time() - 200)
    expect(page.locator(".recording.forgotten")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
    answered(desk)
    expect(page.locator(".recording .word")).to_have_text("REC")
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_recording_state_stays_visible_while_a_note_is_written(desk, page):
    page.set_viewport_size({"width": 1000, "height": 640})
    answered(desk)
    page.get_by_role("button", name="Save contact note").focus()
    expect(page.locator(".recording .word")).to_be_in_viewport()


@pytest.mark.parametrize("size", [(320, 256), (320, 800), (640, 512)])
def test_a_page_zoomed_to_400_percent_does_not_scroll_sideways(desk, page, size):
    paused(desk, "page:sian", "phone:204", "token:pay", recording_since=time.time() - 4000)
    page.get_by_role("button", name="Release phone 204…").click()
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_a_pressed_button_and_the_recording_symbol_are_visible_in_forced_colours(desk, page):
    page.emulate_media(forced_colors="active")
    answered(desk)
    ground = "node => getComputedStyle(node).backgroundColor"
    languages = page.locator("[data-language]")
    assert languages.first.evaluate(ground) != languages.last.evaluate(ground)
    disc = page.locator(".recording .shape").evaluate(ground)
    assert disc == page.locator(".recording .bar").evaluate("node => getComputedStyle(node).color")


def found_by_axe(page):
    page.evaluate(AXE)
    return page.evaluate("""async () => {
        const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
        return (await axe.run({ runOnly: rules })).violations.map((one) => one.id);
    }""")


def test_axe_finds_no_violation_during_a_lookup_and_an_ending_session(desk, browser_page, address):
    """These two states pass quickly; tests/peers checks all others."""
    desk.me["until"] = time.time() + 100
    desk.put()
    browser_page.goto(address)
    expect(browser_page.locator(".lookup")).to_have_text("Looking up the number…")
    expect(browser_page.locator("#session .banner")).to_be_visible()
    assert found_by_axe(browser_page) == []


@pytest.mark.parametrize(
    ("state", "forced"),
    [
        ("recording", "active"),
        ("paused", "none"),
        pytest.param("recording", "none", marks=pytest.mark.long),
        pytest.param("paused", "active", marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_violation_while_a_pause_or_resume_is_pending(desk, page, state, forced):
    page.emulate_media(forced_colors=forced)
    (answered if state == "recording" else paused)(desk)
    expect(page.locator(".recording")).to_have_attribute("data-state", state)
    desk.slow = {"PUT": threading.Event(), "DELETE": threading.Event()}
    page.keyboard.press("F8" if state == "recording" else "Shift+F8")
    expect(page.locator(".recording")).to_have_attribute("aria-busy", "true")
    assert found_by_axe(page) == []


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 320),
        ("dark", 1920),
        pytest.param("light", 1920, marks=pytest.mark.long),
        pytest.param("dark", 320, marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_violation_in_the_alarms_and_on_the_wall(desk, page, scheme, width):
    desk.me["role"] = "supervisor"
    desk.put(mine=False, state="ringing", since=time.time() - 60)
    desk.put(call_id="20261125-093100-hgfedcba", mine=False, state="held", advisor="owen")
    desk.alarm("recording.fault", CALL, detail="no space left", taken_by="ceri", state="taken")
    desk.alarm("media.refused", CALL)
    desk.alarm("recording.undecoded")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.reload()
    page.locator(".alarm-list > li").nth(2).wait_for()
    page.get_by_role("button", name="Close…").first.click()
    page.get_by_text("Closed today").click()
    expect(page.locator(".alarm-past li")).to_have_count(1)
    assert found_by_axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Show on a wall screen").click()
    expect(page.get_by_role("button")).to_have_count(0)
    assert found_by_axe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_list_of_a_persons_own_tokens(desk, page, scheme):
    page.emulate_media(color_scheme=scheme)
    desk.answer("POST", "/me/tokens", {"name": "desktop"})
    page.get_by_role("button", name="Global key").click()
    box = page.locator("#own-tokens")
    box.get_by_role("textbox").first.fill("laptop")
    box.get_by_role("button", name="Make a token").click()
    expect(box.get_by_label("Copy this token now")).to_be_visible()
    box.get_by_role("button", name="Revoke…").first.click()
    assert found_by_axe(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_advisors_day(desk, page, scheme):
    page.emulate_media(color_scheme=scheme)
    call = {
        "call_id": CALL,
        "started": time.time(),
        "line": "Council Tax",
        "number": "+441632960001",
    }
    call |= {"number_display": "01632 960001", "withheld": False}
    desk.today = {
        "since": 0,
        "missed": [{**call, "waited": 9, "outcome": "missed"}],
        "calls": [{**call, "outgoing": False, "length": 9, "purpose": "Bins", "note": "missing"}],
        "transfers": [{**call, "at": 0, "destination": "department", "result": "returned"}],
        "cut": True,
    }
    desk.push("day", {})
    expect(page.get_by_text("Note missing")).to_be_visible()
    assert found_by_axe(page) == []
