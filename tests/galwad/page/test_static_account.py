"""The form in which a user changes the password.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time
from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PRESENT = "correct horse battery"
NEW = "tatws pum munud"


def fill(page, current=PRESENT, new=NEW, again=NEW):
    page.get_by_label("Present password").fill(current)
    page.get_by_label("New password", exact=True).fill(new)
    page.get_by_label("New password, once more").fill(again)
    page.keyboard.press("Enter")


@pytest.fixture
def form(page):
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("Present password")).to_be_focused()
    return page


def test_a_password_change_is_sent_once_and_announced_and_the_fields_are_emptied(desk, form):
    fill(form)
    expect(form.get_by_role("region", name="Change password")).to_be_hidden()
    expect(form.locator("#status")).to_contain_text("Your password is changed.")
    expect(form.get_by_role("button", name="Change password")).to_be_focused()
    sent = [body for method, path, body in desk.asked if path == "/me/password"]
    assert sent == [{"current": PRESENT, "new": NEW}]
    form.keyboard.press("Enter")
    for label in ("Present password", "New password", "New password, once more"):
        expect(form.get_by_label(label, exact=True)).to_have_value("")


@pytest.mark.parametrize(
    ("words", "text", "at"),
    [
        ({"current": "wrong"}, "The present password is not right.", "Present password"),
        ({"again": "tatws pum"}, "are not the same", "New password, once more"),
    ],
)
def test_a_refused_password_is_explained_and_the_field_has_the_focus(form, words, text, at):
    fill(form, **words)
    expect(form.get_by_role("alert").get_by_text(text)).to_be_visible()
    expect(form.get_by_label(at)).to_be_focused()
    fill(form)
    expect(form.get_by_role("region", name="Change password")).to_be_hidden()


def test_a_short_password_is_not_sent(desk, form):
    form.get_by_label("Present password").fill(PRESENT)
    for label in ("New password", "New password, once more"):
        form.get_by_label(label, exact=True).press_sequentially("short")
    form.keyboard.press("Enter")
    expect(form.get_by_role("region", name="Change password")).to_be_visible()
    assert not [path for _, path, _ in desk.asked if path == "/me/password"]


def test_escape_closes_the_form_and_forgets_what_was_typed(form):
    form.get_by_label("Present password").fill(PRESENT)
    form.keyboard.press("Escape")
    expect(form.get_by_role("region", name="Change password")).to_be_hidden()
    form.get_by_role("button", name="Change password").click()
    expect(form.get_by_label("Present password")).to_have_value("")


def test_a_user_of_the_provider_is_offered_no_password(desk, page):
    desk.me = {**desk.me, "changes_password": False}
    page.reload()
    expect(page.locator("#who")).to_have_text("sian")
    expect(page.get_by_role("button", name="Change password")).to_be_hidden()


def test_the_end_of_the_session_closes_the_form(desk, form):
    desk.signed_in = False
    desk.push("", {})
    expect(form.get_by_text("Your session has ended")).to_be_visible()
    expect(form.get_by_role("region", name="Change password")).to_be_hidden()


def test_f8_pauses_a_recording_while_the_form_is_open(desk, form):
    desk.put(state="answered", advisor="sian", recording="recording", recording_since=time.time())
    expect(form.locator(".recording .word")).to_have_text("REC")
    form.keyboard.press("F8")
    expect(form.locator(".recording .word")).to_have_text("PAUSED")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_the_form_for_a_new_password(form, scheme):
    form.emulate_media(color_scheme=scheme)
    form.evaluate(AXE)
    found = form.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)")
    assert found == []
