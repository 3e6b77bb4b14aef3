"""The second factor on the page: the sign-in with a code, the setup, and what can be changed.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import expect

from helpers.page import CODE, FACTOR, PASSWORD, RECOVERY_CODES

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
NAME = "Second factor"
USED = {"since": 1.0, "recovery_left": 9, "recovery_used": 1_800_000_000.0}


def region(page):
    return page.locator("section.account")


def sent(desk, path):
    return [body for _, asked, body in desk.asked if asked == path]


def prove(page, password=PASSWORD, code=None):
    region(page).get_by_label("Present password").fill(password)
    if code is not None:
        region(page).get_by_label("Code", exact=True).fill(code)


@pytest.fixture
def signed_out(desk, address, browser_page):
    """The page of a user with a second factor, signed out."""
    desk.factor["since"] = 1.0
    desk.signed_in = False
    browser_page.goto(address)
    expect(browser_page.get_by_label("User name")).to_be_focused()
    return browser_page


@pytest.fixture
def form(page):
    """The box of a user without a second factor, open."""
    page.get_by_role("button", name=NAME).click()
    expect(page.get_by_label("Present password")).to_be_focused()
    return page


@pytest.fixture
def manage(desk, page):
    """The box of a user with a second factor, open."""
    desk.factor.update(since=1.0, recovery_left=7)
    page.get_by_role("button", name=NAME).click()
    expect(page.get_by_text("Recovery codes left: 7.")).to_be_visible()
    return page


@pytest.fixture
def codes(form):
    """The box with the new recovery codes after a setup."""
    prove(form)
    form.keyboard.press("Enter")
    form.get_by_label("Code", exact=True).fill(CODE)
    form.keyboard.press("Enter")
    expect(form.get_by_role("heading", name="Your recovery codes")).to_be_focused()
    return form


def sign_in(page):
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")


def test_the_code_is_asked_for_after_the_password_and_sent_with_the_password(desk, signed_out):
    expect(signed_out.get_by_label("Code")).to_be_hidden()
    sign_in(signed_out)
    expect(signed_out.get_by_label("Code")).to_be_focused()
    expect(signed_out.get_by_text("A code is needed too.")).to_be_visible()
    signed_out.keyboard.type("000000")
    signed_out.keyboard.press("Enter")
    expect(signed_out.get_by_text("the clock of your phone or of the server may")).to_be_visible()
    expect(signed_out.get_by_label("Code")).to_have_value("")
    signed_out.keyboard.type(CODE)
    signed_out.keyboard.press("Enter")
    expect(signed_out.get_by_text("No call at the moment")).to_be_visible()
    assert [body.get("code") for body in sent(desk, "/login")] == [None, "000000", CODE]


def test_a_wrong_password_hides_the_code_again(signed_out):
    sign_in(signed_out)
    expect(signed_out.get_by_label("Code")).to_be_focused()
    signed_out.get_by_label("Password", exact=True).fill("another one")
    signed_out.get_by_label("Code").fill(CODE)
    signed_out.keyboard.press("Enter")
    expect(signed_out.get_by_text("The user name or password is not right.")).to_be_visible()
    expect(signed_out.get_by_label("Code")).to_be_hidden()


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("code_used", "was used already"),
        ("code_unreadable", "Use a recovery code"),
        ("codes_barred", "Use a recovery code"),
    ],
)
def test_a_refused_code_says_that_it_was_used_or_that_a_recovery_code_is_needed(
    desk, signed_out, reason, text
):
    sign_in(signed_out)
    desk.reason = reason
    signed_out.get_by_label("Code").fill(CODE)
    signed_out.keyboard.press("Enter")
    expect(signed_out.get_by_text(text)).to_be_visible()


def test_a_setup_shows_picture_and_key_and_is_confirmed_by_a_code(desk, form):
    prove(form)
    form.keyboard.press("Enter")
    expect(form.get_by_role("img", name="QR code for the app")).to_be_visible()
    expect(form.get_by_text("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ")).to_be_visible()
    expect(form.get_by_role("heading", name="Set up your second factor")).to_be_focused()
    form.get_by_label("Code", exact=True).fill("000000")
    form.keyboard.press("Enter")
    expect(form.get_by_text("That code is not right.")).to_be_visible()
    form.get_by_label("Code", exact=True).fill(CODE)
    form.keyboard.press("Enter")
    for code in RECOVERY_CODES:
        expect(form.get_by_text(code)).to_be_visible()
    expect(form.locator("#status")).to_contain_text("Your second factor is in force.")
    assert sent(desk, f"{FACTOR}/setup") == [{"password": PASSWORD}]


def test_the_recovery_codes_can_be_copied_and_leave_the_page_once_the_user_has_kept_them(codes):
    codes.context.grant_permissions(["clipboard-read", "clipboard-write"])
    codes.get_by_role("button", name="Copy").click()
    expect(codes.get_by_role("button", name="Copied")).to_be_visible()
    assert codes.evaluate("navigator.clipboard.readText()").split() == RECOVERY_CODES
    codes.keyboard.press("Escape")
    expect(codes.get_by_text(RECOVERY_CODES[0])).to_be_visible()
    codes.get_by_role("button", name="I have kept them").click()
    expect(codes.get_by_role("button", name=NAME)).to_be_focused()
    assert RECOVERY_CODES[0] not in codes.content()


def test_the_printer_gets_only_the_recovery_codes(codes):
    codes.emulate_media(media="print")
    expect(codes.get_by_text(RECOVERY_CODES[0])).to_be_visible()
    expect(codes.get_by_text("No call at the moment")).to_be_hidden()
    expect(codes.get_by_role("button", name="Print")).to_be_hidden()
    codes.emulate_media(media="screen")
    codes.get_by_role("button", name="I have kept them").click()
    codes.emulate_media(media="print")
    expect(codes.get_by_text("No call at the moment")).to_be_visible()


@pytest.mark.parametrize(
    ("password", "code", "text", "at"),
    [
        ("wrong", CODE, "The present password is not right.", "Present password"),
        (PASSWORD, "000000", "That code is not right.", "Code"),
    ],
)
def test_a_change_without_password_and_code_is_refused(manage, password, code, text, at):
    prove(manage, password, code)
    manage.get_by_role("button", name="Switch it off").click()
    expect(manage.get_by_text(text)).to_be_visible()
    expect(region(manage).get_by_label(at, exact=True)).to_be_focused()


def test_a_second_factor_is_switched_off_with_password_and_code(desk, manage):
    prove(manage, code=RECOVERY_CODES[0])
    manage.get_by_role("button", name="Switch it off").click()
    expect(manage.locator("#status")).to_contain_text("Your second factor is switched off.")
    expect(region(manage)).to_be_hidden()
    assert sent(desk, f"{FACTOR}/remove") == [{"password": PASSWORD, "code": RECOVERY_CODES[0]}]


def test_new_recovery_codes_can_be_made_and_the_setup_of_another_phone_begun(desk, manage):
    prove(manage, code=CODE)
    manage.get_by_role("button", name="Make new recovery codes").click()
    expect(manage.get_by_text(RECOVERY_CODES[9])).to_be_visible()
    manage.get_by_role("button", name="I have kept them").click()
    manage.get_by_role("button", name=NAME).click()
    prove(manage, code=CODE)
    manage.get_by_role("button", name="Set up another phone").click()
    expect(manage.get_by_role("img", name="QR code for the app")).to_be_visible()
    manage.keyboard.press("Escape")
    expect(region(manage)).to_be_hidden()


def test_a_user_who_must_have_a_second_factor_cannot_switch_it_off(desk, page):
    desk.factor.update(since=1.0, required=True)
    page.get_by_role("button", name=NAME).click()
    expect(page.get_by_role("button", name="Set up another phone")).to_be_visible()
    expect(page.get_by_role("button", name="Switch it off")).to_have_count(0)


def test_the_use_of_a_recovery_code_is_shown_until_the_user_acknowledges_it(desk, page):
    desk.factor.update(USED)
    page.reload()
    expect(page.get_by_text("A recovery code was used to sign in as you")).to_be_visible()
    expect(page.get_by_text("Codes left: 9.")).to_be_visible()
    page.get_by_role("button", name="It was me").click()
    expect(page.get_by_text("A recovery code was used to sign in as you")).to_be_hidden()
    assert sent(desk, f"{FACTOR}/seen") == [{}]


def test_a_user_who_needs_a_second_factor_sets_it_up_before_anything_else(
    desk, browser_page, address
):
    desk.me["needs_second_factor"] = True
    browser_page.goto(address)
    page = browser_page
    expect(page.get_by_role("img", name="QR code for the app")).to_be_visible()
    expect(page.get_by_text("No call at the moment")).to_be_hidden()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_label("Code", exact=True).fill(CODE)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="I have kept them").click()
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    expect(page.locator("#link")).to_have_attribute("data-state", "live")
    assert sent(desk, f"{FACTOR}/setup") == [{}]


def test_a_user_who_needs_a_second_factor_can_sign_out_instead_of_setting_it_up(
    desk, browser_page, address
):
    desk.me["needs_second_factor"] = True
    browser_page.goto(address)
    browser_page.get_by_role("button", name="Sign out").click()
    expect(browser_page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(browser_page.get_by_role("img", name="QR code")).to_have_count(0)


def test_a_user_of_the_provider_is_offered_no_second_factor(desk, page):
    desk.me = {**desk.me, "changes_password": False}
    page.reload()
    expect(page.locator("#who")).to_have_text("sian")
    expect(page.get_by_role("button", name=NAME)).to_be_hidden()


def test_the_end_of_the_session_closes_the_second_factor_and_its_notice(desk, page):
    desk.factor.update(USED)
    page.reload()
    expect(page.get_by_text("A recovery code was used to sign in as you")).to_be_visible()
    page.get_by_role("button", name=NAME).first.click()
    desk.signed_in = False
    desk.push("", {})
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    expect(region(page)).to_be_hidden()
    expect(page.get_by_text("A recovery code was used to sign in as you")).to_be_hidden()


def test_the_setup_of_a_second_factor_follows_a_change_of_language(form):
    prove(form)
    form.keyboard.press("Enter")
    expect(form.get_by_role("img", name="QR code for the app")).to_be_visible()
    form.get_by_role("button", name="Cymraeg").click()
    expect(form.get_by_role("img", name="Cod QR ar gyfer yr ap")).to_be_visible()
    expect(form.get_by_role("heading", name="Gosod eich ail ffactor")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["signed_out", "form", "manage", "codes"])
def test_axe_finds_no_violation_in_any_state_of_the_second_factor(request, desk, state, scheme):
    page = request.getfixturevalue(state)
    if state == "signed_out":
        sign_in(page)
        expect(page.get_by_label("Code")).to_be_focused()
    page.set_viewport_size({"width": 320, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.evaluate(AXE)
    found = page.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
