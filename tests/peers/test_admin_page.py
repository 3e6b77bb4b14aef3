"""Chromium on the administration of a real desk: a user from the first sign-in to the last."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from helpers.peers.programs import Baresip
from helpers.peers.service import PASSWORD
from helpers.peers.sound import save, tone

pytestmark = pytest.mark.peer


@pytest.fixture
def open_page(chromium, service):
    """Return a function that opens the page and signs a user in; each has a browser of its own."""
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


def test_an_added_user_signs_in_registers_a_phone_and_loses_both_when_disabled(
    service, open_page, ended
):
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
            const reply = await fetch("/api/v1/users/ceri/disable", {
                method: "POST",
                headers: { "Content-Type": "application/json" },
                body: JSON.stringify({ version }),
            });
            return [reply.status, (await reply.json()).reason];
        }"""
    )
    assert reply == [409, "self"]
