"""The supervisors' view of all calls, and the wall.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

MANY = 200
MAIR = {
    "person_id": "p1",
    "name": "Mair Evans",
    "language": "cy",
    "shared_warning": False,
    "kind": "person",
    "main_line": False,
}
WATCH = """() => {
    window.touched = [];
    const note = (node) => {
        const row = (node.nodeType === 1 ? node : node.parentElement)?.closest("tr");
        if (row) window.touched.push(row.cells[0].textContent);
    };
    new MutationObserver((changes) => changes.forEach(({ target }) => note(target))).observe(
        document.querySelector(".all-calls"),
        { attributes: true, childList: true, characterData: true, subtree: true },
    );
}"""
TWO_FRAMES = "new Promise(drawn => drawFrame(() => drawFrame(drawn)))"
COUNT_DRAWS = """() => {
    window.draws = 0;
    window.frames = 0;
    const count = () => { window.frames += 1; requestAnimationFrame(count); };
    requestAnimationFrame(count);
    const dd = document.querySelector("[data-count=ringing] dd");
    new MutationObserver(() => { window.draws += 1; }).observe(dd, { childList: true });
}"""


@pytest.fixture
def supervisor(desk):
    """The scripted desk, signed in as a supervisor."""
    desk.me["role"] = "supervisor"
    return desk


def put(desk, number, **more):
    """Set a call of the line `Line 007`, which is answered unless `more` says something else."""
    now = time.time()
    facts = {
        "line": f"Line {number:03}",
        "mine": False,
        "state": "answered",
        "since": now - 30,
        "started": now - 600 + number,
        "advisor": f"advisor{number}",
        "extension": str(200 + number),
        "recording": "recording",
        "recording_since": now - 30,
    }
    return desk.put(call_id=f"20261125-093000-{number:08}", **{**facts, **more})


def lines(page):
    return page.locator(".all-calls tbody th")


def test_waiting_calls_come_first_then_paused_ones_and_of_each_the_longest_first(supervisor, page):
    now = time.time()
    put(supervisor, 1)
    put(supervisor, 2, recording="paused", recording_since=now - 20, holders=["page:owen"])
    put(supervisor, 3, recording="paused", recording_since=now - 90, holders=["phone:203"])
    put(supervisor, 4, state="ringing", since=now - 5, recording="not_started", advisor=None)
    put(supervisor, 5, state="ringing", since=now - 25, recording="not_started", advisor=None)
    expect(lines(page)).to_have_text(["Line 005", "Line 004", "Line 003", "Line 002", "Line 001"])
    put(supervisor, 5)
    expect(lines(page)).to_have_text(["Line 004", "Line 003", "Line 002", "Line 001", "Line 005"])


def test_a_call_that_waits_too_long_is_marked(supervisor, browser_page, address):
    supervisor.waiting_warning = 40
    now = time.time()
    put(supervisor, 1, state="ringing", since=now - 300, recording="not_started")
    put(supervisor, 2, state="ringing", since=now + 300, recording="not_started")
    browser_page.goto(address)
    rows = browser_page.locator(".all-calls tbody tr")
    expect(rows.nth(0).get_by_text("Waits long")).to_be_visible()
    expect(rows.nth(1).get_by_text("Waits long")).to_be_hidden()


def test_a_row_has_the_result_of_the_lookup_but_no_name_and_no_number(supervisor, page):
    texts = {
        "looking_up": "Looking up",
        "found": "Known",
        "several": "Several possible",
        "not_found": "Unknown",
        "withheld": "Number withheld",
        "unavailable": "Directory down",
        "busy": "Directory busy",
    }
    for status, text in texts.items():
        caller = {"status": status, "number_display": "01970 000001", "candidates": [MAIR]}
        put(supervisor, 1, caller=caller)
        row = page.locator(".all-calls tbody tr")
        expect(row).to_contain_text(text)
        expect(row).to_contain_text("Welsh")
        assert "Mair" not in page.content(), status
        assert "01970" not in page.content(), status


def test_no_language_is_shown_while_possible_callers_prefer_different_ones(supervisor, page):
    owen = {**MAIR, "person_id": "p2", "language": "en"}
    put(supervisor, 1, caller={"status": "several", "candidates": [MAIR, owen]})
    row = page.locator(".all-calls tbody tr")
    expect(row).to_contain_text("Several possible")
    expect(row.get_by_text("Welsh")).to_be_hidden()
    put(supervisor, 1, caller={"status": "several", "candidates": [MAIR, owen], "chosen": "p2"})
    expect(row.get_by_text("English")).to_be_visible()


def test_the_head_counts_the_calls_by_their_state(supervisor, page):
    put(supervisor, 1, state="ringing")
    put(supervisor, 2)
    put(supervisor, 3, recording="paused")
    put(supervisor, 4, state="held")
    put(supervisor, 5, state="wrapup", recording="ended")
    numbers = {"ringing": 1, "talking": 2, "paused": 1, "held": 1, "wrapup": 1}
    for name, number in numbers.items():
        expect(page.locator(f"[data-count={name}] dd")).to_have_text(str(number))
    expect(lines(page)).to_have_count(4)


def test_a_change_of_one_of_200_calls_touches_only_its_row(supervisor, open_timeless):
    for number in range(MANY):
        put(supervisor, number)
    page = open_timeless()
    expect(lines(page)).to_have_count(MANY)
    page.evaluate(TWO_FRAMES)
    page.evaluate(WATCH)
    put(supervisor, 7, state="held")
    expect(page.locator("tr", has_text="Line 007")).to_contain_text("On hold")
    assert set(page.evaluate("window.touched")) == {"Line 007"}


def test_a_burst_of_changes_is_drawn_at_most_once_a_frame(supervisor, page):
    page.evaluate(COUNT_DRAWS)
    for number in range(MANY):
        put(supervisor, number, state="ringing")
    expect(page.locator("[data-count=ringing] dd")).to_have_text(str(MANY))
    assert page.evaluate("window.draws <= window.frames + 1")


def test_no_row_moves_while_the_focus_is_in_the_table(supervisor, page):
    put(supervisor, 1, recording="paused", holders=["page:owen"])
    put(supervisor, 2, recording="paused", holders=["page:mair"])
    button = page.locator("tr", has_text="Line 002").get_by_role("button").first
    button.focus()
    put(supervisor, 3, state="ringing")
    put(supervisor, 1)
    expect(lines(page)).to_have_text(["Line 001", "Line 002", "Line 003"])
    expect(button).to_be_focused()
    page.locator(".all-calls .scroll").focus()
    expect(lines(page)).to_have_text(["Line 003", "Line 002", "Line 001"])


def test_the_wall_shows_the_calls_without_any_control_and_escape_leaves_the_wall(supervisor, page):
    put(supervisor, 1, recording="paused", holders=["phone:204"])
    supervisor.alarm("peer.down")
    page.get_by_role("button", name="Show on a wall screen").click()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator(".alarm-panel")).to_be_hidden()
    expect(page.locator(".all-calls tbody tr")).to_contain_text("phone 204")
    assert page.url.endswith("#wall")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Show on a wall screen")).to_be_focused()
    assert "#" not in page.url


def test_the_address_of_the_wall_opens_the_wall_and_a_lost_connection_is_shown(
    supervisor, browser_page, address
):
    put(supervisor, 1)
    browser_page.goto(f"{address}/#wall")
    expect(lines(browser_page)).to_have_count(1)
    expect(browser_page.get_by_role("button")).to_have_count(0)
    supervisor.cut()
    expect(browser_page.locator("#lost")).to_be_visible()


def test_the_address_of_the_wall_shows_the_sign_in_to_a_person_who_is_not_signed_in(
    supervisor, browser_page, address
):
    supervisor.signed_in = False
    browser_page.goto(f"{address}/#wall")
    expect(browser_page.get_by_label("User name")).to_be_visible()


def test_the_address_of_the_wall_shows_an_advisor_their_own_page(desk, browser_page, address):
    browser_page.goto(f"{address}/#wall")
    expect(browser_page.get_by_text("No call at the moment").first).to_be_visible()
    expect(browser_page.get_by_role("button", name="Sign out")).to_be_visible()
