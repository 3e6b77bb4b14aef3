"""The presence control in the header, and the supervisor's table of advisors.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time
from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
OWN = ".presence .status strong"


@pytest.fixture
def mine(desk):
    """Sian is available since a minute."""
    desk.be("sian", since=time.time() - 60)


@pytest.fixture
def supervised(desk):
    """The page belongs to mair, a supervisor, who sees four advisors."""
    desk.me = {**desk.me, "user": "mair", "role": "supervisor", "extension": None}
    now = time.time()
    desk.be("eleri", extension="204", since=now - 60, devices=2, page=False)
    desk.be("gwen", extension="203", state="offline", since=now - 90, devices=0, page=False)
    desk.be("huw", extension="202", state="on_call", since=now - 30, line="Council Tax")
    desk.be("sian", state="break", since=now - 9000, on_break=True, reason="lunch", devices=0)


def asked(desk):
    return [each for each in desk.asked if each[1].startswith("/presence")]


def row(page, user):
    return page.locator(".advisors tbody tr").filter(has=page.locator(f"#advisor-{user}"))


def violations(page):
    page.evaluate(AXE)
    return page.evaluate("axe.run().then((found) => found.violations.map((each) => each.id))")


@pytest.mark.usefixtures("mine")
def test_a_break_is_begun_and_ended_by_keyboard_and_the_control_keeps_focus(desk, page, said):
    expect(page.locator(OWN)).to_have_text("Available")
    page.get_by_role("button", name="Take a break").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Short break")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(OWN)).to_have_text("On a break")
    expect(page.locator(".presence")).to_contain_text("Lunch")
    back = page.locator(".presence").get_by_role("button", name="Available")
    expect(back).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(OWN)).to_have_text("Available")
    expect(page.get_by_role("button", name="Take a break")).to_be_focused()
    assert asked(desk) == [
        ("PUT", "/presence", {"state": "break", "reason": "lunch"}),
        ("PUT", "/presence", {"state": "available", "reason": ""}),
    ]
    expect(page.locator("#status p").last).to_have_text("You are available.")
    assert [text for _, text in said()] == ["You are on a break: Lunch", "You are available."]


def test_the_page_says_no_phone_while_the_users_phone_is_not_registered(desk, page):
    desk.be("sian", state="no_phone", devices=0)
    expect(page.locator(OWN)).to_have_text("No phone")
    expect(page.locator(".presence")).to_contain_text("your phone is not registered")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(OWN)).to_have_text("Dim ffôn")
    desk.be("sian", state="available", devices=1)
    expect(page.locator(".presence").get_by_text("Ni all yr un alwad ganu")).to_be_hidden()


@pytest.mark.usefixtures("mine")
def test_escape_closes_the_reasons_and_nothing_is_sent(desk, page):
    page.get_by_role("button", name="Take a break").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Take a break")).to_be_focused()
    expect(page.get_by_role("button", name="Lunch")).to_be_hidden()
    assert asked(desk) == []


@pytest.mark.usefixtures("mine")
def test_the_reasons_close_when_the_focus_leaves_them(page):
    page.get_by_role("button", name="Take a break").click()
    page.get_by_role("button", name="Lunch").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="English")).to_be_focused()
    expect(page.get_by_role("button", name="Lunch")).to_be_hidden()


def test_without_reasons_in_the_settings_one_press_begins_a_break(desk, browser_page, address):
    desk.break_reasons = []
    desk.be("sian")
    browser_page.goto(address)
    browser_page.get_by_role("button", name="Take a break").click()
    expect(browser_page.locator(OWN)).to_have_text("On a break")
    assert asked(desk) == [("PUT", "/presence", {"state": "break", "reason": ""})]


@pytest.mark.usefixtures("mine")
def test_a_break_that_a_supervisor_has_set_is_announced_once_with_the_supervisors_name(
    desk, page, said
):
    expect(page.locator(OWN)).to_have_text("Available")
    desk.be("sian", state="break", on_break=True, reason="lunch", set_by="mair")
    expect(page.locator(OWN)).to_have_text("On a break")
    desk.be("sian", devices=2)
    desk.be("sian", state="available", on_break=False, reason="", set_by="")
    expect(page.locator(OWN)).to_have_text("Available")
    expect(page.locator("#status p").last).to_have_text("You are available.")
    assert [text for _, text in said()] == [
        "mair has set you on a break: Lunch",
        "You are available.",
    ]


@pytest.mark.usefixtures("mine")
def test_a_break_during_a_call_is_shown_to_begin_after_the_call(desk, page):
    desk.be("sian", state="on_call", on_break=True, reason="lunch")
    expect(page.locator(OWN)).to_have_text("On a call")
    expect(page.get_by_text("A break begins after this call")).to_be_visible()


@pytest.mark.usefixtures("mine")
def test_a_wrap_up_can_be_ended_early(desk, page):
    desk.be("sian", state="wrap_up")
    expect(page.locator(OWN)).to_have_text("Wrap-up")
    page.locator(".presence").get_by_role("button", name="Available").click()
    expect(page.locator(OWN)).to_have_text("Available")


@pytest.mark.usefixtures("mine")
def test_the_users_own_state_is_unknown_while_the_connection_is_lost(desk, page):
    desk.cut()
    expect(page.locator(OWN)).to_have_text("Unknown")
    expect(page.locator(".presence .time")).to_have_text("")
    desk.mend()
    expect(page.locator(OWN)).to_have_text("Available")


def test_a_long_break_shows_one_reminder_that_can_end_the_break(desk, page):
    desk.be("sian", state="break", on_break=True, reason="lunch", since=time.time() - 3700)
    reminder = page.get_by_role("region", name="Reminder of your break")
    expect(reminder).to_contain_text(re.compile(r"on a break for 1:01:\d\d\. Are you back\?"))
    expect(page.locator("#urgent p")).to_have_count(1)
    desk.be("sian", devices=2)
    expect(page.locator("#urgent p")).to_have_count(1)
    reminder.get_by_role("button", name="Available").click()
    expect(reminder).to_be_hidden()
    expect(page.get_by_role("button", name="Take a break")).to_be_focused()


@pytest.mark.usefixtures("mine")
def test_a_break_that_the_desk_refuses_is_reported(desk, page, monkeypatch):
    monkeypatch.setattr(desk, "answer", lambda *_: (503, {"error": "no"}))
    page.get_by_role("button", name="Take a break").click()
    page.get_by_role("button", name="Lunch").click()
    expect(page.locator(".presence .problem")).to_be_visible()
    expect(page.locator(OWN)).to_have_text("Available")


def test_a_user_who_takes_no_calls_has_no_control_for_breaks(page):
    expect(page.locator(".presence")).to_be_hidden()


@pytest.mark.usefixtures("supervised")
def test_the_table_shows_advisors_on_a_break_first_and_phones_that_are_not_registered(page):
    names = page.locator(".advisors tbody th")
    expect(names).to_have_text(["sian", "huw", "eleri", "gwen"])
    expect(row(page, "sian")).to_contain_text(re.compile(r"On a break2:30:\d\dForgotten\?Lunch"))
    expect(row(page, "sian")).to_contain_text("Not registered")
    expect(row(page, "huw")).to_contain_text(re.compile(r"202On a call0:\d\d.*Council Tax"))
    expect(row(page, "eleri")).to_contain_text("Registered, 2 devicesNo page open")
    expect(page.locator(".advisors > .note")).to_have_text(
        "1 available, 1 on a call, 0 in wrap-up, 1 on a break, 0 without a phone, 1 offline"
    )


@pytest.mark.usefixtures("supervised")
def test_a_supervisor_sets_advisors_available_and_on_a_break(desk, page, said):
    row(page, "sian").get_by_role("button", name="Set available").click()
    expect(row(page, "sian")).to_contain_text("Available")
    row(page, "eleri").get_by_role("button", name="Set on a break").focus()
    page.keyboard.press("Enter")
    choice = row(page, "eleri").get_by_label("Reason for the break")
    expect(choice).to_be_focused()
    choice.select_option("lunch")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(row(page, "eleri").get_by_role("button", name="Set available")).to_be_focused()
    assert asked(desk) == [
        ("PUT", "/presence/sian", {"state": "available", "reason": ""}),
        ("PUT", "/presence/eleri", {"state": "break", "reason": "lunch"}),
    ]
    expect(page.locator("#status p").last).to_have_text("eleri is on a break now.")
    assert [text for _, text in said()] == ["sian is available now.", "eleri is on a break now."]


@pytest.mark.usefixtures("supervised")
def test_no_row_moves_while_the_focus_is_in_the_table(desk, page):
    button = row(page, "gwen").get_by_role("button", name="Set on a break")
    button.focus()
    desk.be("gwen", state="available", devices=1, since=1.0)
    expect(row(page, "gwen")).to_contain_text("Available")
    expect(button).to_be_focused()
    expect(page.locator(".advisors tbody th").last).to_have_text("gwen")
    page.locator("#sign-out").focus()
    expect(page.locator(".advisors tbody th")).to_have_text(["sian", "huw", "gwen", "eleri"])


@pytest.mark.usefixtures("supervised")
def test_states_and_phones_are_unknown_without_a_switch_and_removed_users_disappear(desk, page):
    desk.push("alarm", {"kind": "switch.lost", "call_id": None, "since": time.time()})
    expect(row(page, "huw")).to_contain_text("Unknown")
    expect(row(page, "huw")).to_contain_text("Not known")
    desk.push("alarm", {"kind": "switch.connected", "call_id": None, "since": time.time()})
    expect(row(page, "huw")).to_contain_text("On a call")
    desk.push("presence", {"advisors": [], "gone": ["huw"]})
    expect(row(page, "huw")).to_have_count(0)


@pytest.mark.usefixtures("supervised")
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("light", 320),
        ("dark", 1100),
        pytest.param("light", 1100, marks=pytest.mark.long),
        pytest.param("dark", 320, marks=pytest.mark.long),
    ],
)
def test_the_table_of_advisors_and_the_break_control_have_no_accessibility_violations(
    desk, page, scheme, width
):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    desk.be("mair", extension="200")
    page.get_by_role("button", name="Take a break").click()
    assert violations(page) == []
    page.get_by_role("button", name="Lunch").click()
    expect(page.locator(OWN)).to_have_text("On a break")
    row(page, "eleri").get_by_role("button", name="Set on a break").click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
