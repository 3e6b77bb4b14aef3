"""Chromium on the real desk: no crash of the desk or of the browser loses what was typed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Error, expect

from helpers.peers.scripted import ScriptedSwitch
from helpers.peers.service import PASSWORD
from helpers.peers.waiting import PATIENCE_S

pytestmark = pytest.mark.peer

CALLER = "01632960001"
PEOPLE = f"reference,name,numbers,language\nP1,Mair Pritchard,{CALLER},cy\n"
SETTINGS = "\n[contact_notes]\nwrap_up = 5\n"


@pytest.fixture
def switch(start, ended):
    """A scripted switch under a real desk, whose advisors are in wrap-up for five seconds."""
    service = start(users=True, more=SETTINGS)
    people = service.folder / "people.csv"
    people.write_text(PEOPLE, encoding="utf-8")
    service.galwad("directory", "import", str(people))
    switch = ended(ScriptedSwitch(service.runtime / "switch.sock"))
    service.start("desk")
    switch.service = service
    return switch


@pytest.fixture
def new_page(chromium, switch):
    """Return a function that signs sian in, in a browser profile of its own."""
    contexts = []

    def new_page():
        context = chromium.new_context(locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1_000)
        page.goto(switch.service.url)
        page.get_by_label("User name").fill("sian")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator("#link[data-state=live]").wait_for()
        return page

    yield new_page
    for context in contexts:
        context.close()


def notes(page):
    return page.get_by_label("Notes", exact=True)


def stored(page):
    expect(page.locator(".saved")).to_have_text("Draft saved")


def test_nothing_typed_is_lost_when_the_desk_is_killed_in_mid_typing(switch, new_page):
    page = new_page()
    switch.ring(CALLER)
    switch.answer()
    expect(notes(page)).to_be_visible()  # only now can it take the focus
    notes(page).press_sequentially("Black bin, ")
    stored(page)
    notes(page).press_sequentially("not emptied ")
    switch.service.kill("desk")
    notes(page).press_sequentially("for two weeks")
    expect(page.locator(".saved")).to_have_text("Not saved yet: no connection")
    switch.service.start("desk")
    stored(page)
    expect(notes(page)).to_have_value("Black bin, not emptied for two weeks")
    switch.service.kill("desk")
    switch.service.start("desk")
    expect(notes(new_page())).to_have_value("Black bin, not emptied for two weeks")


def test_a_draft_and_the_row_of_its_call_survive_a_crash_of_the_browser_and_of_the_desk(
    switch, new_page
):
    page = new_page()
    switch.ring(CALLER)
    switch.answer()
    page.get_by_role("button", name="Checks passed").click()
    notes(page).fill("Black bin")
    stored(page)
    with pytest.raises(Error, match="crash"):
        page.goto("chrome://crash")
    page = new_page()
    expect(notes(page)).to_have_value("Black bin")
    switch.hang_up()
    row = page.locator(".open-notes li")
    expect(row).to_contain_text("Mair Pritchard")
    switch.service.kill("desk")
    switch.service.galwad("directory", "import", str(empty(switch.service.folder)))
    switch.service.start("desk")
    page = new_page()
    row = page.locator(".open-notes li")
    expect(row).to_contain_text("Mair Pritchard")
    expect(row).to_contain_text("01632 960001")
    expect(row).to_contain_text("Draft saved")
    page.keyboard.press("F2")
    expect(notes(page)).to_have_value("Black bin")
    page.keyboard.type("Missed collection")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    expect(row).to_have_count(0)


def empty(folder):
    """Return an import file with another person, so that no directory has the caller."""
    other = folder / "other.csv"
    other.write_text("reference,name,numbers,language\nP2,Other,01632960099,en\n")
    return other
