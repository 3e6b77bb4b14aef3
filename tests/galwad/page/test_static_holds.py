"""The page about legal holds at `#holds`: `galwad/page/static/holds.js` and its sections."""

from __future__ import annotations

import re
import threading

import pytest
from playwright.sync_api import expect

from helpers.page_holds import OPENED, a_hold
from helpers.page_states import administer_nothing, retain
from helpers.page_users import a_user

pytestmark = pytest.mark.peer

CALL = "20251201-125000-abcdefgh"
REVIEW = {"reference": "Claim 9", "reason": "a fall", "review": "2099-02-03"}


@pytest.fixture
def desk(desk):
    """A desk with three holds, at which gwen and nia are the administrators."""
    retain(desk)
    desk.time_zone = "Europe/London"
    desk.users.put(a_user("nia", "admin"), a_user("old", "admin", disabled=True), a_user("sian"))
    return desk


@pytest.fixture
def open_page(desk, browser_page, address):
    """Open the page, or read it again, as a user; with a number, show this hold."""

    def open_page(user="gwen", hold=None):
        desk.me["user"] = user
        browser_page.goto("about:blank")
        browser_page.goto(f"{address}/#holds")
        browser_page.get_by_role("heading", name="Holds", exact=True).wait_for()
        if hold is not None:
            browser_page.get_by_role("button", name=re.compile(f"^{hold}: ")).press("Enter")
            heading = browser_page.get_by_role("heading", name=f"Hold {hold}: ")
            expect(heading).to_be_focused()
        return browser_page

    return open_page


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def cells(page, table, row):
    """The texts of a row of a table, by the name of the table."""
    found = page.get_by_role("table", name=table).locator("tbody tr").nth(row).locator("th, td")
    return [text.strip() for text in found.all_inner_texts()]


def field(page, form, name):
    return page.locator(f"#holds-{form}-{name}")


def new_hold(page, **texts):
    for name, text in {**REVIEW, **texts}.items():
        field(page, "new", name).fill(text)


def sent(desk):
    """The requests that change holds."""
    changes = {"POST", "PUT"}
    asked = [(path, body) for method, path, body in desk.asked if method in changes]
    return [(path, body) for path, body in asked if path.startswith("/holds")]


def refused(page, text):
    expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible()


def test_the_holds_are_listed_with_what_waits_and_what_is_due(desk, open_page):
    page = open_page()
    expect(page.get_by_role("heading", name="Legal holds")).to_be_focused()
    assert [cells(page, "Holds", row) for row in range(2)] == [
        [
            "13: Complaint 4",
            "a fall in Bridge Street",
            "no owner",
            "1 Nov 2026: due for review",
            "57",
            "open",
        ],
        [
            "12: Claim 2026/17",
            "a fall in Bridge Street",
            "gwen",
            "1 Jun 2099",
            "57",
            "nia has asked to release it. Later calls of +441632960001 are retained.",
        ],
    ]
    page.get_by_label("Show released holds too").check()
    expect(button(page, "11: Claim 3")).to_be_visible()
    assert cells(page, "Holds", 2)[5] == "released on 18 Nov 2026"
    button(page, "11: Claim 3").click()
    expect(page.get_by_role("heading", name="Hold 11: Claim 3")).to_be_focused()
    expect(page.get_by_text("Change the hold")).to_be_hidden()
    button(page, "12: Claim 2026/17").click()
    expect(page.get_by_role("heading", name="Hold 12: Claim 2026/17")).to_be_focused()
    for part in page.locator(".retention summary").all():
        part.click()
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.get_by_role("heading", name="Daliadau", exact=True)).to_be_visible()
    assert cells(page, "Daliadau", 0)[3].endswith(" 2026: angen ei adolygu")
    text = page.locator(".retention").inner_text()
    assert not re.search(r"\b(the|recordings?|holds?|released?|of)\b", text, re.IGNORECASE)


