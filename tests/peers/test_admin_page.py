"""Chromium on the administration of a real desk: users, and the lists of texts."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import tone
from helpers.peers.crm_tables import PEOPLE, TABLE, directory_settings
from helpers.peers.postgresql import PostgreSql
from helpers.peers.programs import Baresip
from helpers.peers.scripted import ScriptedSwitch
from helpers.peers.service import CALLER, PASSWORD
from helpers.peers.sound import save
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer


@pytest.fixture
def open_page(chromium, service):
    """Return a function that opens the page and signs a user in; each has a browser of its own."""
    yield from opener(chromium, service)


def opener(chromium, service):
    contexts = []

    def open_page(user, password=PASSWORD, fragment=""):
        context = chromium.new_context(locale="en-GB")
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{service.url}/{fragment}")
        sign_in(page, user, password)
        return page

    yield open_page
    for context in contexts:
        context.close()


def sign_in(page, user, password):
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_an_added_user_signs_in_and_registers_a_phone_and_is_signed_out_when_disabled(
    service, open_page, ended
):
    """Two browsers and a phone: 5 s of CPU time."""
    ceri = open_page("ceri", fragment="#admin")
    ceri.get_by_role("button", name="Add a user…").click()
    ceri.get_by_label("Name to sign in with").fill("nia")
    ceri.get_by_label("Role", exact=True).select_option("supervisor")
    ceri.get_by_label("Extension of the phone").fill("209")
    ceri.get_by_role("button", name="Add", exact=True).click()
    secrets = ceri.get_by_role("group", name="For nia, shown only this once")
    password = secrets.get_by_label("Password", exact=True).input_value()
    sip_password = secrets.get_by_label("SIP password").input_value()
    expect(secrets.get_by_label("SIP user")).to_have_value("209")
    secrets.get_by_role("button", name="I have copied this").click()

    nia = open_page("nia", password)
    nia.locator("#link[data-state=live]").wait_for()
    expect(nia.get_by_role("button", name="Administration")).to_be_hidden()
    service.sip_password = sip_password
    said = service.folder / "silence.wav"
    save(said, tone(1, 440))
    ended(Baresip(service.folder, service, said, extension="209")).wait_registered()

    row = ceri.locator(".users > li").filter(
        has=ceri.get_by_role("heading", name="nia", exact=True)
    )
    row.get_by_role("button", name="Change…").click()
    row.get_by_role("button", name="Disable…").click()
    row.get_by_role("button", name="Disable", exact=True).click()
    expect(row).to_contain_text("disabled")
    expect(nia.get_by_label("User name")).to_be_visible()
    sign_in(nia, "nia", password)
    expect(nia.get_by_text("The user name or password is not right.")).to_be_visible()

    row.get_by_role("button", name="Enable").click()
    expect(row).not_to_contain_text("disabled")  # the desk has enabled the user
    sign_in(nia, "nia", password)
    nia.locator("#link[data-state=live]").wait_for()
    row.get_by_role("button", name="Remove…").click()
    row.get_by_role("button", name="Remove", exact=True).click()
    expect(row).to_have_count(0)
    expect(nia.get_by_label("User name")).to_be_visible()
    listed = json.loads(service.galwad("users", "list", "--json"))
    assert [each["user"] for each in listed] == ["ceri", "sian"]


def test_an_administrator_cannot_disable_their_own_account(open_page):
    ceri = open_page("ceri", fragment="#admin")
    row = ceri.locator(".users > li").filter(has=ceri.get_by_role("heading", name="ceri"))
    row.get_by_role("button", name="Change…").click()
    expect(row).to_contain_text("This is your own account.")
    expect(row.get_by_role("button", name="Disable…")).to_have_count(0)
    reply = ceri.evaluate(
        """async () => {
            const { users } = await (await fetch("/api/v1/users")).json();
            const { version } = users.find(({ name }) => name === "ceri");
            const reply = await fetch("/api/v1/users/ceri", {
                method: "PATCH",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ version, disabled: true }),
            });
            return [reply.status, (await reply.json()).reason];
        }"""
    )
    assert reply == [409, "self"]


PURPOSES = """
[contact_notes]
free_text = false
[[contact_notes.purposes]]
en = "Missed collection"
cy = "Casgliad a fethwyd"
code = "waste-1"
"""


@pytest.fixture
def crm(ended):
    """A PostgreSQL with people, and a table for notes."""
    server = ended(PostgreSql())
    server.sql(TABLE + PEOPLE)
    return server


@pytest.fixture
def switch(start, ended, crm, tmp_path):
    """A scripted switch under a real desk with purposes, which delivers notes to `crm`."""
    service = start(users=True, more=PURPOSES + directory_settings(crm, tmp_path))
    switch = ended(ScriptedSwitch(service.runtime / "switch.sock"))
    service.start("desk")
    switch.service = service
    return switch


@pytest.fixture
def new_page(chromium, switch):
    """Return a function as `open_page` does, for the desk under the scripted switch."""
    yield from opener(chromium, switch.service)


def test_a_changed_purpose_is_offered_on_an_open_page_survives_a_kill_and_reaches_the_crm(
    switch, new_page, crm
):
    ceri, sian = new_page("ceri", fragment="#admin"), new_page("sian")
    sian.locator("#link[data-state=live]").wait_for()
    switch.ring(CALLER)
    switch.answer()
    recording = sian.get_by_role("region", name="Recording")
    expect(recording.get_by_text("Both sides are being recorded.")).to_be_visible()
    sian.get_by_label("Purpose of the call").focus()
    offered = sian.locator("form.contact datalist option")
    expect(offered).to_have_attribute("value", "Missed collection")
    sian.evaluate("window.loadedOnce = true")

    purposes = ceri.locator(".text-list").filter(
        has=ceri.get_by_role("heading", name="Purposes of calls")
    )
    expect(purposes).to_contain_text("[[contact_notes.purposes]]")
    purposes.get_by_role("button", name="Change…").click()
    purposes.get_by_label("English").fill("Missed bins")
    purposes.get_by_label("Welsh").fill("Biniau a fethwyd")
    purposes.get_by_label("Code in the CRM").fill("waste-2")
    purposes.get_by_role("button", name="Save the list").click()
    expect(purposes).to_contain_text("Changed here by ceri")
    expect(offered).to_have_attribute("value", "Missed bins")

    switch.service.kill("desk")
    sian.locator("#link[data-state=lost]").wait_for()
    switch.service.start("desk")
    sian.locator("#link[data-state=live]").wait_for()
    expect(offered).to_have_attribute("value", "Missed bins")
    sian.get_by_label("Purpose of the call").fill("Missed collection")
    sian.get_by_role("button", name="Save contact note").click()
    expect(sian.locator(".saved")).to_have_text("Not saved. Choose a purpose from the list.")
    sian.get_by_label("Purpose of the call").fill("Biniau a fethwyd")
    sian.get_by_role("button", name="Save contact note").click()
    expect(sian.locator(".saved")).to_have_text("Saved")
    wait_until(
        lambda: (
            crm.sql("SELECT purpose, purpose_code FROM galwad.notes")
            == ["Biniau a fethwyd|waste-2"]
        )
    )
    assert sian.evaluate("window.loadedOnce")
    ceri.reload()
    expect(purposes).to_contain_text("Changed here by ceri")
    purposes.get_by_role("button", name="Use the settings' list again…").click()
    purposes.get_by_role("button", name="Use the settings' list", exact=True).click()
    expect(offered).to_have_attribute("value", "Missed collection")
