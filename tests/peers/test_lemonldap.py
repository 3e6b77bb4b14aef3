"""Chromium signs in on the real desk at a real LemonLDAP::NG, and proves a stronger sign-in there.

Covers `tests/helpers/peers/lemonldap.py`.

A test needs three seconds of CPU time, most of them for the portal, which is in Perl.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from helpers.peers.lemonldap import CODE, STRONG, LemonLdap

pytestmark = pytest.mark.peer

ROLES = {"Galwad.Advisor": "advisor", "Galwad.Admin": "admin"}
WORK = "Sign in with your work account"
STRONGER = "Go to the stronger sign-in"
DOCTOR, ROSE = "dwho", "rtyler"


@pytest.fixture
def portal(ended, tmp_path):
    return ended(LemonLdap(tmp_path))


@pytest.fixture
def desk(start, portal):
    """A real desk whose sensitive acts need the second factor of the portal."""
    desk = start("desk", users=True, more=portal.settings(ROLES, step_up=STRONG))
    portal.start(desk.url, {DOCTOR: "Galwad.Admin", ROSE: "Galwad.Advisor"})
    return desk


@pytest.fixture
def page(chromium, desk):
    page = chromium.new_context(locale="en-GB").new_page()
    page.goto(desk.url)
    yield page
    page.context.close()


def sign_in(page, login):
    """Go to the portal, and sign in there with the password, which is the name."""
    page.get_by_role("button", name=WORK).click()
    enter(page, login)


def enter(page, login):
    name = page.locator("input[name=user]")
    expect(name).to_be_visible()
    if name.is_editable():
        name.fill(login)
    page.locator("input[name=password]").fill(login)
    page.get_by_role("button", name="Connect").click()


def enter_code(page, code):
    page.locator("input[name=code]").fill(code)
    page.locator("input[name=code]").press("Enter")


def sign_out(desk, page):
    """Sign out on the page, and then at the portal, which asks."""
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("button", name=WORK)).to_be_visible()
    assert page.url == f"{desk.url}/"


def add_user(page):
    page.get_by_role("button", name="Add a user…").click()
    page.get_by_label("Name to sign in with").fill("eirlys")
    page.get_by_role("button", name="Add", exact=True).click()


def test_a_person_gets_name_and_role_stays_signed_in_and_signs_out_at_the_portal(desk, page):
    sign_in(page, DOCTOR)
    expect(page.locator("#who")).to_have_text(DOCTOR)
    expect(page.get_by_role("button", name="Administration")).to_be_visible()
    assert page.url == f"{desk.url}/"
    page.reload()
    expect(page.locator("#who")).to_have_text(DOCTOR)
    sign_out(desk, page)
    page.get_by_role("button", name=WORK).click()
    expect(page.locator("input[name=password]")).to_be_visible()  # the portal's session has ended


@pytest.mark.long
def test_a_person_without_a_role_is_refused(desk, portal, page):
    sign_in(page, "msmith")
    refused = page.get_by_role("alert").get_by_text("Your work account may not use Galwad.")
    expect(refused).to_be_visible()


@pytest.mark.long
def test_a_role_that_changed_at_the_portal_counts_from_the_next_sign_in_on(desk, portal, page):
    sign_in(page, ROSE)
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    expect(page.get_by_role("button", name="Administration")).to_be_hidden()
    sign_out(desk, page)
    portal.start(desk.url, {ROSE: "Galwad.Admin"})
    sign_in(page, ROSE)
    expect(page.locator("#who")).to_have_text(ROSE)
    expect(page.get_by_role("button", name="Administration")).to_be_visible()


def test_an_administrator_adds_a_user_after_the_second_factor_of_the_portal(desk, page):
    sign_in(page, DOCTOR)
    page.get_by_role("button", name="Administration").click()
    add_user(page)
    page.get_by_role("button", name=STRONGER).click()
    code = page.locator("input[name=code]")
    expect(code.or_(page.locator("input[name=password]"))).to_be_visible()
    if not code.is_visible():  # the portal signed the person in more than five seconds ago
        enter(page, DOCTOR)
    enter_code(page, CODE)
    expect(page.get_by_text("Your stronger sign-in counts now.")).to_be_focused()
    assert page.url == f"{desk.url}/#admin"
    add_user(page)
    expect(page.get_by_role("group", name="For eirlys, shown only this once")).to_be_visible()
