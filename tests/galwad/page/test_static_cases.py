"""The page about requests at `#cases`: `galwad/page/static/cases.js` and its sections."""

from __future__ import annotations

import re
import threading

import pytest
from playwright.sync_api import expect

from helpers.page_cases import CALLS, a_call, a_case
from helpers.page_states import keep_cases
from helpers.page_users import a_user

pytestmark = pytest.mark.peer


@pytest.fixture
def desk(desk):
    """A desk with two cases on 3 December 2026."""
    keep_cases(desk)
    desk.time_zone = "Europe/London"
    desk.users.put(a_user("nia", "admin"), a_user("sian"))
    return desk


@pytest.fixture
def open_page(desk, browser_page, address):
    """Open the page; with a number, show this case."""

    def open_page(case=None):
        browser_page.clock.set_fixed_time("2026-12-03T12:00:00Z")
        browser_page.goto(f"{address}/#cases")
        browser_page.get_by_role("heading", name="Cases", exact=True).wait_for()
        if case is not None:
            button(browser_page, re.compile(f"^{case}: ")).press("Enter")
            expect(browser_page.get_by_role("heading", name=f"Case {case}: ")).to_be_focused()
        return browser_page

    return open_page


def button(page, name):
    return page.get_by_role("button", name=name, exact=not isinstance(name, re.Pattern))


def cells(page, table, row):
    """Return the texts of a row of a table, by the name of the table."""
    found = page.get_by_role("table", name=table).locator("tbody tr").nth(row).locator("th, td")
    return [text.strip() for text in found.all_inner_texts()]


def facts(page):
    """Return the facts of the case that is shown, by their names."""
    names = page.locator(".retention dl dt").all_inner_texts()
    return dict(zip(names, page.locator(".retention dl dd").all_inner_texts(), strict=True))


def sent(desk, *methods):
    return [(path, body) for method, path, body in desk.asked if method in methods]


def refused(page, text):
    expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible()


def done(page, text):
    expect(page.locator(".retention .approvals:visible", has_text=text)).to_be_visible()


def test_the_cases_are_listed_with_their_deadlines_and_one_in_detail(desk, open_page):
    page = open_page()
    expect(page.get_by_role("heading", name="Requests about personal data")).to_be_focused()
    assert cells(page, "Cases", 0) == [
        "3: SAR 2026/4",
        "a copy of the data",
        "Mair Evans",
        "25 Nov 2026",
        "29 Dec 2026",
        "gwen",
        "open",
    ]
    assert cells(page, "Cases", 1)[4:] == ["31 Oct 2026", "gwen", "overdue"]
    button(page, re.compile("^3: ")).click()
    expect(page.get_by_role("heading", name="Case 3: SAR 2026/4")).to_be_focused()
    shown = facts(page)
    assert shown["Answer by"] == shown["Last day to extend"] == "29 Dec 2026"
    assert shown["Who asks, if it is another person"] == "Ann Evans, by right of: daughter"
    text = page.locator(".retention").inner_text()
    assert "People in the directory HR, “”: cannot be searched by a text" in text
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.get_by_role("heading", name="Achosion", exact=True)).to_be_visible()
    text = page.locator(".retention").inner_text()
    for name in ("called back", "of Owen", "all calls", "galwad cases"):
        text = text.replace(name, "")
    assert not re.search(r"\b(the|calls?|cases?|search(ed)?|of|who)\b", text, re.IGNORECASE)


def test_a_case_is_opened_and_shown(desk, open_page):
    desk.cases.rows.clear()
    page = open_page()
    expect(page.get_by_text("There is no open case.")).to_be_visible()
    page.locator("#cases-new-kind").select_option("erasure")
    page.locator("#cases-new-reference").fill("  E 9  ")
    button(page, "Open the case").click()
    assert sent(desk, "POST") == []  # the browser asks for the name
    page.locator("#cases-new-name").fill("Mair Evans")
    page.locator("#cases-new-received").fill("2026-12-01")
    page.locator("#cases-new-owner").select_option("nia")
    button(page, "Open the case").click()
    expect(page.get_by_role("heading", name="Case 1: E 9")).to_be_focused()
    done(page, "Case 1 is open.")
    ((path, body),) = sent(desk, "POST")
    assert (path, body["kind"], body["reference"]) == ("/cases", "erasure", "E 9")
    assert (body["received"], body["language"], body["owner"]) == ("2026-12-01", "cy", "nia")
    assert "call_id" not in body
    assert page.locator("#cases-new-reference").input_value() == ""
    assert page.locator("#cases-new-received").input_value() == "2026-12-03"


