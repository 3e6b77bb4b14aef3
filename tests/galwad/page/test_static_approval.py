"""The approval of a command line or a panel on the page, and the sign-in in a panel.

The code is in `approval.js`, `approval_door.js` and `panel_sign_in.js` in `galwad/page/static/`.
"""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PANEL = "#panel=BCDF-GHJK"
WORK = "Sign in with your work account"


@pytest.fixture
def opened(page):
    """The page at the address of the approval."""
    page.evaluate("location.hash = '#command-line'")
    expect(page.get_by_role("heading", name="Sign in a command line")).to_be_focused()
    return page


def sent(desk):
    return [
        (path, body)
        for _, path, body in desk.asked
        if path.startswith(("/command-lines", "/panels"))
    ]


def test_the_code_of_a_command_line_is_looked_up_and_approved_only_after_a_confirmation(
    desk, opened
):
    opened.get_by_label("Code of the command line").fill("bcdf-ghjk")
    opened.keyboard.press("Enter")
    question = opened.get_by_role("group", name="A command line at 192.0.2.7 asks")
    expect(question).to_be_focused()
    expect(question).to_contain_text("signed in as sian")
    expect(question).to_contain_text("Never approve a code that somebody has sent you.")
    assert sent(desk) == [("/command-lines/show", {"code": "bcdf-ghjk"})]
    opened.get_by_role("button", name="Approve", exact=True).click()
    expect(opened.locator(".approval")).to_be_hidden()
    expect(opened.locator("#status")).to_contain_text("The command line is signed in.")
    assert sent(desk)[1:] == [("/command-lines/approve", {"code": "bcdf-ghjk"})]
    assert opened.evaluate("location.hash") == ""


def test_nothing_is_approved_if_the_user_refuses(desk, opened):
    opened.get_by_label("Code of the command line").fill("BCDFGHJK")
    opened.keyboard.press("Enter")
    opened.get_by_role("button", name="Do not approve").click()
    expect(opened.locator(".approval")).to_be_hidden()
    assert [path for path, _ in sent(desk)] == ["/command-lines/show"]


def test_an_unknown_code_shows_that_no_command_line_waits_and_can_be_typed_again(desk, opened):
    desk.refusing = 404
    opened.get_by_label("Code of the command line").fill("BCDFGHJK")
    opened.keyboard.press("Enter")
    expect(opened.get_by_role("alert").filter(has_text="No command line waits")).to_be_visible()
    expect(opened.get_by_label("Code of the command line")).to_be_focused()


def test_a_person_who_must_sign_in_first_sees_the_approval_form_afterwards(
    desk, browser_page, address
):
    desk.signed_in = False
    browser_page.goto(f"{address}/#command-line")
    expect(browser_page.get_by_label("User name")).to_be_visible()
    desk.signed_in = True
    browser_page.reload()
    expect(browser_page.get_by_label("Code of the command line")).to_be_visible()


def violations(page):
    page.evaluate(AXE)
    return page.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)")


@pytest.fixture
def panel_link(page):
    """The page at the address that a panel opens."""

    def panel_link():
        page.evaluate(f"location.hash = '{PANEL}'")
        return page

    return panel_link


def test_the_code_of_a_panel_is_shown_for_comparison_and_approved_only_by_the_button(
    desk, panel_link
):
    page = panel_link()
    question = page.get_by_role("group", name="Use your sign-in as sian in the panel of")
    expect(question).to_be_focused()
    expect(question).to_contain_text("https://crm.example")
    expect(question).to_contain_text("192.0.2.7")
    expect(question).to_contain_text("Code: BCDF-GHJK")
    expect(question).to_contain_text("Never approve a link or a code that somebody has sent you")
    assert sent(desk) == [("/panels/show", {"code": "BCDF-GHJK"})]
    assert violations(page) == []
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("You can close this window.").first).to_be_focused()
    assert sent(desk)[1:] == [("/panels/approve", {"code": "BCDF-GHJK"})]
    assert page.evaluate("location.hash") == ""


def test_a_link_to_a_panel_in_another_network_approves_nothing_before_the_code_is_typed(
    desk, panel_link
):
    desk.same_network = False
    page = panel_link()
    warning = page.get_by_role("alert").filter(has_text="If somebody has sent you this link")
    expect(warning).to_be_visible()
    expect(page.get_by_role("button", name="Approve", exact=True)).to_be_hidden()
    field = page.get_by_label("Code of the panel")
    expect(field).to_have_value("")
    field.fill("bcdfghjk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Use your sign-in")).to_contain_text("BCDF-GHJK")
    page.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("You can close this window.").first).to_be_visible()
    assert sent(desk)[-1] == ("/panels/approve", {"code": "bcdfghjk"})


