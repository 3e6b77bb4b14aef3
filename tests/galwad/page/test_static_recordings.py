"""The recordings at `#recordings`: the search, what happened in each recording, and its details.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from helpers.page_recordings import a_pause, a_recording

pytestmark = pytest.mark.peer

PLACES = """spans => spans.map(span => {
    const whole = span.parentElement.clientWidth;
    return [span.className, span.offsetLeft / whole, span.offsetWidth / whole];
})"""
"""The kind of each gap in a timeline, and its place and length as parts of the whole."""


@pytest.fixture
def desk(desk):
    """A desk at which a supervisor is signed in, with three recordings."""
    desk.me |= {"user": "mair", "role": "supervisor", "extension": None}
    desk.recordings.rows = [
        a_recording(3, (a_pause(60, 125), a_pause(300, 300.4, reason="fault", trigger="storage"))),
        a_recording(2, number="", advisor="", extension="", talk_us=65_000_000),
        a_recording(1, number="", line="", advisor="", extension="", interrupted=True),
    ]
    return desk


@pytest.fixture
def opened(desk, browser_page, address):
    """The page of the recordings, opened by its address."""
    browser_page.goto(f"{address}/#recordings")
    browser_page.get_by_role("heading", name="Recordings", level=1).wait_for()
    return browser_page


@pytest.fixture
def found(opened):
    """The page after a search without filters."""
    search(opened)
    return opened


def search(page):
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".recordings [aria-busy=false]")).to_be_visible()


def searches(desk):
    """The bodies of the searches so far."""
    return [body for _, path, body in desk.asked if path == "/recordings/search"]


def cells(page, row):
    return [
        text.strip()
        for text in page.locator("tbody tr:visible").nth(row).locator("th, td").all_inner_texts()
    ]


def test_the_code_and_texts_of_the_recordings_are_loaded_when_they_are_opened(
    desk, browser_page, address
):
    loaded = []
    browser_page.on("request", lambda request: loaded.append(request.url.rsplit("/", 1)[-1]))
    browser_page.goto(address)
    button = browser_page.get_by_role("button", name="Recordings", exact=True)
    button.wait_for()
    assert not {"recordings.js", "en?part=recordings"} & set(loaded)
    button.click()
    expect(browser_page.get_by_role("heading", name="Recordings", level=1)).to_be_focused()
    assert {"recordings.js", "recordings.css", "en?part=recordings"} <= set(loaded)
    expect(browser_page.get_by_role("region", name="All calls")).to_be_hidden()
    assert searches(desk) == []
    browser_page.get_by_role("button", name="Back to the calls").click()
    expect(button).to_be_focused()
    expect(browser_page.get_by_role("region", name="All calls")).to_be_visible()


def test_an_advisor_is_not_offered_the_recordings(desk, browser_page, address):
    desk.me |= {"user": "sian", "role": "advisor"}
    browser_page.goto(f"{address}/#recordings")
    expect(browser_page.get_by_text("No call at the moment")).to_be_visible()
    expect(browser_page.get_by_role("button", name="Recordings")).to_have_count(0)
    expect(browser_page.get_by_role("heading", name="Recordings")).to_have_count(0)


def test_a_recording_is_shown_with_its_gaps_in_words_and_what_is_not_known(found):
    expect(found.locator(".recordings").get_by_text("3 recordings.")).to_be_visible()
    assert cells(found, 0)[1:] == [
        "+441970000123",
        "Council Tax",
        "sian",
        "10:00",
        "Payment 1 min 5 s, Fault 0.4 s",
    ]
    assert cells(found, 1)[1:] == [
        "No number",
        "Council Tax",
        "Not known",
        "1:05",
        "Recorded without a gap",
    ]
    assert cells(found, 2)[1:4] == ["Not known", "Not known", "Not known"]
    expect(found.get_by_text("Recorder stopped during the call")).to_be_visible()


def test_gaps_are_drawn_at_their_place_in_the_recording(found):
    places = found.locator(".track").first.locator("span").evaluate_all(PLACES)
    assert [kind for kind, _, _ in places] == ["gap-payment", "gap-fault"]
    assert [at for _, at, _ in places] == pytest.approx([0.1, 0.5], abs=0.01)
    assert places[0][2] == pytest.approx(65 / 600, abs=0.01)
    assert places[1][2] > 0


def test_all_filters_are_sent_and_the_last_day_is_included(desk, opened):
    filled = {
        "Caller's number": " 01970 000123 ",
        "Line": "Council Tax",
        "Advisor (user name)": "sian",
    }
    for label, text in filled.items():
        opened.get_by_label(label, exact=True).fill(text)
    opened.get_by_label("Started").select_option("Between two dates")
    opened.get_by_label("From").fill("2026-02-27")
    opened.get_by_label("To (included)").fill("2026-02-28")
    opened.get_by_text("More filters").click()
    opened.get_by_label("Extension").fill("201")
    opened.get_by_label("Recording id, or the reference of a fetch").fill("SAR-17")
    opened.get_by_label("With a gap").select_option("Card number silenced")
    opened.get_by_label("At least (minutes)").fill("1:30")
    opened.get_by_label("At most (minutes)").fill("20")
    search(opened)
    assert searches(desk) == [
        {
            "number": "01970 000123",
            "line": "Council Tax",
            "advisor": "sian",
            "extension": "201",
            "reference": "SAR-17",
            "gap_reason": "captured-card",
            "since": "2026-02-27",
            "until": "2026-03-01",
            "min_length_s": 90,
            "max_length_s": 1200,
        }
    ]
    opened.get_by_role("button", name="Clear the filters").click()
    expect(opened.get_by_label("From")).to_be_hidden()
    opened.get_by_label("Started").select_option("Last week")
    search(opened)
    assert searches(desk)[1] == {"when": "last week"}


def test_a_filter_without_a_meaning_is_explained_and_nothing_is_sent(desk, opened):
    opened.get_by_text("More filters").click()
    opened.get_by_label("At least (minutes)").fill("ten")
    opened.get_by_text("More filters").click()
    opened.get_by_role("button", name="Search").click()
    problem = opened.locator(".recordings [role=alert]")
    expect(problem).to_have_text("Write a length as minutes, or as minutes:seconds.")
    expect(opened.get_by_label("At least (minutes)")).to_be_focused()
    opened.get_by_label("At least (minutes)").fill("")
    expect(problem).to_be_hidden()
    opened.get_by_label("Started").select_option("Between two dates")
    opened.get_by_label("From").fill("2026-02-28")
    opened.get_by_label("To (included)").fill("2026-02-27")
    opened.get_by_role("button", name="Search").click()
    expect(problem).to_have_text("The second date must not be before the first.")
    assert searches(desk) == []


def test_a_refused_search_shows_the_reason_and_keeps_what_was_found(desk, found):
    for refusal, text in (
        ((422, {"reason": "card_number"}), "This looks like a payment card number. Remove it."),
        ((422, {}), "The server cannot read a filter. Check the number and the dates."),
        ((503, {}), "That did not reach the server. Try again."),
    ):
        desk.recordings.refusal = refusal
        search(found)
        expect(found.locator(".recordings .warning:visible")).to_have_text(text)
    expect(found.locator(".recordings tbody tr:visible")).to_have_count(3)


def test_a_search_that_needs_a_stronger_sign_in_comes_back_to_the_recordings(desk, opened, address):
    desk.provider = f"{address}/static/icon.svg"
    desk.recordings.refusal = (403, {"reason": "step_up_needed"})
    search(opened)
    expect(opened.get_by_text("This needs a stronger sign-in")).to_be_focused()
    opened.get_by_role("button", name="Go to the stronger sign-in").click()
    opened.wait_for_url(desk.provider)
    body = {"language": "en", "step_up": True, "place": "recordings"}
    assert ("POST", "/sign-in/begin", body) in desk.asked


def test_more_recordings_follow_those_shown_and_get_the_focus(desk, opened):
    desk.recordings.rows = [a_recording(number) for number in range(5, 0, -1)]
    desk.recordings.page = 2
    opened.get_by_label("Line", exact=True).fill("Council Tax")
    search(opened)
    shown = opened.locator(".recordings")
    expect(shown.get_by_text("The newest 2 are shown. There are more.")).to_be_visible()
    opened.get_by_label("Line", exact=True).fill("")  # changes nothing before the next search
    opened.get_by_role("button", name="Show more").click()
    expect(opened.locator(".recordings tbody button").nth(2)).to_be_focused()
    opened.get_by_role("button", name="Show more").click()
    expect(shown.get_by_text("5 recordings.")).to_be_visible()
    expect(opened.get_by_role("button", name="Show more")).to_be_hidden()
    assert searches(desk) == [
        {"line": "Council Tax", **more} for more in ({}, {"after": "2"}, {"after": "4"})
    ]


def test_an_opened_recording_explains_each_gap_with_its_audit_entries(desk, found):
    desk.recordings.hold = "claim 17"
    button = found.locator(".recordings tbody button").first
    expect(button).to_have_attribute("aria-expanded", "false")
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    detail = found.locator(".detail:visible")
    expect(detail.locator("dd").nth(1)).to_have_text("claim 17")
    expect(detail.locator("li").first).to_have_text(
        re.compile(
            r"At \d\d:\d\d:\d\d \(1:00 into the call\) recording stopped for 1 min 5 s because the "
            r"recording was paused on the page \(sian\)\. It started again at \d\d:\d\d:\d\d\. "
            r"Audit entry 41; the resume is entry 42\."
        )
    )
    expect(detail.locator("li").nth(1)).to_contain_text("could not write to its disk")
    button.press("Enter")
    expect(detail).to_be_hidden()
    button.press("Enter")
    read = [path for _, path, _ in desk.asked if path.startswith("/recordings/2025")]
    assert len(read) == 2  # what was read is kept


def test_the_recordings_are_in_welsh_after_the_change_of_language(found):
    found.locator(".recordings tbody button").first.click()
    expect(found.locator(".detail li").first).to_be_visible()
    found.get_by_role("button", name="Cymraeg").click()
    expect(found.get_by_role("heading", name="Recordiadau", level=1)).to_be_visible()
    assert cells(found, 0)[-1] == "Taliad 1 munud 5 eiliad, Nam 0.4 eiliad"
    expect(found.locator(".detail li").first).to_contain_text(
        "i mewn i'r alwad) peidiodd y recordio"
    )


def test_recordings_are_forgotten_at_the_sign_out(desk, found):
    found.get_by_role("button", name="Sign out").click()
    found.get_by_role("button", name="Sign in").wait_for()
    assert "+441970000123" not in found.content()


def test_a_hostile_number_line_or_actor_is_shown_as_text(desk, opened):
    hostile = "<img src=x onerror=window.hacked=1>"
    pause = a_pause(1, 2, actor=f"token:{hostile}", trigger=hostile)
    desk.recordings.rows = [a_recording(1, (pause,), number=hostile, line=hostile, advisor=hostile)]
    search(opened)
    opened.locator(".recordings tbody button").click()
    expect(opened.locator(".detail li")).to_contain_text(hostile)
    assert cells(opened, 0)[1:4] == [hostile] * 3
    assert opened.locator("img[src='x']").count() == 0
    assert opened.evaluate("window.hacked") is None