def test_only_steps_that_fit_are_offered_and_one_can_be_withdrawn(desk, open_page):
    page = open_page(3)
    offered = page.locator("#cases-step-step option")
    assert "The person said what they mean" not in offered.all_inner_texts()
    page.locator("#cases-step-step").select_option("scope-asked")
    expect(page.locator("#cases-step-outcome")).to_be_hidden()
    button(page, "Enter the step").click()
    done(page, "The step is entered.")
    assert facts(page)["State"] == "waits for a clarification"
    assert facts(page)["Answer by"] == "29 Dec 2026, if the person answered today"
    assert "The person said what they mean" in offered.all_inner_texts()
    page.locator("summary", has_text="Withdraw a step").click()
    page.get_by_label("Reason", exact=True).fill("another case")
    button(page, "Withdraw the step").click()
    done(page, "The step is withdrawn.")
    expect(page.get_by_text("Withdrawn: another case")).to_be_visible()
    assert facts(page)["State"] == "open"
    assert sent(desk, "POST")[-1] == (
        "/cases/3/steps/withdraw",
        {"position": 2, "reason": "another case"},
    )


def test_the_end_of_a_case_needs_an_outcome_and_a_refusal_a_reason(desk, open_page):
    page = open_page(3)
    page.locator("#cases-step-step").select_option("closed")
    page.locator("#cases-step-outcome").select_option("refused")
    button(page, "Enter the step").click()
    assert sent(desk, "POST") == []  # the browser asks for the reason
    page.locator("#cases-step-note").fill("manifestly excessive")
    button(page, "Enter the step").click()
    done(page, "The step is entered.")
    assert sent(desk, "POST")[-1][1]["outcome"] == "refused"
    expect(page.locator("#cases-search-number")).to_be_hidden()
    page.get_by_label("Show closed cases too").check()
    expect(page.get_by_role("cell", name="closed", exact=True).first).to_be_visible()


def test_a_step_that_does_not_fit_any_more_is_refused_and_what_was_typed_stays(desk, open_page):
    page = open_page(3)
    page.locator("#cases-step-step").select_option("extended")
    page.locator("#cases-step-note").fill("many calls")
    desk.cases.rows[3]["version"] = 9
    button(page, "Enter the step").click()
    refused(page, "or somebody else has changed it")
    assert page.locator("#cases-step-note").input_value() == "many calls"
    button(page, "Enter the step").click()
    done(page, "The step is entered.")
    assert sent(desk, "POST")[-1][1]["version"] == 9
    assert facts(page)["Answer by"] == "25 Feb 2027"


def test_an_administrator_takes_a_case_that_an_advisor_has_opened(desk, open_page):
    desk.cases.rows[3]["owner"] = ""
    page = open_page(3)
    expect(page.get_by_role("row", name="3: SAR 2026/4")).to_contain_text("nobody yet")
    assert facts(page)["Owner"] == "nobody yet"
    button(page, "Become the owner").click()
    done(page, "You are the owner of the case.")
    assert facts(page)["Owner"] == "gwen"
    expect(button(page, "Become the owner")).to_have_count(0)
    assert sent(desk, "PUT")[-1][1] == {"version": 1, "owner": "gwen"}


def test_a_person_is_searched_for_by_name_and_then_chosen(desk, open_page):
    desk.cases.searches.clear()
    page = open_page(3)
    page.locator("#cases-search-text").fill("Mair Evans")
    page.locator("#cases-search-number").fill("01970 123456")
    button(page, "Search").click()
    refused(page, "Give a number, or a name or reference, but not both.")
    page.locator("#cases-search-number").fill("")
    button(page, "Search").click()
    done(page, "People found: 1.")
    expect(page.get_by_text("Mair Evans, CT-4471902, 01970 123456")).to_be_visible()
    button(page, "Find the calls of Mair Evans").click()
    expect(button(page, "Find the calls of Mair Evans")).to_have_count(0)
    done(page, "Calls added to the case: 3.")
    bodies = [body for path, body in sent(desk, "POST") if path == "/cases/3/searches"]
    assert bodies == [{"text": "Mair Evans"}, {"text": "Mair Evans", "person": "crm:1042"}]
    button(page, "Remove the search for “Mair Evans”").last.click()
    done(page, "The search is removed.")
    assert len(desk.cases.searches) == 1
    page.locator("#cases-search-number").fill("01970 123456")
    page.locator("#cases-search-number").press("Enter")
    done(page, "Calls added to the case: 3.")