@pytest.mark.parametrize("same", [True, False])
def test_the_approval_fits_into_a_narrow_window(desk, panel_link, same):
    desk.same_network = same
    desk.site = f"https://{'x' * 60}.example"
    page = panel_link()
    page.set_viewport_size({"width": 320, "height": 700})
    shown = page.get_by_text(desk.site) if same else page.get_by_label("Code of the panel")
    expect(shown).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_approval_is_shown_in_a_browser_without_session_storage(desk, browser_page, address):
    browser_page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {"
        " get() { throw new DOMException('barred', 'SecurityError'); } })"
    )
    browser_page.goto(f"{address}/{PANEL}")
    expect(browser_page.get_by_role("group", name="Use your sign-in")).to_be_visible()


def test_the_link_of_a_panel_that_no_longer_waits_says_so(desk, panel_link):
    desk.refusing = 404
    page = panel_link()
    expect(page.get_by_role("alert").filter(has_text="No panel waits")).to_be_visible()
    expect(page.get_by_label("Code of the panel")).to_be_focused()


def test_the_approval_is_kept_while_the_person_signs_in_at_the_provider(
    desk, browser_page, address
):
    page = browser_page
    desk.signed_in = False
    desk.ways = {"provider": True, "passwords": "few"}
    desk.provider = f"{address}/static/icon.svg"
    page.goto(f"{address}/{PANEL}")
    page.get_by_role("button", name=WORK).click()
    page.wait_for_url(desk.provider)
    desk.signed_in = True
    page.goto(f"{address}/")
    expect(page.get_by_role("group", name="Use your sign-in")).to_be_visible()
    page.get_by_role("button", name="Do not approve").click()
    page.reload()
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    expect(page.locator(".approval")).to_have_count(0)


@pytest.fixture
def panel(desk, browser_page, address, crm):
    """The page in a frame of another site, signed out, on a desk with a provider."""
    desk.signed_in = False
    desk.ways = {"provider": True, "passwords": "few", "page": address}
    browser_page.goto(f"{crm}/crm.html")
    return browser_page.frame_locator("iframe")


def test_a_panel_opens_a_window_with_its_code_and_is_signed_in_after_the_approval(
    desk, browser_page, panel, address, crm
):
    with browser_page.context.expect_page() as opened:
        panel.get_by_role("button", name=WORK).click()
    opened.value.wait_for_url(f"{address}/{PANEL}")
    assert opened.value.evaluate("window.opener") is None
    expect(panel.get_by_text("Code: BCDF-GHJK")).to_be_visible()
    assert ("POST", "/panels", {"site": crm}) in desk.asked
    assert violations(browser_page.frames[1]) == []
    desk.approved = True
    expect(panel.get_by_text("No call at the moment")).to_be_visible()


def test_back_ends_the_wait_in_a_panel_and_a_password_can_be_used(desk, browser_page, panel):
    with browser_page.context.expect_page():
        panel.get_by_role("button", name=WORK).click()
    panel.get_by_role("button", name="Back").click()
    expect(panel.get_by_role("button", name=WORK)).to_be_focused()
    panel.get_by_text("Sign in with a Galwad password").click()
    panel.get_by_label("User name").fill("sian")
    panel.get_by_label("Password").fill("correct horse battery")
    panel.get_by_label("Password").press("Enter")
    expect(panel.get_by_text("No call at the moment")).to_be_visible()


@pytest.mark.parametrize(
    ("status", "text"),
    [(403, "Use a Galwad password"), (503, "The server could not")],
)
def test_a_panel_whose_sign_in_is_refused_says_why(desk, panel, status, text):
    expect(panel.get_by_role("button", name=WORK)).to_be_visible()
    desk.refusing = status
    panel.get_by_role("button", name=WORK).click()
    expect(panel.get_by_role("alert").filter(has_text=text)).to_be_visible()


def test_a_panel_code_that_was_not_approved_in_time_disappears(desk, browser_page, panel):
    with browser_page.context.expect_page():
        panel.get_by_role("button", name=WORK).click()
    expect(panel.get_by_text("Code: BCDF-GHJK")).to_be_visible()
    desk.refusing = 410
    expect(panel.get_by_role("alert").filter(has_text="not approved in time")).to_be_visible()
    expect(panel.get_by_text("Code: BCDF-GHJK")).to_be_hidden()
