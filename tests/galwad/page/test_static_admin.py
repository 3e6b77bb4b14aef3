"""The administration at `#admin`: users, what was not delivered, and texts.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from helpers.page_states import administer
from helpers.page_users import PASSWORD, SIP_PASSWORD, TOKEN, a_user

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"


@pytest.fixture
def opened(desk, browser_page, address):
    """The administration, opened by its address, with its lists."""
    administer(desk)
    browser_page.goto(f"{address}/#admin")
    browser_page.locator("#link[data-state=live]").wait_for()
    browser_page.get_by_role("heading", name="Names of lines").wait_for()
    return browser_page


def row(page, name):
    """The row of a user in the list."""
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.locator(".users > li").filter(has=heading)


def panel(page, name):
    """Open what can be changed about a user, and return the row."""
    found = row(page, name)
    found.get_by_role("button", name="Change…").click()
    return found


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")


def sent(desk):
    """Return the requests of the page about users: method, path and body without the version."""
    return [
        (method, path, {key: value for key, value in body.items() if key != "version"})
        for method, path, body in desk.asked
        if path.startswith("/users")
    ]


def test_the_code_of_the_administration_is_loaded_only_when_it_is_opened(
    desk, browser_page, address
):
    loaded = []
    browser_page.on("request", lambda request: loaded.append(request.url.rsplit("/", 1)[-1]))
    administer(desk)
    browser_page.goto(address)
    button = browser_page.get_by_role("button", name="Administration")
    button.wait_for()
    assert not {"admin.js", "admin_users.js"} & set(loaded)
    button.click()
    expect(browser_page.get_by_role("heading", name="Administration", level=1)).to_be_focused()
    assert {"admin.js", "admin_users.js"} <= set(loaded)
    assert browser_page.url.endswith("/#admin")
    expect(browser_page.get_by_role("region", name="All calls")).to_be_hidden()
    browser_page.get_by_role("button", name="Back to the calls").click()
    expect(button).to_be_focused()
    expect(browser_page.get_by_role("heading", name="Administration")).to_be_hidden()
    browser_page.go_back()
    expect(browser_page.get_by_role("heading", name="Administration", level=1)).to_be_focused()


@pytest.mark.parametrize("role", ["advisor", "supervisor"])
def test_another_role_has_no_administration_at_its_address(desk, browser_page, address, role):
    desk.me["role"] = role
    browser_page.goto(f"{address}/#admin")
    browser_page.locator("#link[data-state=live]").wait_for()
    expect(browser_page.get_by_role("button", name="Administration")).to_be_hidden()
    assert browser_page.locator(".admin").count() == 0
    assert ("GET", "/users", {}) not in desk.read


def test_users_are_found_by_name_role_extension_and_line(opened):
    field = opened.get_by_label("Find a user")
    for text, names in (
        ("SIAN", ["sian"]),
        ("machine", ["pay"]),
        ("202", ["huw"]),
        ("housing", ["sian"]),
        ("nobody", []),
    ):
        field.fill(text)
        shown = opened.locator(".users > li:visible .user-head h3")
        expect(shown).to_have_text(names)
    expect(opened.get_by_text("No user has this text")).to_be_visible()


def test_a_new_users_password_is_shown_once_and_forgotten(desk, opened):
    opened.get_by_role("button", name="Add a user…").click()
    opened.get_by_label("Name to sign in with").fill("Nia")
    opened.get_by_label("Role", exact=True).select_option("supervisor")
    opened.get_by_label("Extension of the phone").fill("209")
    opened.get_by_role("button", name="Add", exact=True).click()
    box = opened.get_by_role("group", name="For nia, shown only this once")
    expect(box.get_by_label("Password", exact=True)).to_have_value(PASSWORD)
    expect(box.get_by_label("SIP password")).to_have_value(SIP_PASSWORD)
    expect(box.get_by_label("SIP server")).to_have_value("192.0.2.10:5060")
    expect(row(opened, "nia")).to_contain_text("Supervisor")
    (new,) = sent(desk)
    assert new == (
        "POST",
        "/users",
        {
            "name": "Nia",
            "role": "supervisor",
            "extension": "209",
            "language": "en",
            "rights": [],
        },
    )
    box.get_by_role("button", name="I have copied this").click()
    expect(box).to_be_hidden()
    assert focused(opened) == "Add a user…"
    assert opened.locator(f"input[value='{PASSWORD}']").count() == 0
    assert PASSWORD not in opened.content()
    assert opened.evaluate("JSON.stringify({...localStorage, ...sessionStorage})") == "{}"


def test_a_machine_is_added_with_rights_and_gets_a_token(desk, opened):
    opened.get_by_role("button", name="Add a user…").click()
    form = opened.locator(".new-user")
    expect(form.get_by_role("group", name="Rights")).to_be_hidden()
    form.get_by_label("Name to sign in with").fill("crm")
    form.get_by_label("Role", exact=True).select_option("machine")
    form.get_by_label(re.compile("report changes of directories")).check()
    form.get_by_role("button", name="Add", exact=True).click()
    expect(opened.get_by_label("Token", exact=True)).to_have_value(TOKEN)
    assert sent(desk)[0][2]["rights"] == ["directories"]


def test_a_name_that_is_taken_is_refused_and_nothing_typed_is_lost(desk, opened):
    opened.get_by_role("button", name="Add a user…").click()
    opened.get_by_label("Name to sign in with").fill("huw")
    opened.get_by_role("button", name="Add", exact=True).click()
    expect(opened.get_by_role("alert").filter(has_text="Another user has")).to_be_visible()
    expect(opened.get_by_label("Name to sign in with")).to_have_value("huw")


@pytest.mark.parametrize(
    ("button", "yes", "request_"),
    [
        ("Disable…", "Disable", ("PATCH", "/users/sian", {"disabled": True})),
        ("Remove…", "Remove", ("DELETE", "/users/sian", {})),
        ("New password…", "Make a new password", ("PATCH", "/users/sian", {"password": "new"})),
        (
            "New SIP password…",
            "Make a new SIP password",
            ("PATCH", "/users/sian", {"sip_password": "new"}),
        ),
        ("Set the role…", "Set the role", ("PATCH", "/users/sian", {"role": "advisor"})),
        (
            "Set the extension…",
            "Set the extension",
            ("PATCH", "/users/sian", {"extension": "201"}),
        ),
        (
            "Unlink…",
            "Unlink",
            (
                "PATCH",
                "/users/sian",
                {"unlink": "8f4e2c1a-0b6d-4c3e-9a57-1d2e3f405162"},
            ),
        ),
    ],
)
def test_an_act_that_changes_an_account_asks_first_and_escape_cancels_it(
    desk, opened, button, yes, request_
):
    sian = panel(opened, "sian")
    sian.get_by_role("button", name=button, exact=True).click()
    opened.keyboard.press("Escape")
    expect(sian.locator(".ask:visible")).to_have_count(0)
    assert focused(opened) == button
    assert sent(desk) == []
    opened.keyboard.press("Enter")
    question = sian.locator(".ask:visible")
    expect(question).to_be_focused()
    expect(question).to_contain_text("sian")
    question.get_by_role("button", name=yes, exact=True).click()
    opened.wait_for_function("() => !document.querySelector('.ask:not([hidden])')")
    assert sent(desk) == [request_]


def test_a_disabled_user_is_marked_and_enabled_without_a_confirmation(desk, opened):
    mair = panel(opened, "mair")
    expect(mair).to_contain_text("disabled")
    mair.get_by_role("button", name="Enable").click()
    expect(mair.locator(".user-state")).to_contain_text("not signed in")
    assert sent(desk) == [("PATCH", "/users/mair", {"disabled": False})]
    expect(mair.get_by_role("button", name="Disable…")).to_be_visible()
    assert focused(opened) == "Close"


def test_a_second_factor_is_shown_and_removed_after_a_confirmation(desk, opened):
    desk.users.change("sian", second_factor=True)
    opened.reload()
    sian = panel(opened, "sian")
    expect(sian.locator("dl")).to_contain_text("Second factor")
    sian.get_by_role("button", name="Remove the second factor…").click()
    question = sian.locator(".ask:visible")
    expect(question).to_contain_text("First make sure that it is sian who asks.")
    question.get_by_role("button", name="Remove the second factor", exact=True).click()
    expect(sian.locator("dl")).not_to_contain_text("Second factor")
    expect(sian.get_by_role("button", name="Remove the second factor…")).to_have_count(0)
    assert sent(desk) == [("PATCH", "/users/sian", {"second_factor": False})]


def test_a_new_password_is_shown_once_and_forgotten_when_the_row_is_closed(opened):
    sian = panel(opened, "sian")
    sian.get_by_role("button", name="New password…").click()
    sian.get_by_role("button", name="Make a new password").click()
    expect(sian.get_by_label("Password", exact=True)).to_have_value(PASSWORD)
    opened.keyboard.press("Escape")
    expect(sian.get_by_role("button", name="Change…")).to_be_focused()
    panel(opened, "sian")
    expect(sian.get_by_label("Password", exact=True)).to_have_count(0)


def test_secrets_are_removed_when_the_administration_is_left_or_the_user_signs_out(opened):
    for leave in ("Back to the calls", "Sign out"):
        sian = panel(opened, "sian")
        sian.get_by_role("button", name="New password…").click()
        sian.get_by_role("button", name="Make a new password").click()
        expect(sian.get_by_label("Password", exact=True)).to_have_value(PASSWORD)
        opened.get_by_role("button", name=leave).click()
        opened.get_by_role("heading", name="Administration").wait_for(state="hidden")
        values = "[...document.querySelectorAll('input')].map((each) => each.value).join()"
        assert PASSWORD not in opened.evaluate(values)
        if leave == "Back to the calls":
            opened.get_by_role("button", name="Administration").click()
    expect(opened.get_by_label("User name")).to_be_visible()


def test_a_change_by_another_administrator_is_not_overwritten(desk, opened):
    sian = panel(opened, "sian")
    desk.users.change("sian", extension="209")
    sian.get_by_role("button", name="Disable…").click()
    sian.get_by_role("button", name="Disable", exact=True).click()
    expect(sian.get_by_role("alert")).to_contain_text("Another administrator has just changed")
    expect(sian.get_by_label("Extension", exact=True)).to_have_value("209")
    expect(sian.locator(".phone")).to_have_text("Extension 209")
    sian.get_by_role("button", name="Disable…").click()
    sian.get_by_role("button", name="Disable", exact=True).click()
    expect(sian).to_contain_text("disabled")
    expect(sian.get_by_role("alert")).to_be_hidden()


def test_the_refused_removal_of_the_last_administrator_shows_the_reason(desk, opened):
    desk.users.put(a_user("nia", "admin"))
    opened.reload()
    nia = panel(opened, "nia")
    desk.users.refusing = "last_admin"
    nia.get_by_role("button", name="Remove…").click()
    nia.get_by_role("button", name="Remove", exact=True).click()
    expect(nia.get_by_role("alert")).to_contain_text("This is the last administrator.")


def test_ones_own_account_offers_no_change(opened):
    gwen = panel(opened, "gwen")
    expect(gwen).to_contain_text("This is your own account.")
    expect(gwen.get_by_role("button")).to_have_count(1)


def test_rights_are_set_and_an_account_is_linked(desk, opened):
    pay = panel(opened, "pay")
    pay.get_by_label(re.compile("metrics")).check()
    pay.get_by_role("button", name="Set the rights").click()
    expect(pay.get_by_label(re.compile("metrics"))).to_be_checked()
    huw = panel(opened, "huw")
    huw.get_by_label("Identifier at the provider").fill("oid-2")
    huw.get_by_role("button", name="Link…").click()
    huw.get_by_role("button", name="Link", exact=True).click()
    expect(huw.get_by_text("oid-2", exact=True)).to_be_visible()
    assert sent(desk) == [
        ("PATCH", "/users/pay", {"rights": ["payments", "metrics"]}),
        ("PATCH", "/users/huw", {"link": "oid-2"}),
    ]


def test_a_token_of_a_user_is_revoked_after_a_confirmation(desk, opened):
    pay = panel(opened, "pay")
    pay.get_by_role("button", name="Tokens: 2").click()
    spring = pay.get_by_role("listitem").filter(has_text="spring-2027")
    expect(spring).to_contain_text("from 192.0.2.7")
    spring.get_by_role("button", name="Revoke…").click()
    desk.users.put(a_user("aled"))
    spring.get_by_role("button", name="Revoke", exact=True).click()
    expect(spring).to_have_count(0)
    expect(opened.get_by_role("heading", name="aled")).to_be_visible()  # the list is drawn again
    expect(pay.get_by_role("button", name="Tokens: 1")).to_be_focused()
    assert ("DELETE", "/tokens/spring-2027-id", {}) in desk.asked


def test_a_waiting_event_is_discarded_with_a_reason_and_a_refused_event_has_no_buttons(
    desk, opened
):
    events = opened.get_by_role("region", name="Call events that were not delivered")
    refused = events.get_by_role("row").filter(has_text="refused; it is not sent again")
    expect(refused.get_by_role("button")).to_have_count(0)
    waiting = events.get_by_role("row").filter(has_text="waits, 3 attempts")
    expect(waiting).to_contain_text("the receiver answers 503")
    waiting.get_by_role("button", name="Discard…").click()
    waiting.get_by_label("Why it is not needed").fill("a test call")
    waiting.get_by_role("button", name="Discard", exact=True).click()
    expect(waiting).to_have_count(0)
    assert ("POST", "/webhooks/e1/discard", {"reason": "a test call"}) in desk.asked


def test_the_undelivered_notes_are_shown_in_the_administration_and_otherwise_on_the_page(opened):
    notes = opened.get_by_role("region", name="Contact notes that were not delivered")
    expect(notes).to_be_visible()
    assert opened.locator(".admin .overview").filter(has_text="Waste").count() == 1
    opened.get_by_role("button", name="Back to the calls").click()
    expect(notes).to_be_visible()
    assert opened.locator(".admin .overview").filter(has_text="Waste").count() == 0


def test_an_empty_list_says_that_everything_is_delivered(desk, browser_page, address):
    administer(desk)
    desk.undelivered, desk.events = [], []
    browser_page.goto(f"{address}/#admin")
    expect(browser_page.get_by_text("Everything is delivered.")).to_be_visible()


def test_a_ringing_call_stays_in_sight_above_the_administration(desk, opened):
    desk.put(state="ringing", line="Council Tax")
    expect(opened.locator(".calls .call")).to_be_visible()
    expect(opened.get_by_role("heading", name="Administration", level=1)).to_be_visible()


def test_the_administration_is_in_welsh_after_the_change_of_language(opened):
    panel(opened, "sian")
    opened.get_by_role("button", name="Cymraeg").click()
    expect(opened.get_by_role("heading", name="Gweinyddu", level=1)).to_be_visible()
    expect(row(opened, "sian")).to_contain_text("Cynghorydd")
    for english in ("Users", "Change…", "Role", "Advisor", "Tokens", "missing"):
        assert opened.locator("main").get_by_text(english, exact=True).count() == 0