def test_chosen_calls_are_excluded_for_a_reason_and_included_again(desk, open_page):
    desk.cases.page = 2
    desk.cases.calls.append(a_call(CALLS[2], recording="", line="", advisor=""))
    page = open_page(3)
    expect(page.get_by_text("Found: 3. Excluded: 1.")).to_be_visible()
    button(page, "Show the calls").click()
    table = page.get_by_role("table", name="Calls").locator("tbody tr")
    expect(table).to_have_count(2)
    assert cells(page, "Calls", 1)[4:] == ["recorded", "crm:7", "of Owen"]
    page.locator("button[data-t='recordings.next']").click()
    expect(table).to_have_count(3)
    assert cells(page, "Calls", 2)[4] == "none"
    page.get_by_role("checkbox", name=re.compile("^Choose the call of")).first.check()
    button(page, "Exclude the chosen calls").click()
    assert sent(desk, "PUT") == []  # the browser asks for the reason
    page.locator("#cases-exclude-why").fill("another person")
    button(page, "Exclude the chosen calls").click()
    done(page, "Calls excluded: 1.")
    expect(page.get_by_text("Found: 3. Excluded: 2.")).to_be_visible()
    assert cells(page, "Calls", 0)[6] == "another person"
    page.get_by_role("checkbox", name=re.compile("^Choose the call of")).nth(1).check()
    button(page, "Include the chosen calls").click()
    done(page, "Calls included: 1.")
    assert sent(desk, "PUT") == [
        ("/cases/3/calls", {"call_ids": [CALLS[0]], "reason": "another person"}),
        ("/cases/3/calls", {"call_ids": [CALLS[1]], "reason": ""}),
    ]
    button(page, "Include the chosen calls").click()
    refused(page, "Choose a call first.")


def test_hostile_texts_are_shown_as_text(desk, open_page):
    hostile = "<img src=x onerror=alert(1)>\u202egnp.exe"
    desk.cases.put(a_case(3, hostile, name=hostile, details=hostile))
    desk.cases.calls = [a_call(CALLS[0], excluded=hostile, person=hostile)]
    page = open_page(3)
    button(page, "Show the calls").click()
    expect(page.get_by_role("table", name="Calls").locator("tbody tr")).to_have_count(1)
    expect(page.locator(".retention img")).to_have_count(0)
    assert "\u202e" not in page.locator(".retention").inner_text()


def test_what_was_typed_stays_if_the_desk_does_not_answer(desk, open_page):
    page = open_page(3)
    page.locator("#cases-new-reference").fill("E 9")
    page.locator("#cases-new-name").fill("Mair Evans")
    desk.refusing = 500
    button(page, "Open the case").click()
    expect(page.get_by_role("alert").locator("visible=true").first).to_be_visible()
    assert page.locator("#cases-new-reference").input_value() == "E 9"


@pytest.mark.parametrize("role", ["advisor", "supervisor"])
def test_only_administrators_see_the_page(desk, browser_page, address, role):
    desk.me["role"] = role
    browser_page.goto(f"{address}/#cases")
    browser_page.locator("#link[data-state=live]").wait_for()
    expect(browser_page.get_by_role("button", name="Requests", exact=True)).to_be_hidden()
    expect(browser_page.get_by_role("heading", name="Requests about personal data")).to_have_count(
        0
    )


def test_a_slow_answer_changes_only_the_calls_that_were_sent(desk, open_page):
    page = open_page(3)
    button(page, "Show the calls").click()
    boxes = page.get_by_role("checkbox", name=re.compile("^Choose the call of"))
    boxes.first.check()
    page.locator("#cases-exclude-why").fill("another person")
    held = threading.Event()
    desk.slow = {"PUT": held}
    button(page, "Exclude the chosen calls").click()
    boxes.nth(1).check()
    held.set()
    done(page, "Calls excluded: 1.")
    assert [cells(page, "Calls", row)[6] for row in range(2)] == ["another person", "of Owen"]
    assert boxes.nth(1).is_checked()


def test_what_was_read_and_typed_for_one_case_is_not_shown_for_another(desk, open_page):
    page = open_page(3)
    button(page, "Show the calls").click()
    expect(page.get_by_role("table", name="Calls")).to_be_visible()
    page.locator("#cases-step-note").fill("about case 3")
    button(page, re.compile("^2: ")).click()
    expect(page.get_by_role("heading", name="Case 2: ")).to_be_focused()
    expect(page.get_by_role("table", name="Calls")).to_be_hidden()
    assert page.locator("#cases-step-note").input_value() == ""


def test_a_search_that_finds_nobody_says_so(desk, open_page):
    desk.cases.people.clear()
    page = open_page(3)
    page.locator("#cases-search-text").fill("Nobody")
    button(page, "Search").click()
    done(page, "The directories know no such person.")
    assert page.locator("#cases-search-text").input_value() == "Nobody"
