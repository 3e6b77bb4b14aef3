"""The sign-in on the page: at the provider, with a password, and with a note that must be kept.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time
from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
WORK = "Sign in with your work account"
OWN = "Sign in with a Galwad password"


@pytest.fixture
def signed_out(desk, address, browser_page):
    """A function that opens the page of a desk with a provider, signed out."""

    def signed_out(path="/"):
        desk.signed_in = False
        desk.ways = {"provider": True, "passwords": "few"}
        desk.provider = f"{address}/static/icon.svg"
        browser_page.goto(f"{address}{path}")
        expect(browser_page.get_by_role("heading", name="Sign in")).to_be_visible()
        return browser_page

    return signed_out


def test_the_button_of_the_work_account_has_the_focus_and_leads_to_the_provider(desk, signed_out):
    page = signed_out()
    expect(page.get_by_role("button", name=WORK)).to_be_focused()
    expect(page.get_by_label("Password")).to_be_hidden()
    page.keyboard.press("Enter")
    page.wait_for_url(desk.provider)
    assert ("POST", "/sign-in/begin", {"language": "en"}) in desk.asked


def test_a_password_is_used_with_the_keyboard_only(signed_out):
    page = signed_out()
    for key in ("Tab", "Enter", "Tab"):
        page.keyboard.press(key)
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("sian")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Most people sign in with their work account.")).to_be_visible()
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No call at the moment")).to_be_visible()


def test_a_provider_that_is_down_is_a_clear_error_and_passwords_still_work(desk, signed_out):
    page = signed_out()
    desk.provider = ""
    page.get_by_role("button", name=WORK).click()
    expect(page.get_by_role("alert").get_by_text("cannot be reached")).to_be_visible()
    expect(page.get_by_role("button", name=WORK)).to_have_attribute("aria-busy", "false")
    page.get_by_text(OWN).click()
    page.get_by_label("User name").fill("emergency")
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No call at the moment")).to_be_visible()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("no_role", "Your work account may not use Galwad."),
        ("clock", "the server's clock is wrong"),
        ("stale", "not completed in time"),
        ("unheard_of", "The server could not do that."),
    ],
)
def test_a_refusal_of_the_provider_is_explained_and_leaves_the_address(signed_out, reason, text):
    page = signed_out(f"/#sign-in={reason}")
    expect(page.get_by_role("alert").get_by_text(text)).to_be_visible()
    assert page.evaluate("location.hash") == ""


def test_a_note_in_progress_is_kept_while_the_user_signs_in_on_another_tab(desk, page, address):
    desk.put(state="answered", advisor="sian", recording="recording", recording_since=time.time())
    page.get_by_label("Notes").fill("wants to pay")
    desk.ways = {"provider": True, "passwords": "everyone"}
    desk.provider = f"{address}/static/icon.svg"
    page.reload()
    page.get_by_label("Notes").fill("wants to pay")
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_text("is kept on this page")).to_be_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("button", name=WORK).click()
    opened.value.wait_for_url(desk.provider)
    desk.signed_in = True
    opened.value.close()
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.get_by_label("Notes")).to_have_value("wants to pay")


def test_signing_out_leads_to_the_sign_out_of_the_provider(desk, page, address):
    desk.provider_sign_out = f"{address}/static/icon.svg"
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(desk.provider_sign_out)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_sign_in(signed_out, scheme):
    page = signed_out("/#sign-in=no_role")
    page.emulate_media(color_scheme=scheme)
    page.get_by_text(OWN).click()
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)")
    assert found == []
