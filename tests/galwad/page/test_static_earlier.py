"""The list of a confirmed caller's earlier contacts, in `galwad/page/static/earlier.js`."""

from __future__ import annotations

import time

from playwright.sync_api import expect

CALL = "20261125-093000-abcdefgh"
PATH = f"/calls/{CALL}/earlier"
MAIR = {"person_id": "one", "name": "Mair Pritchard", "language": "cy", "shared_warning": False}
NOTE = {
    "call_id": "20261001-093000-abcdefgh",
    "started": time.time() - 5_000_000,
    "line": "Council Tax",
    "purpose": "Missed collection",
    "outcome": "New round booked",
    "notes": "<b>bin</b> \u202e by the gate",
}


def put(desk, **caller):
    known = {"status": "found", "candidates": [{**MAIR, "kind": "person", "main_line": False}]}
    desk.put(state="answered", recording="recording", caller={**known, **caller})


def asked(desk):
    return desk.read.count(("GET", PATH, {}))


def test_earlier_contacts_are_offered_after_the_confirmation_and_read_when_opened(desk, page):
    desk.earlier = [NOTE]
    put(desk)
    box = page.locator(".earlier")
    expect(page.locator(".person .name")).to_be_visible()
    expect(box).to_be_hidden()
    put(desk, confirmed=True, chosen="one", outcome="confirmed")
    expect(box).to_be_visible()
    assert asked(desk) == 0
    box.get_by_text("Earlier contacts").press("Enter")
    expect(box).to_contain_text("Missed collection")
    expect(box).to_contain_text("New round booked")
    assert asked(desk) == 1
    expect(box.locator(".text")).to_be_hidden()
    box.get_by_text("Text of the note").click()
    expect(box.locator(".text")).to_have_text(NOTE["notes"])


def test_a_caller_without_earlier_contacts_and_a_failed_request_have_different_texts(desk, page):
    put(desk, confirmed=True, chosen="one", outcome="confirmed")
    box = page.locator(".earlier")
    box.get_by_text("Earlier contacts").click()
    expect(box).to_contain_text("No earlier contact is noted.")
    box.get_by_text("Earlier contacts").click()
    desk.unreadable = 503
    box.get_by_text("Earlier contacts").click()
    expect(box).to_contain_text("cannot be read now")


def test_the_contacts_of_one_caller_disappear_when_another_caller_speaks(desk, page):
    desk.earlier = [NOTE]
    put(desk, confirmed=True, chosen="one", outcome="confirmed")
    page.get_by_text("Earlier contacts").click()
    expect(page.get_by_text("Missed collection")).to_be_visible()
    put(desk, confirmed=False, chosen=None, outcome=None, position=2)
    expect(page.locator(".earlier")).to_be_hidden()
    assert "Missed collection" not in page.content()


RECORD = {
    "directory": "crm",
    "call_id": "",
    "started": time.time() - 9_000_000,
    "line": "",
    "purpose": "Street light",
    "outcome": "solved",
    "notes": "",
}


def test_an_earlier_contact_from_a_directory_is_shown_with_the_name_of_the_directory(desk, page):
    desk.earlier = [NOTE, RECORD]
    put(desk, confirmed=True, chosen="one", outcome="confirmed")
    box = page.locator(".earlier")
    box.get_by_text("Earlier contacts").click()
    rows = box.locator("li")
    expect(rows).to_have_count(2)
    expect(rows.nth(0).locator(".line")).to_have_text("Council Tax")
    expect(rows.nth(1).locator(".line")).to_have_text("crm")
    expect(rows.nth(1)).to_contain_text("solved")


def test_a_directory_that_did_not_answer_is_named_instead_of_a_text_that_there_are_no_contacts(
    desk, page
):
    desk.earlier_failed = ["crm", "housing"]
    put(desk, confirmed=True, chosen="one", outcome="confirmed")
    box = page.locator(".earlier")
    box.get_by_text("Earlier contacts").click()
    expect(box).to_contain_text("No answer from crm, housing: contacts there are missing here.")
    expect(box).to_contain_text("No earlier contact is known.")
    expect(box).not_to_contain_text("No earlier contact is noted.")
    desk.earlier_failed = []
    box.get_by_text("Earlier contacts").click()
    box.get_by_text("Earlier contacts").click()
    expect(box).to_contain_text("No earlier contact is noted.")
    expect(box).not_to_contain_text("No answer from")
