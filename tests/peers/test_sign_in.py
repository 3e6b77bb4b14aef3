"""Chromium signs in on the real desk at a real OpenID provider: oidc-provider on Node.js.

The provider's ID tokens have the claims of Entra ID. Covers `tests/helpers/peers/openid.py`.

A test needs two seconds of CPU time, and more if the page is loaded again after a redirect.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from subprocess import PIPE

import pytest
from playwright.sync_api import expect

from helpers.examples import long_after
from helpers.peers.openid import OpenIdProvider
from helpers.peers.service import PASSWORD
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import GALWAD, Child, run_galwad

pytestmark = pytest.mark.peer

PEOPLE = {
    # The name of a local user, whose account this person must not get.
    "impostor": {"oid": "oid-1", "preferred_username": "ceri@evil.example", "roles": ["Advisor"]},
    "mair": {"oid": "oid-2", "preferred_username": "mair@council.example", "roles": ["Lead"]},
    "stranger": {"oid": "oid-3", "preferred_username": "stranger@council.example", "roles": []},
    "guest": {"oid": "oid-4", "roles": ["Lead"], "tid": "11111111-1111-1111-1111-111111111111"},
}
ADMINS = {
    "nest": {"oid": "oid-5", "preferred_username": "nest@council.example", "roles": ["Admin"]},
    "twm": {
        "oid": "oid-6",
        "preferred_username": "twm@council.example",
        "roles": ["Admin"],
        "weak": True,
    },
}
WORK = "Sign in with your work account"
STRONGER = "Go to the stronger sign-in"


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The provider of all tests; no test may end it."""
    provider = OpenIdProvider(tmp_path_factory.mktemp("provider"), PEOPLE | ADMINS)
    yield provider
    provider.end()


def start_desk(start, provider):
    """Return a real desk with the users sian and ceri; only ceri may use a password there."""
    roles = {"Advisor": "advisor", "Lead": "supervisor"}
    return start("desk", users=True, more=provider.settings(roles, ["ceri"]))


@pytest.fixture
def desk(start, provider):
    return start_desk(start, provider)


@pytest.fixture
def page(chromium, desk):
    page = chromium.new_context(locale="en-GB").new_page()
    page.goto(desk.url)
    yield page
    page.context.close()


def sign_in(page, login):
    """Go to the provider, sign in there, and agree."""
    page.get_by_role("button", name=WORK).click()
    enter(page, login)


def enter(page, login):
    """Sign in on the provider's page, and agree if it asks."""
    page.locator("input[name=login]").fill(login)
    page.locator("input[name=password]").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    agree = page.get_by_role("button", name="Continue")
    expect(agree.or_(page.locator("#who"))).to_be_visible()
    if agree.is_visible():
        agree.click()


def test_a_person_signs_in_at_the_provider_stays_signed_in_and_signs_out_there(desk, page):
    sign_in(page, "mair")
    expect(page.locator("#who")).to_have_text("mair")
    expect(page.get_by_role("heading", name="All calls")).to_be_visible()
    assert page.url == f"{desk.url}/"
    page.reload()
    expect(page.locator("#who")).to_have_text("mair")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_role("button", name=WORK)).to_be_visible()
    assert page.url == f"{desk.url}/"


@pytest.mark.long
def test_a_person_with_the_name_of_an_administrator_gets_a_user_of_their_own(desk, page):
    sign_in(page, "impostor")
    expect(page.locator("#who")).to_have_text("ceri-2")
    expect(page.get_by_text("No call at the moment")).to_be_visible()


@pytest.mark.parametrize(
    ("login", "text"),
    [
        ("stranger", "Your work account may not use Galwad."),
        ("guest", "something that cannot be trusted"),
    ],
)
def test_a_person_without_a_role_or_of_another_tenant_is_refused_with_a_reason(page, login, text):
    sign_in(page, login)
    expect(page.get_by_role("alert").get_by_text(text)).to_be_visible()
    expect(page.locator("#who")).to_have_text("")


@pytest.mark.long
def test_a_linked_identity_signs_in_as_the_local_user_with_the_extension(desk, provider, page):
    identity = ("--issuer", provider.issuer, "--subject", "oid-2")
    desk.galwad("users", "link", "sian", *identity)
    sign_in(page, "mair")
    expect(page.locator("#who")).to_have_text("sian")


def test_a_person_of_the_provider_signs_a_command_line_in_without_a_password(desk, page, tmp_path):
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    with Child(
        [*GALWAD, "login", "--browser", "--server", desk.url],
        env=environment,
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    ) as command:
        shown = re.search(r"open (\S+) and enter the code ([A-Z-]{9})", command.stderr.readline())
        assert shown is not None
        sign_in(page, "mair")
        expect(page.locator("#who")).to_have_text("mair")
        page.goto(shown[1])
        page.get_by_label("Code of the command line").fill(shown[2])
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Approve", exact=True).click()
        assert command.wait(PATIENCE_S) == 0, command.stderr.read()
        out = command.stdout.read()
    assert "as mair (supervisor)" in out
    listed = run_galwad("calls", "list", "--json", env=environment, check=True)
    assert json.loads(listed.stdout) == []


