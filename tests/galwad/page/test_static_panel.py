"""Numbers that are clicked in the CRM around a panel, in `galwad/page/static/panel_dial.js`."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
NUMBER = "01970 222222"
SEND = """(message) => document.querySelector("iframe").contentWindow.postMessage(message, "*")"""


@pytest.fixture
def host(desk, browser_page, crm):
    """The CRM's page with Galwad in its panel, signed in; the focus is in the CRM."""
    desk.dials, desk.embed_origins = True, (crm,)
    browser_page.goto(f"{crm}/crm.html")
    expect(browser_page.frame_locator("iframe").locator("#link[data-state=live]")).to_be_visible()
    work_in_the_crm(browser_page)
    return browser_page


@pytest.fixture
def panel(host):
    return host.frame_locator("iframe >> nth=0")


def work_in_the_crm(host):
    host.get_by_label("Search").click()
    expect(host.get_by_label("Search")).to_be_focused()


def clicked(host, number=NUMBER, **more):
    host.evaluate(SEND, {"source": "galwad-crm", "type": "dial", "number": number, **more})


def asked(desk):
    return [(path, body) for _, path, body in desk.asked if path.startswith("/phone")]


def alert(panel, text):
    return panel.get_by_role("alert").filter(has_text=text)


def test_a_number_clicked_in_the_crm_is_filled_in_and_one_key_press_calls_it(desk, host, panel):
    clicked(host, f" {NUMBER} ")
    expect(panel.get_by_label("Call a number")).to_have_value(NUMBER)
    expect(panel.get_by_role("button", name="Call", exact=True)).to_be_focused()
    expect(panel.locator("#status")).to_contain_text(f"{NUMBER} is filled in.")
    assert asked(desk) == []
    host.keyboard.press("Enter")
    expect(panel.locator(".dial .note")).to_contain_text(NUMBER)
    assert asked(desk) == [("/phone/dial", {"number": NUMBER})]


def test_a_second_click_in_the_crm_replaces_the_number(desk, host, panel):
    clicked(host)
    expect(panel.get_by_label("Call a number")).to_have_value(NUMBER)
    work_in_the_crm(host)
    clicked(host, "+44 1970 333333")
    expect(panel.get_by_label("Call a number")).to_have_value("+44 1970 333333")
    assert asked(desk) == []


NO_NUMBERS = (
    *("javascript:alert(1)", "tel:999", "", "9" * 65, "<b>1</b>", "1\n2", "council-tax"),
    *(999, None),
)


def test_an_invalid_number_from_the_crm_shows_an_alert_and_leaves_the_field_empty(
    desk, host, panel
):
    for number in NO_NUMBERS:
        clicked(host, number)
        refused = alert(panel, "something that is not a phone number")
        expect(refused, f"{number!r} is no number").to_be_visible()
        expect(panel.get_by_label("Call a number"), f"{number!r} is no number").to_have_value("")
        clicked(host)
        expect(panel.get_by_label("Call a number")).to_have_value(NUMBER)
        expect(refused).to_have_count(0)
        panel.get_by_label("Call a number").fill("")
        work_in_the_crm(host)
    assert asked(desk) == []


def test_messages_of_other_shapes_are_ignored(desk, host, panel):
    for message in (
        None,
        "dial",
        {"source": "galwad", "type": "dial", "number": NUMBER},
        {"source": "galwad-crm", "type": "call", "number": NUMBER},
        {"source": "galwad-crm", "number": NUMBER},
        [["source", "galwad-crm"]],
    ):
        host.evaluate(SEND, message)
    clicked(host, "301")  # messages arrive in order
    expect(panel.get_by_label("Call a number")).to_have_value("301")
    expect(panel.locator("#status p")).to_have_count(1)  # of 301; each accepted number is announced
    expect(panel.get_by_role("alert").filter(has_text="CRM")).to_have_count(0)


def test_a_number_from_a_frame_beside_the_panel_is_ignored(desk, host, panel, crm):
    """A frame beside the panel has the origin of a named site too, but is not around it."""
    host.evaluate(
        """async ([number, address]) => {
            const frame = document.createElement("iframe");
            frame.src = address;
            const loaded = new Promise((done) => frame.addEventListener("load", done));
            document.body.append(frame);
            await loaded;
            const script = frame.contentDocument.createElement("script");
            script.textContent = `parent.frames[0].postMessage(
                { source: "galwad-crm", type: "dial", number: "${number}" }, "*")`;
            frame.contentDocument.body.append(script);
        }""",
        [NUMBER, f"{crm}/beside.html"],
    )
    clicked(host, "301")
    expect(panel.get_by_label("Call a number")).to_have_value("301")


def test_a_number_from_a_site_that_the_desk_does_not_name_is_ignored(desk, host, panel):
    desk.embed_origins = ("https://crm.example",)
    host.reload()
    expect(panel.locator("#link[data-state=live]")).to_be_visible()
    work_in_the_crm(host)
    clicked(host)
    # The page has handled the message when it answers a later task.
    panel.locator("body").evaluate("() => new Promise((done) => setTimeout(done))")
    expect(panel.get_by_label("Call a number")).to_have_value("")
    expect(panel.get_by_role("alert").filter(has_text="CRM")).to_have_count(0)


def test_a_number_from_the_crm_does_not_replace_one_while_its_user_works_in_the_panel(
    desk, host, panel
):
    panel.get_by_label("Call a number").fill("301")
    panel.get_by_role("button", name="Call", exact=True).focus()
    clicked(host, "0909 8790000")
    expect(alert(panel, "while you were working here")).to_be_visible()
    expect(panel.get_by_label("Call a number")).to_have_value("301")
    host.keyboard.press("Enter")
    expect(panel.locator(".dial .note")).to_contain_text("301")
    assert asked(desk) == [("/phone/dial", {"number": "301"})]


def test_a_person_without_a_phone_reads_why_nothing_is_filled_in(desk, host, panel):
    desk.dials = False
    host.reload()
    expect(panel.locator("#link[data-state=live]")).to_be_visible()
    work_in_the_crm(host)
    clicked(host)
    expect(alert(panel, "cannot call it with your phone")).to_be_visible()
    assert asked(desk) == []


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        ((409, "unknown_number"), "Nothing can be reached at this number."),
        ((422, "card_number"), "card number"),
    ],
)
def test_the_panel_shows_why_the_desk_refuses_a_number_from_the_crm(
    desk, host, panel, refusal, text
):
    desk.refusing, desk.reason = refusal
    clicked(host, "999")
    expect(panel.get_by_role("button", name="Call", exact=True)).to_be_focused()
    host.keyboard.press("Enter")
    expect(alert(panel, text)).to_be_visible()


def test_axe_finds_no_violation_in_a_panel_with_a_number_or_a_refusal(host, panel):
    for number in (NUMBER, "no number"):
        work_in_the_crm(host)
        clicked(host, number)
        if number != NUMBER:
            expect(alert(panel, "not a phone number")).to_be_visible()
        frame = host.frames[1]
        frame.evaluate(AXE)
        assert frame.evaluate("async () => (await axe.run()).violations.map(({ id }) => id)") == []
