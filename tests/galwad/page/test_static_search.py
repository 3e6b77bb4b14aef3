"""The search for a caller by a text, and the answer that the caller is a new person.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
MAIR = {
    "person_id": "p1",
    "name": "Mair Evans",
    "language": "cy",
    "shared_warning": False,
    "kind": "person",
    "main_line": False,
}
OWEN = {**MAIR, "person_id": "p2", "name": "Owen Evans"}
LABEL = "Search by name, postcode or reference"


@pytest.fixture
def searchable(desk):
    """The scripted desk, whose directory can be searched by a text."""
    desk.searchable = True
    return desk


def answer(desk):
    caller = {"status": "not_found", "number_display": "01970 000001"}
    desk.put(
        state="answered",
        advisor="sian",
        recording="recording",
        recording_since=time.time(),
        caller=caller,
    )


def test_a_caller_whose_number_is_unknown_is_found_by_name_and_confirmed(searchable, page):
    answer(searchable)
    searchable.searched = [MAIR, OWEN]
    page.get_by_label(LABEL).fill("evans")
    page.get_by_label(LABEL).press("Enter")
    expect(page.locator("form.search .note")).to_have_text("2 found: choose who is calling")
    expect(page.locator(".lookup")).to_have_text("Ask, then choose who is calling.")
    page.get_by_role("radio", name="Owen Evans").check()
    page.get_by_role("button", name="Checks passed").click()
    expect(page.get_by_text("1 Heol Fawr")).to_be_visible()
    expect(page.get_by_label(LABEL)).to_be_hidden()
    expect(page.locator(".lookup")).to_be_hidden()
    assert ("POST", f"/calls/{CALL}/search", {"text": "evans"}) in searchable.asked
    answers = [body for _, path, body in searchable.asked if path.endswith("/confirm")]
    assert answers == [{"outcome": "confirmed", "person_id": "p2"}]


def test_a_search_that_finds_nobody_or_is_refused_says_so(searchable, page):
    answer(searchable)
    page.get_by_label(LABEL).fill("evans")
    page.get_by_role("button", name="Search", exact=True).click()
    outcome = page.locator("form.search .note")
    expect(outcome).to_have_text("Nobody found")
    for status, text in ((429, "Too many searches"), (422, "at least two letters")):
        searchable.refusing = status
        page.get_by_role("button", name="Search", exact=True).click()
        expect(outcome).to_contain_text(text)


def test_a_new_person_is_sent_to_the_desk_as_the_outcome(searchable, page):
    answer(searchable)
    page.get_by_role("button", name="New person: in no directory").click()
    expect(page.get_by_role("button", name="New person: in no directory")).to_be_hidden()
    expect(page.get_by_label(LABEL)).to_be_visible()
    answers = [body for _, path, body in searchable.asked if path.endswith("/confirm")]
    assert answers == [{"outcome": "new_person", "person_id": None}]


def test_no_search_is_offered_while_the_call_rings_or_if_no_directory_can_be_searched(desk, page):
    desk.put()
    expect(page.get_by_role("heading", name="Council Tax")).to_be_visible()
    expect(page.get_by_label(LABEL)).to_be_hidden()
    expect(page.get_by_role("button", name="New person: in no directory")).to_be_hidden()
    answer(desk)
    expect(page.get_by_role("button", name="New person: in no directory")).to_be_visible()
    expect(page.get_by_label(LABEL)).to_be_hidden()
