"""The list of a person's own tokens, with which a global key pauses.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
SECRET = f"galwad_{'x' * 43}"


def tokens(page):
    """Open the list of tokens, and return it."""
    page.get_by_role("button", name="Global key").click()
    return page.get_by_role("region", name="A key that works in every program")


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def test_a_token_is_made_shown_once_and_then_listed_without_its_secret(desk, page):
    box = tokens(page)
    expect(box.get_by_text("You have no tokens.")).to_be_visible()
    assert focused(page) == "own-tokens-title"
    box.get_by_label("Name, such as the computer's").fill("Front Desk")
    box.get_by_role("button", name="Make a token").click()
    expect(box.get_by_label("Copy this token now")).to_have_value(SECRET)
    assert focused(page) == "token-secret"
    assert desk.tokens[0]["name"] == "front-desk"
    expect(box.get_by_role("row", name=re.compile("front-desk"))).to_contain_text("never")
    box.get_by_role("button", name="Close").click()
    expect(box).to_be_hidden()
    assert focused(page) == "Global key"
    tokens(page)
    expect(box.get_by_role("row", name=re.compile("front-desk"))).to_be_visible()
    assert SECRET not in page.content()
    assert page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})") == "{}"


def test_a_token_is_revoked_only_by_the_second_press(desk, page):
    desk.answer("POST", "/me/tokens", {"name": "desktop"})
    desk.tokens[0] |= {"last_used": time.time(), "address": "192.0.2.7"}
    box = tokens(page)
    expect(box.get_by_role("row", name=re.compile("desktop"))).to_contain_text("192.0.2.7")
    box.get_by_role("button", name="Revoke…").click()
    assert len(desk.tokens) == 1
    box.get_by_role("button", name="Press again to revoke").click()
    expect(box.get_by_text("You have no tokens.")).to_be_visible()
    assert desk.tokens == []
    assert focused(page) == "own-tokens-title"


def test_a_name_that_is_taken_is_refused_with_a_reason(desk, page):
    desk.answer("POST", "/me/tokens", {"name": "desktop"})
    box = tokens(page)
    box.get_by_label("Name, such as the computer's").fill("desktop")
    box.get_by_role("button", name="Make a token").click()
    expect(box.get_by_role("alert")).to_contain_text("a name that you do not have yet")


def test_no_token_can_be_made_while_they_are_switched_off(desk, page):
    desk.tokens_allowed = False
    box = tokens(page)
    expect(box.get_by_text("New tokens are switched off")).to_be_visible()
    expect(box.get_by_role("button", name="Make a token")).to_be_hidden()


def test_a_sign_out_hides_the_list_and_forgets_the_secret(page):
    box = tokens(page)
    box.get_by_label("Name, such as the computer's").fill("desktop")
    box.get_by_role("button", name="Make a token").click()
    expect(box.get_by_label("Copy this token now")).to_have_value(SECRET)
    page.get_by_role("button", name="Sign out").click()
    expect(box).to_be_hidden()
    expect(page.get_by_role("button", name="Global key")).to_be_hidden()
    page.get_by_label("User name").fill("sian")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(tokens(page).get_by_role("row", name=re.compile("desktop"))).to_be_visible()
    assert page.locator("#token-secret").input_value() == ""


def test_f8_still_pauses_while_the_list_is_open(desk, page):
    now = time.time()
    state = {"recording": "recording", "recording_since": now, "extension": "201"}
    desk.put(state="answered", advisor="sian", **state)
    tokens(page).get_by_label("Name, such as the computer's").press("F8")
    expect(page.locator(".recording .word")).to_have_text("PAUSED")
    assert ("PUT", f"/calls/{CALL}/payment", {}) in desk.asked