def test_while_the_provider_is_down_the_emergency_account_signs_in_with_an_alarm(
    start, chromium, ended, tmp_path
):
    provider = ended(OpenIdProvider(tmp_path, PEOPLE))
    desk = start_desk(start, provider)
    page = ended(chromium.new_context(locale="en-GB")).new_page()
    page.goto(desk.url)
    provider.end()
    page.get_by_role("button", name=WORK).click()
    expect(page.get_by_role("alert").get_by_text("cannot be reached")).to_be_visible()
    page.get_by_text("Sign in with a Galwad password").click()
    page.get_by_label("User name").fill("ceri")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("ceri")
    assert desk.log.wait("alarm", kind="sign_in.break_glass")


@pytest.fixture
def careful(start, provider):
    """A real desk on which sensitive acts need the authentication context c1."""
    roles = {"Advisor": "advisor", "Lead": "supervisor", "Admin": "admin"}
    more = provider.settings(roles, ["ceri"], step_up="c1", step_up_claim="acrs")
    return start("desk", users=True, more=more)


@pytest.fixture
def admin(chromium, careful):
    """The administration, opened by a person of the provider."""

    def admin(login):
        page = contexts[-1].new_page()
        page.goto(careful.url)
        sign_in(page, login)
        expect(page.locator("#who")).to_have_text(login)
        page.get_by_role("button", name="Administration").click()
        expect(page.get_by_role("button", name="Add a user…")).to_be_visible()
        return page

    contexts = [chromium.new_context(locale="en-GB")]
    yield admin
    contexts[-1].close()


def add_user(page, name):
    page.get_by_role("button", name="Add a user…").click()
    page.get_by_label("Name to sign in with").fill(name)
    page.get_by_role("button", name="Add", exact=True).click()


def test_an_administrator_adds_a_user_after_a_stronger_sign_in_at_the_provider(careful, admin):
    page = admin("nest")
    add_user(page, "eirlys")
    page.get_by_role("button", name=STRONGER).click()
    enter(page, "nest")
    expect(page.get_by_text("Your stronger sign-in counts now.")).to_be_focused()
    assert page.url == f"{careful.url}/#admin"
    add_user(page, "eirlys")
    expect(page.get_by_role("group", name="For eirlys, shown only this once")).to_be_visible()


@pytest.mark.parametrize(
    ("signed_in", "again", "text"),
    long_after(
        1,
        [
            ("nest", "mair", "Somebody else signed in at the sign-in service."),
            ("twm", "twm", "did not ask you for the stronger sign-in"),
        ],
    ),
    ids=["another person", "no stronger sign-in"],
)
def test_a_step_up_that_does_not_prove_the_same_person_more_strongly_changes_nothing(
    careful, admin, signed_in, again, text
):
    page = admin(signed_in)
    add_user(page, "eirlys")
    page.get_by_role("button", name=STRONGER).click()
    enter(page, again)
    expect(page.get_by_text(text)).to_be_focused()
    expect(page.locator("#who")).to_have_text(signed_in)
    add_user(page, "eirlys")
    expect(page.get_by_role("button", name=STRONGER)).to_be_visible()
    assert "eirlys" not in careful.galwad("users", "list")


def test_a_command_line_is_approved_after_a_stronger_sign_in_and_reads_the_audit(
    careful, admin, tmp_path
):
    page = admin("nest")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    with (
        Child(
            [*GALWAD, "login", "--browser", "--server", careful.url],
            env=environment,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        ) as command,
        ExitStack() as stack,
    ):
        stack.callback(command.kill)  # a failed assertion does not wait until it gives up
        shown = re.search(r"open (\S+) and enter the code ([A-Z-]{9})", command.stderr.readline())
        assert shown is not None
        for _ in range(2):
            page.goto(shown[1])
            page.get_by_label("Code of the command line").fill(shown[2])
            page.keyboard.press("Enter")
            page.get_by_role("button", name="Approve", exact=True).click()
            stronger = page.get_by_role("button", name=STRONGER)
            done = page.locator("#status").get_by_text("The command line is signed in.")
            expect(stronger.or_(done)).to_be_attached()
            if stronger.is_visible():
                stronger.click()
                enter(page, "nest")
                expect(page.get_by_text("Your stronger sign-in counts now.")).to_be_focused()
                assert page.url == shown[1]
        assert command.wait(PATIENCE_S) == 0, command.stderr.read()
    read = run_galwad("audit", "list", "--kind", "sign-in.stepped-up", env=environment)
    assert "sign-in.stepped-up" in read.stdout, read.stderr
