"""The supervisor's figures of today, in `galwad/page/static/figures.js`."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from helpers.page import NO_FIGURES


def row(calls, answered, **more) -> dict[str, Any]:
    times = {"mean_waiting_s": 12.0, "longest_waiting_s": 95.0, "mean_talk_s": 272.0}
    none: Any = NO_FIGURES["total"]
    known = {**none, **times, "calls": calls, "answered": answered}
    return {**known, "missed": calls - answered, "pauses": 3, **more}


FIGURES = {
    **NO_FIGURES,
    "total": row(63, 51),
    "by_line": [row(40, 32, line="Council Tax"), row(23, 19, line="<b>Housing</b>")],
    "by_hour": [row(3 + hour % 5 * 4, 2 + hour % 5 * 3, hour=hour) for hour in range(8, 18)],
    "by_language": [row(9, 9, language=""), row(30, 24, language="cy"), row(24, 18, language="en")],
}


@pytest.fixture
def open_page(desk, browser_page, address):
    desk.me = {**desk.me, "role": "supervisor", "extension": None}

    def open_page():
        browser_page.goto(address)
        browser_page.locator("#link[data-state=live]").wait_for()
        return browser_page

    return open_page


def test_a_supervisor_sees_the_numbers_of_today_and_tables_as_text_of_the_chart(desk, open_page):
    desk.figures = FIGURES
    desk.time_zone = "Pacific/Kiritimati"
    page = open_page()
    box = page.get_by_role("region", name="Figures of today")
    expect(box.locator("dl")).to_contain_text("63")
    expect(box.locator("dl")).to_contain_text("4:32")
    lines = box.get_by_role("table", name="By line").get_by_role("row")
    expect(lines).to_have_count(3)
    expect(lines.last).to_contain_text("<b>Housing</b>")
    box.get_by_text("By hour").press("Enter")
    hours = box.get_by_role("table", name="By hour").get_by_role("row")
    expect(hours).to_have_count(11)
    expect(hours.nth(1)).to_contain_text("08:00 GMT+14")
    assert box.locator("svg rect.unanswered").count() == 10
    link = box.get_by_role("link", name="Download as a CSV file")
    expect(link).to_have_attribute("href", "/api/v1/figures/export?when=today")


def test_a_day_without_a_call_says_so_and_has_no_chart(open_page):
    page = open_page()
    expect(page.get_by_text("No call has ended yet today.")).to_be_visible()
    expect(page.locator(".chart")).to_be_hidden()


def test_an_advisor_has_no_figures_and_does_not_ask_for_them(desk, page):
    expect(page.locator(".today")).to_be_visible()
    expect(page.locator(".figures")).to_have_count(0)
    assert not any("figures" in path for _, path, _ in desk.read)