def test_a_hold_is_opened_for_ids_and_a_search_and_later_calls(desk, open_page):
    desk.holds.rows.clear()
    desk.holds.disposed = 1
    page = open_page("nia")
    expect(page.get_by_text("There is no open hold.")).to_be_visible()
    options = field(page, "new", "owner").locator("option").all_inner_texts()
    assert (options, field(page, "new", "owner").input_value()) == (["gwen", "nia"], "nia")
    new_hold(page)
    field(page, "new", "owner").select_option("gwen")
    button(page, "Open the hold").press("Enter")
    refused(page, "Give at least one recording id or one filter.")
    field(page, "new", "ids").fill(f"{CALL}\n\n another")
    page.get_by_label("Also retain each later call of this number").check()
    button(page, "Open the hold").click()
    refused(page, "To retain later calls, give the caller's number.")
    expect(field(page, "new", "number")).to_be_focused()
    field(page, "new", "number").fill("01632 960001")
    field(page, "new", "since").fill("2026-11-02")
    field(page, "new", "until").fill("2026-11-01")
    button(page, "Open the hold").click()
    refused(page, "The second date must not be before the first.")
    field(page, "new", "until").fill("2026-11-30")
    assert sent(desk) == []
    button(page, "Open the hold").click()
    expect(page.get_by_role("heading", name="Hold 1: Claim 9")).to_be_focused()
    done = "Hold 1: newly retained 2, retained already 0, disposed of earlier 1."
    expect(page.locator(".retention .approvals", has_text=done)).to_be_visible()
    expect(page.locator("#status")).to_contain_text(done)
    query = {"number": "01632 960001", "since": "2026-11-02", "until": "2026-12-01"}
    body = {**REVIEW, "owner": "gwen", "future": True, "query": query}
    assert sent(desk) == [("/holds", {**body, "call_ids": [CALL, "another"]})]
    facts = [field(page, "new", name).input_value() for name in ("reference", "owner")]
    assert facts == ["", "nia"]


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (404, "", "at least one of these recordings does not exist"),
        (409, "", "one of these recordings was disposed of"),
        (422, "", "the owner must be an administrator"),
        (422, "card_number", "a field contains a payment card number"),
        (503, "", "It is not known whether this was done."),
    ],
)
def test_a_refused_hold_shows_the_reason_and_keeps_what_was_typed(
    desk, open_page, status, reason, text
):
    page = open_page()
    new_hold(page)
    field(page, "new", "ids").fill(CALL)
    desk.refusing, desk.reason = status, reason
    button(page, "Open the hold").click()
    refused(page, text)
    assert field(page, "new", "reference").input_value() == "Claim 9"
    assert field(page, "new", "ids").input_value() == CALL
    expect(button(page, "Open the hold")).to_have_attribute("aria-busy", "false")


