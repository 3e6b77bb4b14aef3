"""The lists of texts in the administration: what they show, and how they are changed.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from helpers.page_states import administer
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

CARD = "4111 1111 1111 1111"


@pytest.fixture
def texts(desk, browser_page, address):
    """The section with the lists in the administration."""
    administer(desk)
    browser_page.goto(f"{address}/#admin")
    browser_page.locator("#link[data-state=live]").wait_for()
    found = browser_page.get_by_role("region", name="Texts in both languages")
    found.get_by_role("heading", name="Names of lines").wait_for()
    return found


def group(texts, name):
    """One list, by its heading."""
    heading = texts.page.get_by_role("heading", name=name, exact=True)
    return texts.locator(".text-list").filter(has=heading)


def form(texts, name):
    """Open the form that changes a list, and return it."""
    group(texts, name).get_by_role("button", name="Change…").click()
    return group(texts, name).get_by_role("form", name=name)


def entry(opened, number):
    return opened.get_by_role("group", name=f"Entry {number}", exact=True)


def sent(desk):
    return [each for each in desk.asked if each[1].startswith("/texts")]


def saved(desk):
    wait_until(lambda: sent(desk), what="the request to save")
    (request,) = sent(desk)
    assert request[0] == "PUT"
    return [(each["code"], each["en"], each["cy"]) for each in request[2]["entries"]]


def test_lists_show_where_they_come_from_and_which_entries_lack_a_translation(texts):
    expect(texts.get_by_text("Without a translation: 2.")).to_be_visible()
    lines = group(texts, "Names of lines")
    expect(lines).to_contain_text("From the settings file: [[routes]] line, line_cy")
    expect(lines.get_by_role("row").filter(has_text="Housing")).to_contain_text("missing")
    assert lines.locator("td[lang=cy]").first.inner_text() == "Treth Gyngor"
    lunch = texts.get_by_role("row").filter(has_text="Lunch")
    expect(lunch).to_contain_text("same in both")
    expect(group(texts, "Reasons without a note")).to_contain_text("a part of Galwad")
    expect(texts.get_by_role("button", name="Use the settings' list again…")).to_have_count(0)


def test_a_changed_purpose_is_sent_with_its_version_and_the_page_says_who_changed_it(desk, texts):
    opened = form(texts, "Purposes of calls")
    english = entry(opened, 1).get_by_label("English")
    expect(english).to_be_focused()
    english.fill("  Missed bins ")
    opened.get_by_role("button", name="Save the list").click()
    purposes = group(texts, "Purposes of calls")
    expect(purposes.get_by_role("button", name="Change…")).to_be_focused()
    expect(opened).to_be_hidden()
    assert saved(desk) == [("waste-1", "Missed bins", "Casgliad a fethwyd")]
    assert sent(desk)[0][2]["version"] == f"{0:016x}"
    expect(purposes).to_contain_text("Changed here by gwen")
    expect(purposes.get_by_role("cell", name="Missed bins")).to_be_visible()


def test_entries_are_added_moved_and_removed_with_the_keyboard_and_the_focus_is_kept(desk, texts):
    page = texts.page
    status = page.locator("#status")
    opened = form(texts, "Reasons of breaks")
    opened.get_by_role("button", name="Add an entry").press("Enter")
    third = entry(opened, 3)
    expect(third.get_by_label("English")).to_be_focused()
    expect(status).to_contain_text("Entry 3 is added.")
    page.keyboard.type("Tea")
    page.keyboard.press("Tab")
    page.keyboard.type("Te")
    page.keyboard.press("Tab")
    page.keyboard.type("tea")
    third.get_by_role("button", name="Move up").press("Enter")
    second = entry(opened, 2)
    expect(second.get_by_label("English")).to_have_value("Tea")
    expect(second.get_by_role("button", name="Move up")).to_be_focused()
    expect(status).to_contain_text("Moved: entry 2 of 3 now.")
    page.keyboard.press("Enter")
    expect(entry(opened, 1).get_by_label("English")).to_have_value("Tea")
    expect(entry(opened, 1).get_by_role("button", name="Move up")).to_be_disabled()
    expect(entry(opened, 1).get_by_role("button", name="Move down")).to_be_focused()
    entry(opened, 3).get_by_role("button", name="Remove").press("Enter")
    expect(entry(opened, 2).get_by_role("button", name="Remove")).to_be_focused()
    expect(entry(opened, 3)).to_have_count(0)
    expect(status).to_contain_text("Entry 3 is removed. There are 2 now.")
    opened.get_by_role("button", name="Save the list").click()
    expect(opened).to_be_hidden()
    assert saved(desk) == [("tea", "Tea", "Te"), ("break", "Short break", "Seibiant byr")]


def test_the_last_entry_can_be_removed_and_the_focus_goes_to_the_button_that_adds_one(desk, texts):
    opened = form(texts, "Purposes of calls")
    entry(opened, 1).get_by_role("button", name="Remove").click()
    expect(opened.get_by_role("button", name="Add an entry")).to_be_focused()
    opened.get_by_role("button", name="Save the list").click()
    expect(group(texts, "Purposes of calls")).to_contain_text("None are set.")
    assert saved(desk) == []


def test_an_error_is_next_to_its_field_and_nothing_is_sent(desk, texts):
    opened = form(texts, "Reasons of breaks")
    opened.get_by_role("button", name="Add an entry").click()
    third = entry(opened, 3)
    for field, text, says in (
        ("English", "", "Write this text: each entry needs both languages."),
        ("Welsh", " ", "Write this text: each entry needs both languages."),
        ("English", CARD, "This looks like a payment card number."),
        ("Code", "Te!", "Use 1 to 32 lower-case letters"),
        ("Code", "lunch", "Another entry has this code"),
    ):
        for label, value in {"English": "Tea", "Welsh": "Te", "Code": "tea", field: text}.items():
            third.get_by_label(label).fill(value)
        opened.get_by_role("button", name="Save the list").click()
        wrong = third.get_by_label(field)
        expect(wrong, says).to_be_focused()
        expect(wrong, says).to_have_attribute("aria-invalid", "true")
        expect(wrong).to_have_accessible_description(re.compile(re.escape(says)))
        expect(opened.locator("[aria-invalid]"), says).to_have_count(1)
        assert sent(desk) == [], says
        wrong.fill("other")
        expect(opened.locator("[aria-invalid]"), says).to_have_count(0)
    opened.get_by_role("button", name="Save the list").click()
    expect(opened).to_be_hidden()


def test_two_purposes_with_the_same_text_are_marked(desk, texts):
    opened = form(texts, "Purposes of calls")
    opened.get_by_role("button", name="Add an entry").click()
    second = entry(opened, 2)
    second.get_by_label("English").fill("Missed collection")
    second.get_by_label("Welsh").fill("Arall")
    opened.get_by_role("button", name="Save the list").click()
    expect(second.get_by_label("English")).to_have_accessible_description(
        re.compile("Another entry has this text")
    )
    assert sent(desk) == []


def test_a_list_that_somebody_else_changed_meanwhile_is_shown_and_the_typed_text_stays(desk, texts):
    opened = form(texts, "Purposes of calls")
    desk.texts.change("purposes", [{"code": "w", "en": "Bins", "cy": "Biniau"}])
    entry(opened, 1).get_by_label("English").fill("Missed bins")
    opened.get_by_role("button", name="Save the list").click()
    purposes = group(texts, "Purposes of calls")
    expect(purposes.get_by_role("alert")).to_contain_text("another administrator has changed")
    expect(purposes.get_by_role("cell", name="Bins", exact=True)).to_be_visible()
    expect(entry(opened, 1).get_by_label("English")).to_have_value("Missed bins")
    opened.get_by_role("button", name="Save the list").click()
    expect(opened).to_be_hidden()
    assert [each[2]["version"] for each in sent(desk)] == [f"{0:016x}", f"{1:016x}"]
    expect(purposes.get_by_role("cell", name="Missed bins")).to_be_visible()


def test_the_desks_reason_is_shown_when_it_refuses_a_list(desk, texts):
    desk.texts.faults["purposes"] = "no_purpose"
    opened = form(texts, "Purposes of calls")
    opened.get_by_role("button", name="Save the list").click()
    alert = group(texts, "Purposes of calls").get_by_role("alert")
    expect(alert).to_contain_text("keep at least one purpose")
    expect(opened).to_be_visible()


def test_the_list_of_the_settings_file_is_used_again_after_a_confirmation(desk, texts):
    page = texts.page
    desk.texts.change("breaks", [{"code": "tea", "en": "Tea", "cy": "Te"}])
    page.reload()
    breaks = group(texts, "Reasons of breaks")
    expect(breaks).to_contain_text("Changed here by mair")
    button = breaks.get_by_role("button", name="Use the settings' list again…")
    button.click()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    breaks.get_by_role("button", name="Use the settings' list", exact=True).click()
    expect(breaks).to_contain_text("From the settings file")
    expect(breaks.get_by_role("cell", name="Short break")).to_be_visible()
    expect(page.get_by_role("heading", name="Reasons of breaks")).to_be_focused()
    expect(button).to_be_hidden()
    assert sent(desk) == [("DELETE", "/texts/breaks", {"version": f"{1:016x}"})]


def test_of_a_line_only_the_name_can_be_changed_and_no_line_can_be_added_or_removed(desk, texts):
    opened = form(texts, "Names of lines")
    expect(opened.get_by_role("button", name="Add an entry")).to_be_hidden()
    expect(opened.get_by_role("button", name="Remove")).to_have_count(0)
    housing = opened.get_by_role("group", name="Housing")
    expect(housing.get_by_label("Code")).to_have_count(0)
    housing.get_by_label("English").fill("Homes")
    opened.get_by_role("button", name="Save the list").click()
    expect(opened).to_be_hidden()
    assert saved(desk) == [
        ("Council Tax", "Council Tax", "Treth Gyngor"),
        ("Housing", "Homes", ""),
    ]


def test_the_code_of_a_break_cannot_be_changed_but_the_crm_code_of_a_purpose_can(texts):
    breaks = form(texts, "Reasons of breaks")
    assert entry(breaks, 1).get_by_label("Code").get_attribute("readonly") == ""
    purposes = form(texts, "Purposes of calls")
    expect(entry(purposes, 1).get_by_label("Code in the CRM")).to_be_editable()


def test_another_administrators_change_is_shown_at_once_and_an_open_form_keeps_its_text(
    desk, texts
):
    opened = form(texts, "Purposes of calls")
    entry(opened, 1).get_by_label("English").fill("Half a wo")
    desk.texts.change("purposes", [{"code": "w", "en": "Bins", "cy": "Biniau"}])
    desk.push("texts", desk.page_texts())
    expect(texts.get_by_role("cell", name="Bins", exact=True)).to_be_visible()
    expect(entry(opened, 1).get_by_label("English")).to_have_value("Half a wo")


def test_a_team_is_added_and_set_for_a_user(desk, texts):
    opened = form(texts, "Teams")
    expect(group(texts, "Teams")).to_contain_text("Supervisors see the advisors by team.")
    opened.get_by_role("button", name="Add an entry").click()
    added = entry(opened, 2)
    for label, value in {"English": "Council Tax", "Welsh": "Treth", "Code": "tax"}.items():
        added.get_by_label(label, exact=True).fill(value)
    opened.get_by_role("button", name="Save the list").click()
    expect(opened).to_be_hidden()
    assert saved(desk) == [("housing", "Housing", "Tai"), ("tax", "Council Tax", "Treth")]
    expect(group(texts, "Teams").get_by_role("button", name="Use")).to_have_count(0)
    desk.push("texts", desk.page_texts())
    page = texts.page
    sian = page.locator(".users > li").filter(has=page.get_by_role("heading", name="sian"))
    sian.get_by_role("button", name="Change…").click()
    expect(sian.get_by_label("Team", exact=True)).to_have_value("")
    sian.get_by_label("Team", exact=True).select_option("Council Tax")
    sian.get_by_role("button", name="Set the team").click()
    expect(page.locator("#status")).to_contain_text("The team of sian is changed.")
    expect(sian.locator("dt").filter(has_text="Team")).to_have_count(1)
    request = next(each for each in desk.asked if each[1] == "/users/sian")
    assert (request[0], request[2]["team"]) == ("PATCH", "tax")
    page.get_by_label("Find a user").fill("council tax")
    expect(page.locator(".users > li:visible .user-head h3")).to_have_text(["sian"])


def test_cancel_leaves_the_list_as_it_is(desk, texts):
    opened = form(texts, "Purposes of calls")
    entry(opened, 1).get_by_label("English").fill("Other")
    opened.get_by_role("button", name="Cancel").click()
    expect(group(texts, "Purposes of calls").get_by_role("button", name="Change…")).to_be_focused()
    opened = form(texts, "Purposes of calls")
    expect(entry(opened, 1).get_by_label("English")).to_have_value("Missed collection")
    assert sent(desk) == []


def test_the_lists_are_in_welsh_after_the_change_of_language(texts):
    form(texts, "Reasons of breaks")
    texts.page.get_by_role("button", name="Cymraeg").click()
    opened = texts.page.get_by_role("form", name="Rhesymau dros seibiannau")
    expect(opened.get_by_role("button", name="Cadw'r rhestr")).to_be_visible()
    expect(opened.get_by_role("group", name="Cofnod 1")).to_be_visible()
