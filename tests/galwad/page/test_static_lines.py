"""The names of lines in the language of the page.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from helpers.page_states import MAIR, OWEN, administer, answer, ring

pytestmark = pytest.mark.peer


@pytest.fixture
def desk(desk):
    """The scripted desk, which knows the Welsh name of one line."""
    desk.line_names = {"Council Tax": "Treth Gyngor"}
    return desk


def speak(page, name):
    page.get_by_role("button", name=name).click()
    code = {"English": "en", "Cymraeg": "cy"}[name]
    expect(page.locator("html")).to_have_attribute("lang", code)


def test_a_line_has_its_welsh_name_on_the_welsh_page_and_changes_with_the_language(
    desk, page, said
):
    ring(desk, MAIR, line="Council Tax")
    title = page.locator(".call .line-name")
    expect(title).to_have_text("Council Tax")
    speak(page, "Cymraeg")
    expect(title).to_have_text("Treth Gyngor")
    assert "Treth Gyngor" in page.title()
    speak(page, "English")
    expect(title).to_have_text("Council Tax")
    assert ("urgent", "Incoming call: Council Tax") in said()


def test_a_call_is_announced_in_welsh_with_the_welsh_name_of_its_line(desk, page, said):
    speak(page, "Cymraeg")
    ring(desk, MAIR, line="Council Tax")
    expect(page.locator(".call .line-name")).to_have_text("Treth Gyngor")
    assert "Treth Gyngor" in str(said())
    assert "Council Tax" not in str(said())


def test_a_line_without_a_welsh_name_keeps_its_name(desk, page):
    speak(page, "Cymraeg")
    answer(desk, OWEN, line="Housing")
    expect(page.locator(".call .line-name")).to_have_text("Housing")


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([MAIR], r"^\S+ \S+, Treth Gyngor$"),
        ([OWEN], r"^Good \w+, Council Tax$"),
        ([], r"^\S+ \S+ / Good \w+, Treth Gyngor / Council Tax$"),
    ],
)
def test_the_greeting_names_the_line_in_the_callers_language(desk, page, people, said):
    ring(desk, *people, line="Council Tax")
    expect(page.locator(".greeting .say")).to_have_text(re.compile(said))


def test_the_line_names_in_the_list_of_undelivered_notes_change_with_the_language(
    desk, browser_page, address
):
    administer(desk)
    desk.undelivered[0]["line"] = "Council Tax"
    browser_page.goto(address)
    row = browser_page.get_by_role("row").filter(has_text="sian").filter(has_text="status 422")
    expect(row).to_contain_text("Council Tax")
    speak(browser_page, "Cymraeg")
    expect(row).to_contain_text("Treth Gyngor")
    browser_page.reload()
    expect(row).to_contain_text("Treth Gyngor")