def test_a_change_names_the_version_that_was_seen_and_keeps_what_was_typed(desk, open_page):
    page = open_page(hold=13)
    page.get_by_text("Change the hold").click()
    button(page, "Save the change").click()
    refused(page, "Nothing is changed yet.")
    field(page, "change", "reason").fill("two falls")
    desk.holds.put(a_hold(13, "Complaint 4", version=2, owner="nia"))  # another person was faster
    button(page, "Save the change").click()
    refused(page, "Not done: the hold was changed or released meanwhile.")
    expect(page.locator(".retention dd").nth(1)).to_have_text("nia")
    assert field(page, "change", "reason").input_value() == "two falls"
    button(page, "Save the change").click()
    expect(page.get_by_role("heading", name="Hold 13: ")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("Hold 13 is changed.")
    expect(page.locator(".retention dd").first).to_have_text("two falls")
    bodies = [{"version": version, "reason": "two falls"} for version in (1, 2)]
    assert sent(desk) == [("/holds/13", body) for body in bodies]


def test_further_recordings_are_retained_for_a_hold(desk, open_page):
    page = open_page(hold=13)
    page.get_by_text("Retain further recordings").click()
    field(page, "add", "advisor").fill("sian")
    button(page, "Retain these recordings").click()
    expect(page.get_by_role("heading", name="Hold 13: ")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("Hold 13 now retains these recordings: 2.")
    assert cells(page, "Holds", 0)[4] == "59"
    query = {"call_ids": [], "query": {"advisor": "sian"}}
    assert sent(desk) == [("/holds/13/recordings", query)]
    desk.holds.conflict = True
    page.get_by_text("Retain further recordings").click()
    field(page, "add", "ids").fill(CALL)
    button(page, "Retain these recordings").click()
    refused(page, "or the hold was released meanwhile")
    assert field(page, "add", "ids").input_value() == CALL


def test_a_hold_is_released_by_two_administrators_who_give_a_reason(desk, open_page):
    page = open_page(hold=13)
    ask, agree = "Ask for the release…", "Agree to the release…"
    button(page, ask).press("Enter")
    expect(page.get_by_label("Reason for the release")).to_be_focused()
    expect(page.locator(".retention .ask:visible")).to_have_count(0)
    page.get_by_label("Reason for the release").fill("claim settled")
    button(page, ask).press("Enter")
    question = page.locator(".retention .ask:visible")
    expect(question).to_be_focused()
    expect(question).to_contain_text("Ask to release: the whole hold (recordings: 57)?")
    page.keyboard.press("Escape")
    expect(button(page, ask)).to_be_focused()
    page.keyboard.press("Enter")
    button(page, "Ask for it").press("Enter")
    expect(page.get_by_role("heading", name="Hold 13: ")).to_be_focused()
    own = "You have asked for it. It waits for a second administrator. Reason: claim settled"
    expect(page.get_by_text(own)).to_be_visible()
    for name in (ask, agree):
        expect(button(page, name)).to_be_hidden()
    page = open_page("nia", hold=13)
    expect(page.get_by_text("gwen has asked for it. Reason: claim settled")).to_be_visible()
    page.get_by_label("Reason for the release").fill("yes")
    button(page, agree).click()
    expect(page.locator(".retention .ask:visible")).to_contain_text("Agree with gwen, and release")
    button(page, "Agree and release").click()
    expect(page.locator("#status")).to_contain_text("Hold 13 is released.")
    expect(page.locator(".retention dd").nth(4)).to_contain_text("22 Sept 2026")
    expect(button(page, agree)).to_be_hidden()
    expect(button(page, "13: Complaint 4")).to_have_count(0)
    bodies = [
        {"version": 1, "reason": "claim settled"},
        {"version": 2, "reason": "yes"},
    ]
    assert sent(desk) == [("/holds/13/release", body) for body in bodies]


def test_one_recording_of_a_hold_is_chosen_in_the_list_and_released_by_two(desk, open_page):
    desk.recordings.page = 1
    page = open_page(hold=13)
    button(page, "Show the recordings").press("Enter")
    expect(page.get_by_role("table", name="Retained recordings")).to_be_visible()
    button(page, "Show more").press("Enter")
    expect(button(page, "Show more")).to_be_hidden()
    assert cells(page, "Retained recordings", 1)[1:5] == [
        "+441970000123",
        "Council Tax",
        "sian",
        "10:00",
    ]
    searches = [body for _, path, body in desk.asked if path == "/recordings/search"]
    assert searches == [{"hold": 13}, {"hold": 13, "after": "1"}]
    page.get_by_role("button", name=re.compile(r"^Release the recording of 1 Dec 2025")).nth(
        0
    ).press("Enter")
    expect(page.get_by_label("Reason for the release")).to_be_focused()
    page.keyboard.type("another street")
    button(page, "Ask for the release…").click()
    expect(page.locator(".retention .ask:visible")).to_contain_text(f"recording {CALL}?")
    button(page, "Ask for it").click()
    expect(page.locator("#status")).to_contain_text("was asked for")
    page = open_page("nia", hold=13)
    asked = f"recording {CALL}, asked for by gwen"
    expect(page.get_by_label("What is to be released").locator(":checked")).to_have_text(asked)
    expect(page.get_by_text("gwen has asked for it. Reason: another street")).to_be_visible()
    page.get_by_label("Reason for the release").fill("yes")
    button(page, "Agree to the release…").click()
    button(page, "Agree and release").click()
    expect(page.locator("#status")).to_contain_text("The recording is released from hold 13.")
    bodies = [
        {"version": 1, "reason": "another street", "call_id": CALL},
        {"version": 2, "reason": "yes", "call_id": CALL},
    ]
    assert sent(desk) == [("/holds/13/release", body) for body in bodies]


def test_a_refused_release_says_why_from_the_present_state(desk, open_page):
    page = open_page(hold=12)

    def agree():
        page.get_by_label("Reason for the release").fill("yes")
        button(page, "Agree to the release…").click()
        yield
        button(page, "Agree and release").click()

    for _ in agree():
        desk.holds.conflict = True
    refused(page, "do not count as two people")
    desk.retention.doubt = "the clock is not synchronised"
    for _ in agree():
        pass
    refused(page, "the server's clock is in doubt. The clock is not synchronised.")
    for _ in agree():
        desk.holds.rows[12] |= {"asked_by": "gwen", "asked_for": "elsewhere", "version": 2}
    refused(page, "you have asked for this release yourself")
    expect(page.get_by_label("What is to be released")).to_be_focused()
    desk.holds.rows[12] |= {"asked_by": "nia"}
    page = open_page(hold=12)
    for _ in agree():
        desk.holds.rows[12] |= {"version": 3, "asked_by": ""}
    refused(page, "Not done: the hold was changed or released meanwhile.")
    expect(page.get_by_text("It has not been asked for yet.")).to_be_visible()
    desk.holds.rows[12] |= {"released": OPENED, "version": 4}
    page.get_by_text("Change the hold").click()
    field(page, "change", "reason").fill("too late")
    button(page, "Save the change").click()
    expect(page.locator(".retention .approvals:visible")).to_have_text("Hold 12 is released.")
    expect(page.get_by_role("heading", name="Hold 12: ")).to_be_focused()


def test_a_request_of_a_former_administrator_does_not_count(desk, open_page):
    desk.holds.rows[12] |= {"asked_by": "old"}
    page = open_page(hold=12)
    assert "asked" not in cells(page, "Holds", 1)[5]
    expect(page.get_by_text("It has not been asked for yet.")).to_be_visible()
    expect(button(page, "Ask for the release…")).to_be_visible()


def test_a_late_answer_about_another_hold_changes_nothing_of_the_hold_that_is_shown(
    desk, open_page
):
    page, held = open_page(hold=12), threading.Event()
    desk.slow = {"POST": held}
    button(page, "Show the recordings").click()
    page.get_by_text("Retain further recordings").click()
    field(page, "add", "ids").fill(CALL)
    button(page, "Retain these recordings").click()
    button(page, "13: Complaint 4").click()
    expect(page.get_by_role("heading", name="Hold 13: ")).to_be_focused()
    page.get_by_text("Retain further recordings").click()
    field(page, "add", "ids").fill("for 13")
    page.get_by_label("Reason for the release").fill("typed for 13")
    held.set()
    expect(page.locator("#status")).to_contain_text("Hold 12 now retains these recordings: 2.")
    expect(page.get_by_label("Reason for the release")).to_be_focused()
    assert page.get_by_label("Reason for the release").input_value() == "typed for 13"
    assert field(page, "add", "ids").input_value() == "for 13"
    expect(button(page, "Show the recordings")).to_be_visible()
    expect(page.get_by_role("table", name="Retained recordings")).to_be_hidden()
    expect(page.locator(".retention .approvals:visible")).to_have_text(
        "It has not been asked for yet."
    )


def test_the_page_is_only_for_administrators_and_says_if_it_is_not_up_to_date(
    desk, browser_page, address, open_page
):
    page = open_page()
    desk.refusing = 503
    page.get_by_label("Show released holds too").check()
    refused(page, "It is not up to date")
    button(page, "Back to the calls").click()
    expect(button(page, "Legal holds")).to_be_focused()
    desk.refusing = 0
    administer_nothing(desk)
    desk.me["role"] = "supervisor"
    browser_page.goto("about:blank")
    browser_page.goto(f"{address}/#holds")
    expect(button(browser_page, "Recordings")).to_be_visible()
    expect(button(browser_page, "Legal holds")).to_have_count(0)
    expect(browser_page.locator(".retention")).to_have_count(0)
