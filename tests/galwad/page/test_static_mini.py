"""The small window in which a recording is paused and resumed beside other programs.

The page is in `galwad/page/static/`. Chromium has windows above all others ("picture in picture");
for the browsers that have none, the tests take that away from the page.
"""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from playwright.sync_api import expect

from helpers.examples import long_after
from helpers.page_states import CALL, MAIR, OWEN, SECOND, answer, pause

pytestmark = pytest.mark.peer

PATH = f"/calls/{CALL}/payment"
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(params=long_after(1, ["above all others", "pop-out"]))
def opened(request, desk, browser_page, address):
    """The page and its small window, with a call that is being recorded."""
    if request.param == "pop-out":
        browser_page.add_init_script(
            "Object.defineProperty(window, 'documentPictureInPicture', { value: undefined })"
        )
    answer(desk, MAIR)
    browser_page.goto(address)
    expect(browser_page.locator(".bar .word")).to_have_text("REC")
    with browser_page.context.expect_page() as popup:
        browser_page.get_by_role("button", name="Small window").click()
    mini = popup.value
    mini.locator(".recording").wait_for()
    assert mini.url.endswith("/static/mini.html") == (request.param == "pop-out")
    return browser_page, mini


def asked(desk):
    """The methods of the payment requests so far."""
    return [method for method, path, _ in desk.asked if path == PATH]


def test_the_small_window_shows_the_recording_and_pauses_and_resumes_it(desk, opened):
    page, mini = opened
    expect(mini.locator(".word")).to_have_text("REC")
    expect(mini.locator(".time")).to_have_text(re.compile(r"^[1-9]?\d:\d\d$"))
    mini.get_by_role("button", name="Pause for card details").click()
    expect(mini.locator(".word")).to_have_text("PAUSED")
    expect(page.locator(".bar .word")).to_have_text("PAUSED")
    expect(mini.get_by_role("button", name="Resume recording")).to_be_visible()
    mini.locator("body").press("F8")
    mini.locator("body").press("Shift+F8")
    expect(mini.locator(".word")).to_have_text("REC")
    # A pause while the resume is under way would be asked for twice.
    expect(page.locator(".recording")).not_to_have_attribute("aria-busy", "true")
    mini.locator("body").press("F8")
    expect(mini.locator(".word")).to_have_text("PAUSED")
    assert asked(desk) == ["PUT", "PUT", "DELETE", "PUT"]


def acts(desk):
    """The acts of the phone that were requested so far."""
    return [body["act"] for _, path, body in desk.asked if path == f"/calls/{CALL}/phone"]


@pytest.mark.parametrize(("button", "act"), [("Hold", "hold"), ("Hang up", "hangup")])
def test_a_button_of_the_small_window_acts_on_the_call(desk, opened, button, act):
    page, mini = opened
    expect(mini.get_by_role("button", name=button)).to_be_hidden()
    desk.put(acts={"hold": "", "hangup": ""})
    with page.expect_response("**/phone"):
        mini.get_by_role("button", name=button).click()
    assert acts(desk) == [act]


@pytest.mark.parametrize(("key", "act"), [("F9", "resume"), ("Shift+F9", "hangup")])
def test_a_key_of_the_small_window_acts_on_the_call(desk, opened, key, act):
    page, mini = opened
    desk.put(state="held", acts={"resume": "", "hangup": ""})
    expect(mini.get_by_role("button", name="End hold")).to_have_attribute("aria-keyshortcuts", "F9")
    with page.expect_response("**/phone"):
        mini.locator("body").press(key)
    assert acts(desk) == [act]


def test_an_act_that_the_phone_cannot_do_is_not_possible_in_the_small_window(desk, opened):
    page, mini = opened
    desk.put(acts={"hold": "on_hold", "hangup": ""})
    hold = mini.get_by_role("button", name="Hold")
    expect(hold).to_have_attribute("aria-disabled", "true")
    hold.click(force=True)
    mini.locator("body").press("F9")
    with page.expect_response("**/phone"):
        mini.locator("body").press("Shift+F9")
    assert acts(desk) == ["hangup"]
    desk.put(acts={})
    expect(hold).to_be_hidden()
    expect(mini.get_by_role("button", name="Pause for card details")).to_be_visible()


def test_a_refusal_of_an_act_is_shown_in_the_small_window(desk, opened):
    _, mini = opened
    desk.put(acts={"hold": "", "hangup": ""})
    expect(mini.get_by_role("button", name="Hold")).to_be_visible()
    desk.refusing, desk.reason = 409, "phone_refused"
    mini.get_by_role("button", name="Hold").click()
    expect(mini.get_by_role("alert").get_by_text("did not accept")).to_be_visible()


def test_the_small_window_shows_unknown_without_a_connection(desk, opened):
    _, mini = opened
    desk.cut()
    expect(mini.locator(".word")).to_have_text("UNKNOWN")
    expect(mini.locator(".time")).to_be_empty()
    desk.mend()
    expect(mini.locator(".word")).to_have_text("REC")


def test_the_small_window_follows_the_calls_and_the_language(desk, opened):
    page, mini = opened
    answer(desk, OWEN, call_id=SECOND, line="Housing", state="held")
    expect(mini.get_by_role("heading", level=2)).to_have_text(["Council Tax", "Housing"])
    desk.close(SECOND)
    expect(mini.get_by_role("heading", level=2)).to_have_text(["Council Tax"])
    page.get_by_role("button", name="Cymraeg").click()
    expect(mini.locator(".word")).to_have_text("RECORDIO")
    expect(mini.locator("html")).to_have_attribute("lang", "cy")
    desk.close(CALL)
    expect(mini.get_by_text("Dim galwad")).to_be_visible()


def test_the_small_window_shows_the_warnings_of_the_recording_bar(desk, opened):
    _, mini = opened
    desk.refusing = 503
    mini.get_by_role("button", name="Pause for card details").click()
    expect(mini.get_by_role("alert").get_by_text("NOT confirmed")).to_be_visible()
    pause(desk, 1000)
    expect(mini.get_by_text("Paused for 16:")).to_be_visible()
    expect(mini.get_by_text("NOT confirmed")).to_be_hidden()


def test_the_small_window_has_no_name_or_number_and_closes_with_the_sign_out(desk, opened):
    page, mini = opened
    expect(mini.locator(".word")).to_have_text("REC")
    assert not re.search(f"{MAIR['name']}|01970", mini.content())
    with mini.expect_event("close"):
        page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("User name")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_small_window(desk, opened, scheme):
    _, mini = opened
    mini.emulate_media(color_scheme=scheme)
    desk.put(acts={"hold": "on_hold", "hangup": ""})
    expect(mini.get_by_role("button", name="Hang up")).to_be_visible()
    for state in ("recording", "paused"):
        desk.put(recording=state)
        expect(mini.locator(".recording")).to_have_attribute("data-state", state)
        mini.evaluate(AXE)
        wrong = mini.evaluate(
            "async (rules) => (await axe.run({ runOnly: rules })).violations.map((one) => one.id)",
            RULES,
        )
        assert wrong == []
