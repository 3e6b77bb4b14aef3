"""The stronger sign-in on the page, in `galwad/page/static/step_up.js`."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import expect

from helpers.examples import long_after
from helpers.page_states import administer

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
GO = "Go to the stronger sign-in"


@pytest.fixture
def opened(desk, browser_page, address):
    """The administration of a desk that asks for a stronger sign-in."""
    administer(desk)
    desk.provider = f"{address}/static/icon.svg"
    browser_page.goto(f"{address}/#admin")
    browser_page.locator("#link[data-state=live]").wait_for()
    browser_page.get_by_role("heading", name="Names of lines").wait_for()
    desk.refusing, desk.reason = 403, "step_up_needed"
    return browser_page


def add_user(page, name="nia"):
    """Fill the form for a new user, and send it."""
    page.get_by_role("button", name="Add a user…").click()
    page.get_by_label("Name to sign in with").fill(name)
    page.get_by_role("button", name="Add", exact=True).click()


def region(page):
    return page.get_by_role("region", name="Stronger sign-in")


def loaded(page):
    return page.evaluate(
        "performance.getEntriesByType('resource').filter(e => e.name.endsWith('step_up.js')).length"
    )


def test_a_refused_act_asks_for_a_stronger_sign_in_and_its_button_leads_to_the_provider(
    desk, opened
):
    assert loaded(opened) == 0
    add_user(opened)
    asked = region(opened)
    expect(asked.get_by_text("This needs a stronger sign-in")).to_be_focused()
    expect(opened.get_by_role("alert").filter(has_text="Not done yet")).to_be_visible()
    asked.get_by_role("button", name=GO).click()
    opened.wait_for_url(desk.provider)
    body = {"language": "en", "step_up": True, "place": "admin"}
    assert ("POST", "/sign-in/begin", body) in desk.asked


def test_unsent_input_is_warned_about_and_kept_if_the_step_up_is_declined(opened):
    add_user(opened, "nia-from-housing")
    expect(region(opened).get_by_text("not sent is lost when you go")).to_be_visible()
    region(opened).get_by_role("button", name="Not now").click()
    expect(region(opened)).to_have_count(0)
    expect(opened.get_by_label("Name to sign in with")).to_have_value("nia-from-housing")
    expect(opened.get_by_role("button", name="Add", exact=True)).to_be_focused()


def test_an_act_without_typed_input_shows_no_warning_of_a_loss(opened):
    row = opened.locator(".users > li").filter(has=opened.get_by_role("heading", name="sian"))
    row.get_by_role("button", name="Change…").click()
    row.get_by_role("button", name="Disable…").click()
    row.get_by_role("group").get_by_role("button", name="Disable").click()
    expect(region(opened)).to_be_visible()
    expect(region(opened).get_by_text("lost when you go")).to_be_hidden()


def test_a_provider_that_is_down_is_a_clear_error_and_the_form_stays(desk, opened):
    desk.provider = ""
    add_user(opened)
    region(opened).get_by_role("button", name=GO).click()
    expect(region(opened).get_by_role("alert")).to_contain_text("cannot be reached")
    expect(region(opened).get_by_role("button", name=GO)).to_have_attribute("aria-busy", "false")
    expect(opened.get_by_label("Name to sign in with")).to_have_value("nia")


@pytest.mark.parametrize(
    ("outcome", "text"),
    long_after(
        2,
        [
            ("done", "Do again what you wanted to do."),
            ("unheard_of", "The server could not do that."),
            ("weak", "did not ask you for the stronger sign-in"),
            ("other_person", "Somebody else signed in"),
            ("denied", "You are still signed in as before."),
            ("clock", "the server's clock is wrong"),
        ],
    ),
)
def test_after_a_step_up_the_page_returns_to_its_place_and_shows_the_outcome(
    desk, browser_page, address, outcome, text
):
    administer(desk)
    browser_page.goto(f"{address}/#step-up={outcome},admin")
    expect(region(browser_page).get_by_text(text)).to_be_focused()
    expect(browser_page.get_by_role("heading", name="Users")).to_be_visible()
    assert browser_page.evaluate("location.hash") == "#admin"
    expect(region(browser_page).get_by_role("button", name=GO)).to_be_hidden()
    region(browser_page).get_by_role("button", name="Close").click()
    expect(region(browser_page)).to_have_count(0)


def test_a_stale_response_of_the_provider_is_explained_to_a_person_who_is_signed_in(page, address):
    page.goto(f"{address}/#sign-in=stale")
    page.reload()
    expect(region(page).get_by_text("not completed in time")).to_be_visible()


def test_the_question_about_a_command_line_stays_while_the_page_asks_for_a_step_up(
    desk, browser_page, address
):
    browser_page.goto(f"{address}/#command-line")
    browser_page.get_by_label("Code of the command line").fill("BCDF-GHJK")
    browser_page.keyboard.press("Enter")
    question = browser_page.get_by_role("group", name="A command line at 192.0.2.7 asks")
    expect(question).to_be_focused()
    desk.refusing, desk.reason = 403, "step_up_needed"
    browser_page.get_by_role("button", name="Approve", exact=True).click()
    expect(region(browser_page)).to_be_visible()
    expect(question).to_be_visible()


def test_the_request_for_a_step_up_disappears_when_the_session_ends(desk, opened):
    add_user(opened)
    expect(region(opened)).to_be_visible()
    opened.get_by_role("button", name="Sign out").click()
    expect(opened.get_by_label("User name")).to_be_visible()
    expect(region(opened)).to_have_count(0)


def test_the_request_for_a_step_up_is_in_welsh_after_the_change_of_language(opened):
    add_user(opened)
    opened.get_by_role("button", name="Cymraeg").click()
    expect(opened.get_by_role("region", name="Mewngofnodi cryfach")).to_contain_text("Mae angen")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_step_up_and_nothing_is_cut_off_at_320_pixels(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": 320, "height": 640})
    add_user(opened)
    expect(region(opened)).to_be_visible()
    assert opened.evaluate("document.documentElement.scrollWidth <= 320")
    opened.evaluate(AXE)
    found = opened.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)")
    assert found == []
