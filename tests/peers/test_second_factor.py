"""Chromium and `galwad login` on the real desk with the codes of a real authenticator: oathtool."""

from __future__ import annotations

import re
import subprocess
import time

import pytest
from playwright.sync_api import expect

from helpers.peers.service import PASSWORD

pytestmark = pytest.mark.peer

STEP_S = 30
NAME = "Second factor"


class Oathtool:
    """Debian's `oathtool` with a secret. It gives each code only once, as the desk wants them."""

    def __init__(self, secret):
        self.secret = secret
        self.step = 0
        """The step of the newest code."""

    def code(self):
        """Return a code that the desk accepts now. After three codes, this waits for a new one."""
        while (step := max(self.step + 1, self._present() - 1)) > self._present() + 1:
            time.sleep(0.2)
        self.step = step
        return self.at(step * STEP_S)

    def at(self, now):
        """Return the code at this Unix time."""
        words = ["oathtool", "--totp", "--base32", f"--now=@{int(now)}", self.secret]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def wrong(self):
        """Return a code that the desk does not accept for some minutes."""
        near = {self.at(time.time() + seconds) for seconds in range(-300, 301, STEP_S)}
        return next(f"{number:06}" for number in range(99) if f"{number:06}" not in near)

    @staticmethod
    def _present():
        return int(time.time() // STEP_S)


@pytest.fixture
def desk(start):
    """A real desk with the users sian and ceri."""
    return start("desk", users=True)


@pytest.fixture
def page(chromium, desk):
    """The page, signed in as sian; no script failed until its end."""
    page = chromium.new_context(locale="en-GB").new_page()
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(desk.url)
    sign_in(page)
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    yield page
    page.context.close()
    assert troubles == []


def sign_in(page, code=None):
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    if code is not None:
        enter(page, code)


def enter(page, code):
    expect(page.get_by_label("Code", exact=True)).to_be_visible()
    page.get_by_label("Code", exact=True).fill(code)
    page.keyboard.press("Enter")


def set_up(page):
    """Set up a second factor; return the authenticator and the recovery codes."""
    page.get_by_role("button", name=NAME).click()
    page.get_by_label("Present password").fill(PASSWORD)
    page.keyboard.press("Enter")
    authenticator = Oathtool(page.locator(".secret").inner_text().replace(" ", ""))
    enter(page, authenticator.code())
    expect(page.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    codes = page.locator(".codes li").all_inner_texts()
    page.get_by_role("button", name="I have kept them").click()
    return authenticator, codes


def test_a_user_sets_up_oathtool_and_signs_in_with_its_codes_and_a_recovery_code(desk, page):
    authenticator, codes = set_up(page)
    assert len(codes) == 10
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, authenticator.wrong())
    expect(page.get_by_text("That code is not right.")).to_be_visible()
    enter(page, authenticator.code())
    expect(page.get_by_text("No call at the moment")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, codes[4])
    expect(page.get_by_text("A recovery code was used to sign in as you")).to_be_visible()
    expect(page.get_by_text("Codes left: 9.")).to_be_visible()
    page.get_by_role("button", name="It was me").click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, codes[4])
    expect(page.get_by_text("That code is not right.")).to_be_visible()
    log = desk.log.tail(10_000)
    assert authenticator.secret not in str(log)
    assert not re.search("|".join(codes), str(log))


def test_the_command_line_signs_in_with_a_code_and_an_administrator_removes_the_factor(
    desk, page, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(desk.folder / "client"))
    authenticator, _ = set_up(page)
    login = ("login", "--server", desk.url, "--user", "sian", "--password-stdin")
    with pytest.raises(AssertionError, match="use --code"):
        desk.galwad(*login, stdin=f"{PASSWORD}\n")
    done = desk.galwad(*login, "--code", authenticator.code(), stdin=f"{PASSWORD}\n")
    assert "as sian" in done
    assert re.search(r"sian .*yes", desk.galwad("users", "list"))
    desk.galwad("users", "remove-second-factor", "sian")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    sign_in(page)
    expect(page.get_by_text("No call at the moment")).to_be_visible()
