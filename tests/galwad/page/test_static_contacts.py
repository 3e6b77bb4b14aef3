"""The purposes of contact notes, and the administrator's list of notes that were not delivered.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from helpers.page_states import MAIR, OWEN, answer

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
TITLE = "Contact notes that were not delivered"
PURPOSES = [
    {"en": "Missed collection", "cy": "Casgliad a fethwyd"},
    {"en": "Bulky waste", "cy": "Gwastraff swmpus"},
]
NOTE = {
    "call_id": CALL,
    "version": 1,
    "state": "refused",
    "saved": 1_795_599_000.0,
    "line": "Waste",
    "advisor": "sian",
    "attempts": 1,
    "reason": "the server refuses it (422)",
}
WAITING = {**NOTE, "call_id": "20261125-093100-abcdefgh", "state": "waiting", "attempts": 3}


def wrap_up(desk):
    desk.put(state="wrapup", advisor="sian", recording="ended", recording_since=time.time())


def saved(desk):
    return [body for method, path, body in desk.asked if path == f"/calls/{CALL}/contact"]


@pytest.fixture
def listed(desk):
    """The scripted desk, with a list of purposes and no others."""
    desk.purposes, desk.free_text = PURPOSES, False
    return desk


@pytest.fixture
def administrator(desk):
    """The scripted desk, signed in as an administrator, with two undelivered notes."""
    desk.me = {**desk.me, "user": "gwen", "role": "admin", "extension": None}
    desk.undelivered = [NOTE, WAITING]
    return desk


def spoken(page):
    """The field for the language of the call, in a note that is shown."""
    return page.get_by_label("Language of the call").or_(page.get_by_label("Iaith yr alwad"))


def test_the_language_of_the_call_is_preset_from_the_caller_not_from_the_page(desk, page):
    answer(desk, MAIR)
    expect(spoken(page)).to_have_value("cy")
    page.get_by_role("button", name="Cymraeg").click()
    answer(desk, {**OWEN, "shared_warning": False})
    expect(spoken(page)).to_have_value("en")
    answer(desk, {**OWEN, "language": ""})
    expect(spoken(page)).to_have_value("cy")


def test_the_language_of_several_callers_is_preset_when_one_of_them_is_confirmed(desk, page):
    answer(desk, MAIR, OWEN)
    expect(spoken(page)).to_have_value("en")
    page.get_by_label("Notes").fill("bin")
    page.get_by_role("radio", name=MAIR["name"]).check()
    page.get_by_role("button", name="Checks passed").click()
    expect(spoken(page)).to_have_value("cy")
    page.get_by_label("Purpose of the call").fill("Bin")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_have_text("Saved")
    assert [each["language"] for each in saved(desk)] == ["cy"]


def test_a_language_of_the_call_that_the_advisor_has_chosen_stays(desk, page):
    answer(desk, MAIR)
    spoken(page).select_option("en")
    answer(desk, MAIR, caller={"confirmed": True, "outcome": "confirmed"})
    expect(page.locator(".confirm")).to_be_hidden()
    expect(spoken(page)).to_have_value("en")


@pytest.mark.usefixtures("listed")
def test_the_purposes_are_suggested_in_the_language_of_the_page(desk, page):
    wrap_up(desk)
    purpose = page.get_by_label("Purpose of the call")
    purpose.focus()
    options = page.locator("form.contact datalist option")
    assert options.evaluate_all("all => all.map((each) => each.value)") == [
        "Missed collection",
        "Bulky waste",
    ]
    page.get_by_role("button", name="Cymraeg").click()
    page.get_by_label("Diben yr alwad").focus()
    assert options.evaluate_all("all => all.map((each) => each.value)") == [
        "Casgliad a fethwyd",
        "Gwastraff swmpus",
    ]


@pytest.mark.usefixtures("listed")
def test_a_purpose_that_is_not_listed_is_not_sent(desk, page):
    wrap_up(desk)
    page.get_by_label("Purpose of the call").fill("Something else")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_have_text("Not saved. Choose a purpose from the list.")
    expect(page.get_by_label("Purpose of the call")).to_be_focused()
    assert saved(desk) == []
    page.get_by_label("Purpose of the call").fill("Gwastraff swmpus")
    page.get_by_role("button", name="Save contact note").click()
    expect(page.locator(".saved")).to_have_text("Saved")
    assert [body["purpose"] for body in saved(desk)] == ["Gwastraff swmpus"]


def test_an_administrator_sees_the_notes_that_were_not_delivered(administrator, page):
    rows = page.locator("section", has_text=TITLE).locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("the server refuses it (422)")
    expect(rows.last).to_contain_text("waits, 3 attempts")
    rows.first.get_by_role("button", name="Deliver again").click()
    expect(rows).to_have_count(1)
    assert ("POST", f"/contacts/{CALL}/retry", {}) in administrator.asked


def test_a_note_is_discarded_only_with_a_reason(administrator, page):
    row = page.locator("tr", has_text=CALL)
    row.get_by_role("button", name="Discard…").click()
    row.get_by_role("button", name="Discard", exact=True).click()
    assert not [path for _, path, _ in administrator.asked if path.endswith("/discard")]
    row.get_by_label("Why it is not needed").fill("a test call")
    row.get_by_role("button", name="Discard", exact=True).click()
    expect(row).to_have_count(0)
    assert ("POST", f"/contacts/{CALL}/discard", {"reason": "a test call"}) in administrator.asked
    expect(page.get_by_role("heading", name=TITLE)).to_be_focused()


def test_a_refused_note_appears_with_its_alarm(administrator, page):
    expect(page.locator("tr", has_text=CALL)).to_be_visible()
    later = {**NOTE, "call_id": "20261125-093200-abcdefgh"}
    administrator.undelivered = [later]
    administrator.alarm("note.refused", later["call_id"])
    expect(page.locator("tr", has_text="20261125-093200-abcdefgh")).to_be_visible()
    expect(page.locator(".alarm-list")).to_contain_text("The CRM does not accept a contact note.")


def test_only_20_undelivered_notes_are_listed_and_the_rest_are_counted(
    administrator, browser_page, address
):
    administrator.undelivered = [
        {**WAITING, "call_id": f"20261125-10{number:04}-abcdefgh"} for number in range(50)
    ]
    browser_page.goto(address)
    expect(browser_page.locator("section", has_text=TITLE).locator("tbody tr")).to_have_count(20)
    expect(browser_page.get_by_text("30 more")).to_be_visible()


def test_a_supervisor_has_no_list_of_undelivered_notes(desk, browser_page, address):
    desk.me = {**desk.me, "role": "supervisor"}
    desk.undelivered = [NOTE]
    browser_page.goto(address)
    expect(browser_page.get_by_role("heading", name="All calls")).to_be_visible()
    assert not [path for _, path, _ in desk.read if path == "/contacts/undelivered"]
