"""The approval of a command line on the page, in `galwad/desk/static/command_line.js`."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer


@pytest.fixture
def opened(page):
    """The page at the address of the approval."""
    page.evaluate("location.hash = '#command-line'")
    expect(page.get_by_role("heading", name="Sign in a command line")).to_be_focused()
    return page


def sent(desk):
    return [(path, body) for _, path, body in desk.asked if path.startswith("/command-lines")]


def test_the_code_is_looked_up_and_approved_only_after_a_question(desk, opened):
    opened.get_by_label("Code of the command line").fill("bcdf-ghjk")
    opened.keyboard.press("Enter")
    question = opened.get_by_role("group", name="A command line at 192.0.2.7 asks")
    expect(question).to_be_focused()
    expect(question).to_contain_text("signed in as sian")
    expect(question).to_contain_text("Never approve a code that somebody has sent you.")
    assert sent(desk) == [("/command-lines/show", {"code": "bcdf-ghjk"})]
    opened.get_by_role("button", name="Approve", exact=True).click()
    expect(opened.locator(".command-line")).to_be_hidden()
    expect(opened.locator("#status")).to_contain_text("The command line is signed in.")
    assert sent(desk)[1:] == [("/command-lines/approve", {"code": "bcdf-ghjk"})]
    assert opened.evaluate("location.hash") == ""


def test_nothing_is_approved_if_the_user_refuses(desk, opened):
    opened.get_by_label("Code of the command line").fill("BCDFGHJK")
    opened.keyboard.press("Enter")
    opened.get_by_role("button", name="Do not approve").click()
    expect(opened.locator(".command-line")).to_be_hidden()
    assert [path for path, _ in sent(desk)] == ["/command-lines/show"]


def test_an_unknown_code_has_its_own_words_and_can_be_typed_again(desk, opened):
    desk.refusing = 404
    opened.get_by_label("Code of the command line").fill("BCDFGHJK")
    opened.keyboard.press("Enter")
    expect(opened.get_by_role("alert").filter(has_text="No command line waits")).to_be_visible()
    expect(opened.get_by_label("Code of the command line")).to_be_focused()


def test_a_person_who_must_sign_in_first_sees_the_form_afterwards(desk, browser_page, address):
    desk.signed_in = False
    browser_page.goto(f"{address}/#command-line")
    expect(browser_page.get_by_label("User name")).to_be_visible()
    desk.signed_in = True
    browser_page.reload()
    expect(browser_page.get_by_label("Code of the command line")).to_be_visible()
