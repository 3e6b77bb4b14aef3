"""The page about retention at `#retention`: `galwad/page/static/retention.js` and its sections."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import expect

from galwad.archive.clock import ClockWatch
from helpers.page_retention import a_rule, a_version, due
from helpers.page_states import administer_nothing, plan_retention
from helpers.page_users import a_user
from recording.audit.chain import RESTORED

pytestmark = pytest.mark.peer

RUN = "Dispose of recordings that are due now…"
SERIOUS = "Recordings that may go earlier: 63,414; that go later: 17; that are due at once: 18,033."


@pytest.fixture
def desk(desk):
    """A desk with rules in force, at which two administrators may dispose of recordings."""
    administer_nothing(desk)
    desk.time_zone = "Europe/London"
    desk.users.put(a_user("nia", "admin", rights=["purge"]))
    return desk


@pytest.fixture
def open_page(desk, browser_page, address):
    """Open the page, or read it again, as a user."""

    def open_page(user="gwen"):
        desk.me["user"] = user
        browser_page.goto("about:blank")
        browser_page.goto(f"{address}/#retention")
        browser_page.get_by_role("heading", name="Plan of disposals").wait_for()
        return browser_page

    return open_page


def cells(page, table, row):
    """The texts of a row of a table, by the name of the table."""
    found = page.get_by_role("table", name=table).locator("tbody tr").nth(row).locator("th, td")
    return [text.strip() for text in found.all_inner_texts()]


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def sent(desk):
    """The requests that change something."""
    return [(path, body) for method, path, body in desk.asked if method == "POST"]


def test_the_rules_in_force_and_the_plan_are_shown_in_words(desk, open_page):
    desk.retention.due = [due("general", 412, retained=3, restricted=1), due("old", 9, incidents=2)]
    desk.retention.kept["old"] = 1_009
    page = open_page()
    expect(page.get_by_role("heading", name="How long recordings are kept")).to_be_focused()
    expect(page.get_by_text("Version 3, in force since 23 Sept 2026.")).to_be_visible()
    assert [cells(page, "Rules in force", row) for row in range(3)] == [
        [
            "claims",
            "until a person disposes of them",
            "not counted",
            "none",
            "purposes: Claim; flags: sensitive",
            "17",
        ],
        [
            "highways",
            "6 years",
            "the end of the call's financial year (31 March)",
            "30 days",
            "lines: Highways, Waste",
            "4,310",
        ],
        ["general", "2 years", "the day of the call", "none", "all others", "61,204"],
    ]
    expect(page.get_by_text("Recordings in categories of earlier rules: 1,009.")).to_be_visible()
    assert cells(page, "Plan of disposals", 0) == ["general", "412", "30 Dec 2026", "3", "1", "0"]
    assert cells(page, "Plan of disposals", 1) == ["old", "9", "30 Dec 2026", "0", "0", "2"]
    desk.retention.due = []
    page.get_by_label("Due within").select_option("90 days")
    expect(page.get_by_text("No recording is due before 31 Mar 2027.")).to_be_visible()
    days = [path for _, path, _ in desk.asked if path.startswith("/retention")]
    assert days == ["/retention?days=30", "/retention?days=90"]
    for hidden in ("Disposals wait until the clock is confirmed", "waits for approval"):
        expect(page.get_by_role("heading", name=hidden)).to_have_count(0)
    desk.refusing = 503
    page.get_by_label("Due within").select_option("7 days")
    expect(page.get_by_role("alert").filter(has_text="It is not up to date")).to_be_visible()


def test_without_rules_in_force_and_with_a_clock_in_doubt_the_page_says_that_nothing_is_disposed_of(
    desk, open_page
):
    desk.retention.in_force, desk.retention.kept = None, {}
    desk.retention.doubt = "the clock was set by -5400 s"
    page = open_page()
    expect(page.get_by_text("No version of the rules is in force, so no rec")).to_be_visible()
    expect(page.get_by_text("The clock was set back by 1 h 30 min.")).to_be_visible()
    expect(page.get_by_text("the server's clock showed 31 Dec 2026, 12:00:00 GMT")).to_be_visible()
    expect(button(page, RUN)).to_be_hidden()
    reason = page.get_by_label("How did you check the clock?")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(reason).to_be_focused()
    desk.refusing, desk.reason = 403, "step_up_needed"
    page.keyboard.type("compared with the mobile network")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Stronger sign-in")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="Not done yet")).to_be_visible()
    desk.refusing, desk.reason = 0, ""
    button(page, "Confirm the clock").click()
    expect(
        page.get_by_role("heading", name="Disposals wait until the clock is confirmed")
    ).to_have_count(0)
    expect(page.locator("#status")).to_contain_text("The clock is confirmed.")
    confirmed = "/retention/clock", {"reason": "compared with the mobile network"}
    assert sent(desk) == [confirmed, confirmed]


class Audit:
    """An audit that keeps the newest doubt and confirmation of the clock."""

    def __init__(self):
        self.newest = {}

    async def last(self, kind):
        """Return the newest entry of a kind."""
        return self.newest.get(kind)

    async def append(self, kind, facts, *_):
        """Add an entry."""
        self.newest[kind] = SimpleNamespace(facts=facts, seq=1, at_us=0)


def doubt_about(step=0.0, newest_run=None, newest=None):
    """Return why a clock is in doubt that was set by `step` seconds after the run `newest_run`.

    `newest` is the kind of the newest entry in the audit.
    """
    now = [1e9]
    audit: Any = Audit()
    audit.newest[newest] = SimpleNamespace(facts={}, seq=1)
    watch = ClockWatch(
        audit, clock=lambda: now[0], uptime=lambda: 0.0, is_synchronised=lambda: False
    )
    now[0] += step

    async def why():
        await watch.check_step()
        await watch.check_gap(newest_run)
        return await watch.why_in_doubt()

    with ThreadPoolExecutor() as pool:  # the thread of the test has Playwright's event loop
        return pool.submit(asyncio.run, why()).result()


def test_each_doubt_about_the_clock_is_in_the_language_of_the_page(desk, open_page):
    runs = [SimpleNamespace(at_us=(1e9 + seconds) * 1e6, seq=1) for seconds in (-400_000, 4_000)]
    doubts = [doubt_about(), doubt_about(7_200), *(doubt_about(0, run) for run in runs)]
    doubts.append(doubt_about(newest=RESTORED))
    page = open_page()
    page.get_by_role("button", name="Cymraeg").click()
    welsh = [
        "Nid yw'r cloc wedi'i gydamseru.",
        "Cafodd y cloc ei droi ymlaen 2 awr.",
        "Roedd y rhediad nosol diwethaf 5 diwrnod yn ôl.",
        "Mae amser y rhediad nosol diwethaf yn hwyrach na nawr.",
        re.compile(r"^Nid yw'r cloc wedi'i gydamseru. Adferwyd copi wrth gefn"),
    ]
    for desk.retention.doubt, text in zip(doubts, welsh, strict=True):
        page.locator("#retention-days").dispatch_event("change")
        expect(page.locator(".retention .warning:visible")).to_have_text(text)
    assert cells(page, "Rheolau mewn grym", 1)[1:4] == [
        "6 blynedd",
        "diwedd blwyddyn ariannol yr alwad (31 Mawrth)",
        "30 diwrnod",
    ]


def test_a_waiting_version_is_compared_previewed_and_approved_by_two_administrators(
    desk, open_page
):
    desk.retention.propose()
    page = open_page()
    compared = "The new rules, compared with those in force"
    expect(page.get_by_role("heading", name="Version 4 waits for approval")).to_be_visible()
    expect(page.get_by_text("No administrator has approved them yet.")).to_be_visible()
    assert [cells(page, compared, row)[:3] for row in range(4)] == [
        ["highways", "Changed", "6 years"],
        ["waste", "New category", "5 years"],
        ["general", "Changed", "12 months\nin force: 2 years"],
        ["claims", "Removed", "in force: until a person disposes of them"],
    ]
    assert cells(page, compared, 0)[5] == "lines: Highways\nin force: lines: Highways, Waste"
    expect(button(page, "Approve…")).to_be_hidden()
    for user, approvals in (("gwen", ""), ("nia", "gwen has approved them.")):
        page = open_page(user)
        expect(page.locator(".approvals")).to_contain_text(approvals)
        button(page, "Show the effect").press("Enter")
        button(page, "Approve…").press("Enter")
        assert cells(page, "Effect on the recordings", 2) == [
            *("general", "61,221", "61,204", "17", "18,033")
        ]
        question = page.locator(".retention .ask:visible")
        expect(question).to_be_focused()
        expect(question).to_contain_text(f"Do you approve version 4? {SERIOUS}")
        page.keyboard.press("Escape")
        expect(button(page, "Approve…")).to_be_focused()
        page.keyboard.press("Enter")
        button(page, "Approve these rules").press("Enter")
        if user == "gwen":
            expect(page.locator(".approvals")).to_contain_text("You have approved them.")
            expect(page.get_by_role("heading", name="Version 4 waits")).to_be_focused()
            expect(button(page, "Approve…")).to_be_hidden()
    expect(page.get_by_role("heading", name="How long recordings are kept")).to_be_focused()
    expect(page.locator("#status")).to_contain_text("Version 4 of the rules is in force.")
    assert cells(page, "Rules in force", 2)[1] == "12 months"
    assert sent(desk) == [("/retention/approve", {"version": 4})] * 2


def test_a_refused_approval_shows_the_reason_and_the_present_state(desk, open_page):
    def approve(page):
        button(page, "Show the effect").click()
        button(page, "Approve…").click()
        yield
        button(page, "Approve these rules").click()

    def refused(text):
        expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible()

    desk.retention.propose()
    page = open_page()
    for _ in approve(page):
        desk.retention.waiting["approved_by"] = "user:gwen"  # in another window
    refused("Not done: you have approved version 4 already.")
    expect(page.locator(".approvals")).to_contain_text("You have approved them.")
    page = open_page("nia")
    for _ in approve(page):
        desk.retention.busy = True
    refused("Not done: recordings are being disposed of, or rules are being approved.")
    desk.retention.busy = False
    for _ in approve(page):
        desk.refusing = 403
    refused("Only an administrator who may dispose of recordings")
    desk.refusing = 0
    for _ in approve(page):
        desk.retention.waiting["version"] = 5
    refused("Not done: version 4 does not wait for approval any more.")
    expect(page.get_by_role("heading", name="Version 5 waits for approval")).to_be_visible()
    expect(button(page, "Approve…")).to_be_hidden()
    desk.retention.waiting = None
    button(page, "Show the effect").click()
    refused("Not done: version 5 does not wait for approval any more.")
    expect(page.get_by_role("heading", name="How long recordings are kept")).to_be_focused()
    assert sent(desk) == [("/retention/approve", {"version": 4})] * 4


def test_a_category_that_only_moved_is_marked_with_both_places(desk, open_page):
    claims, highways, general = desk.retention.in_force["rules"]
    first = a_rule("old", "1 day", lines=["Old"])
    desk.retention.waiting = a_version(4, first, highways, claims, general)
    page = open_page()
    rows = [cells(page, "The new rules, compared with those in force", row) for row in range(4)]
    assert [row[1] for row in rows] == [
        "New category",
        "Moved: rule 2, in force rule 2",
        "Moved: rule 3, in force rule 1",
        "Unchanged",
    ]


def counts(disposed, failed=0, waits="", after=None):
    """Return an answer to the request to dispose of recordings."""
    return {"disposed": disposed, "failed": failed, "waits": waits, "after": after}


def test_due_recordings_are_disposed_of_in_parts_after_a_confirmation(desk, open_page):
    page = open_page()
    button(page, RUN).click()
    expect(page.get_by_text("No recording is due now.", exact=True).first).to_be_visible()
    desk.retention.due = [due("general", 1_253, retained=3, restricted=1, incidents=1)]
    button(page, RUN).press("Enter")
    question = page.locator(".retention .ask:visible")
    expect(question).to_contain_text("Recordings that are due now: 1,248.")
    expect(question).to_contain_text("Recordings that are due, but kept: 5.")
    assert sent(desk) == []
    desk.retention.runs = [counts(99, 1, after="a"), counts(100, after="b"), counts(0, 1)]
    button(page, "Dispose of them").press("Enter")
    result = page.get_by_text("Disposed of: 199. Could not be disposed of: 2.")
    expect(page.locator(".run").filter(has=result)).to_be_visible()
    expect(page.locator("#status")).to_contain_text("Disposed of: 199.")
    expect(page.locator(".run")).to_contain_text("are tried again each night")
    expect(button(page, RUN)).to_be_focused()
    assert sent(desk) == [
        ("/retention/run", {"limit": 100}),
        ("/retention/run", {"limit": 100, "after": "a"}),
        ("/retention/run", {"limit": 100, "after": "b"}),
    ]
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.locator(".run")).to_contain_text("Gwaredwyd: 199. Ni ellid gwaredu: 2.")


def test_a_run_is_stopped_by_a_person_and_ends_when_the_desk_waits_or_refuses(desk, open_page):
    page = open_page()
    run, held = page.locator(".run"), threading.Event()
    desk.retention.due = [due("general", 500)]

    def begin(*answers):
        desk.retention.runs = list(answers)
        button(page, RUN).click()
        button(page, "Dispose of them").click()

    desk.slow = {"POST": held}
    begin(counts(100, after="a"), counts(100, after="b"))
    expect(run).to_contain_text("Disposed of so far: 0 of 500.")
    expect(button(page, "Stop")).to_be_focused()
    page.keyboard.press("Enter")
    expect(run).to_contain_text("Stopping: the server finishes what it has begun.")
    held.set()
    expect(run).to_contain_text("Stopped. What is left is disposed of in the next night")
    expect(run).to_contain_text("Disposed of: 100.")
    assert len(desk.retention.runs) == 1
    begin(counts(40, waits="the finaliser cannot be reached", after="a"))
    expect(run).to_contain_text("Nothing more was disposed of. The service that destroys")
    desk.retention.busy = True
    begin()
    expect(run.get_by_role("alert")).to_contain_text("Not done: recordings are being disposed of")
    expect(run).not_to_contain_text("Disposed of: ")


def test_the_page_is_for_administrators_and_without_the_right_it_changes_nothing(
    desk, browser_page, address
):
    plan_retention(desk)
    desk.retention.doubt = "the clock is not synchronised"
    desk.users.put(a_user("gwen", "admin"))
    browser_page.goto(address)
    button(browser_page, "Retention").click()
    expect(browser_page.get_by_text("You can look at everything here.")).to_be_visible()
    button(browser_page, "Show the effect").click()
    expect(browser_page.get_by_role("table", name="Effect on the recordings")).to_be_visible()
    for name in ("Approve…", "Confirm the clock", RUN):
        expect(button(browser_page, name)).to_be_hidden()
    desk.retention.doubt = ""
    browser_page.reload()
    browser_page.get_by_role("heading", name="Plan of disposals").wait_for()
    expect(button(browser_page, RUN)).to_be_hidden()
    button(browser_page, "Back to the calls").click()
    expect(button(browser_page, "Retention")).to_be_focused()
    desk.me["role"] = "supervisor"
    browser_page.goto("about:blank")
    browser_page.goto(f"{address}/#retention")
    expect(button(browser_page, "Recordings")).to_be_visible()
    expect(button(browser_page, "Retention")).to_have_count(0)
    expect(browser_page.locator(".retention")).to_have_count(0)


def test_the_page_is_in_welsh_after_the_change_of_language(desk, open_page):
    plan_retention(desk)
    page = open_page()
    button(page, "Show the effect").click()
    button(page, "Approve…").click()
    page.get_by_role("button", name="Cymraeg").click()
    expect(page.get_by_role("heading", name="Mae fersiwn 4 yn aros am")).to_be_visible()
    expect(page.locator(".retention .ask:visible")).to_contain_text("fynd yn gynt: 63,414;")
    assert cells(page, "Y rheolau newydd, o'u cymharu â'r rhai mewn grym", 2)[1:3] == [
        "Wedi'i newid",
        "12 mis\nmewn grym: 2 flynedd",
    ]
    text = page.locator(".retention").inner_text()
    assert not re.search(r"\b(the|recordings|rules|days|of)\b", text)
