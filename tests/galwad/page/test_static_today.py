"""The box with the advisor's calls of today.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from playwright.sync_api import expect

HOSTILE = "<img src=x onerror=alert(1)> \u202e evil " + "x" * 5000


def a_call(index=1, **more):
    return {
        "call_id": f"20261125-093000-{index:08}",
        "started": time.time() - index * 60,
        "line": "Council Tax",
        "outgoing": False,
        "number": "+441632960001",
        "number_display": "01632 960001",
        "withheld": False,
        "length": 272.0,
        "purpose": "Missed collection",
        "note": "saved",
        **more,
    }


def a_missed_call(index=1, **more):
    fields = {name: value for name, value in a_call(index).items() if name not in NOT_MISSED}
    return {**fields, "waited": 31.0, "outcome": "missed", **more}


NOT_MISSED = {"outgoing", "length", "purpose", "note"}


def a_transfer(**more):
    call = a_call()
    fields = {name: call[name] for name in ("call_id", "line")}
    return {**fields, "at": time.time(), "destination": "department", "result": "returned", **more}


def show(desk, **lists):
    desk.today = {**desk.today, **lists}
    desk.push("day", {})


def test_an_empty_day_says_that_there_are_no_calls_yet(page):
    box = page.locator(".today")
    expect(box.get_by_text("No calls yet today.")).to_be_visible()
    expect(box.get_by_role("list")).to_have_count(0)


def test_a_time_is_in_the_centres_zone_which_is_named_if_the_browsers_zone_differs(desk, page):
    call = a_call(started=datetime(2026, 12, 1, 9, 30, tzinfo=UTC).timestamp())
    desk.time_zone = "Pacific/Kiritimati"
    show(desk, calls=[call])
    expect(page.locator(".today time")).to_have_text("23:30 GMT+14")
    desk.time_zone = page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")
    show(desk, calls=[{**call, "call_id": "20261201-093000-00000002"}])
    expect(page.locator(".today time")).to_have_text(re.compile(r"^\d\d:\d\d$"))


def test_a_missed_call_has_its_number_in_a_form_to_dial_or_says_that_it_is_withheld(desk, page):
    show(desk, missed=[a_missed_call(), a_missed_call(2, number=None, withheld=True)])
    missed = page.get_by_role("list", name="Missed calls").get_by_role("listitem")
    expect(missed).to_have_count(2)
    number = missed.first.locator("[data-number]")
    expect(number).to_have_text("01632 960001")
    expect(number).to_have_attribute("data-number", "+441632960001")
    expect(missed.first).to_contain_text("rang for 0:31")
    expect(missed.last).to_contain_text("Number withheld")
    show(desk, missed=[])
    expect(page.get_by_role("list", name="Missed calls")).to_have_count(0)


def test_my_calls_have_their_purpose_and_say_when_the_note_is_missing(desk, page):
    show(desk, calls=[a_call(), a_call(2, note="missing", purpose="")])
    rows = page.get_by_role("list", name="My calls").get_by_role("listitem")
    expect(rows.first).to_contain_text("Missed collection")
    expect(rows.first).to_contain_text("4:32")
    expect(rows.last).to_contain_text("Note missing")
    expect(rows.last).to_contain_text("Council Tax")


def test_a_long_day_shows_a_few_calls_and_all_on_demand(desk, page):
    show(desk, calls=[a_call(number) for number in range(1, 81)])
    rows = page.get_by_role("list", name="My calls").get_by_role("listitem")
    expect(rows).to_have_count(5)
    page.get_by_role("button", name="Show all 80").press("Enter")
    expect(rows).to_have_count(80)
    fewer = page.get_by_role("button", name="Show fewer")
    expect(fewer).to_be_focused()
    expect(fewer).to_have_attribute("aria-expanded", "true")


def test_my_transfers_show_their_result_in_both_languages(desk, page):
    show(desk, transfers=[a_transfer()])
    row = page.get_by_role("list", name="My transfers").get_by_role("listitem")
    expect(row).to_contain_text("To a department")
    expect(row).to_contain_text("Came back")
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".today")).to_contain_text("Daeth yn ôl")


def test_hostile_texts_of_a_day_are_shown_as_text(desk, page):
    show(desk, calls=[a_call(purpose=HOSTILE, number_display=HOSTILE, line=HOSTILE)])
    rows = page.get_by_role("list", name="My calls").get_by_role("listitem")
    expect(rows).to_have_count(1)
    assert page.locator(".today img").count() == 0
    width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0


def test_200_changes_of_the_day_cause_fewer_than_20_requests(desk, page):
    expect(page.locator(".today")).to_be_visible()
    before = desk.read.count(("GET", "/today", {}))
    for number in range(200):
        show(desk, calls=[a_call(number + 1, purpose=f"Purpose {number}")])
    expect(page.locator(".today")).to_contain_text("Purpose 199")
    assert desk.read.count(("GET", "/today", {})) - before < 20


def test_a_supervisor_without_a_phone_has_no_list_of_todays_calls(desk, browser_page, address):
    desk.me = {**desk.me, "role": "supervisor", "extension": None}
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()
    expect(browser_page.locator(".today")).to_have_count(0)
    assert ("GET", "/today", {}) not in desk.read
