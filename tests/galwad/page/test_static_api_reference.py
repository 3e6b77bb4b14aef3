"""The description of the API as a page: complete, readable without a mouse, in both languages.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from playwright.sync_api import expect

from helpers.endpoints import endpoints

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

OPENED = ("payments_pause_all", "payment_pages_resume", "audit_entries", "body-RecordingRow")
"""Parts that show each kind of content; axe needs half a minute for all."""


@pytest.fixture
def reference(browser_page, address):
    """The description of the API, open."""
    browser_page.goto(f"{address}/api-reference")
    browser_page.get_by_role("heading", name="The HTTP API").wait_for()
    return browser_page


def test_each_endpoint_is_listed_and_an_opened_one_shows_errors_an_example_and_sign_ins(reference):
    names = reference.locator("section:not(:last-of-type) .operation").evaluate_all(
        "(all) => all.map((one) => one.id)"
    )
    assert set(names) == set(endpoints())
    operation = reference.locator("#payments_pause_all")
    operation.locator("summary").click()
    expect(operation.get_by_text("There is no such call.")).to_be_visible()
    expect(operation.get_by_text('"extension": "201"')).to_be_visible()
    expect(operation.get_by_text("machineToken")).to_be_visible()


def test_a_link_to_an_endpoint_or_a_body_opens_it(browser_page, address):
    browser_page.goto(f"{address}/api-reference#payments_pause_all")
    operation = browser_page.locator("#payments_pause_all")
    expect(operation).to_have_attribute("open", "")
    operation.get_by_role("link", name="PauseOutcome").click()
    body = browser_page.locator("#body-PauseOutcome")
    expect(body).to_have_attribute("open", "")
    expect(body.get_by_text("durable", exact=True).first).to_be_visible()


def test_the_title_follows_the_language_and_untranslated_headings_are_marked_as_english(reference):
    reference.get_by_role("button", name="Cymraeg").click()
    expect(reference.get_by_role("heading", level=1)).to_have_text("Yr API HTTP")
    expect(reference.locator("html")).to_have_attribute("lang", "cy")
    expect(reference.get_by_role("heading", name="Payments")).to_have_attribute("lang", "en")


def test_the_api_reference_loads_nothing_from_another_site(browser_page, address):
    asked = []
    browser_page.on("request", lambda request: asked.append(request.url))
    browser_page.goto(f"{address}/api-reference")
    browser_page.get_by_role("heading", name="The HTTP API").wait_for()
    assert [url for url in asked if not url.startswith(f"{address}/")] == []


# axe needs seven seconds of CPU time for this long page.
@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        ("dark", 320),
        pytest.param("dark", 1100, marks=pytest.mark.long),
        pytest.param("light", 1100, marks=pytest.mark.long),
        pytest.param("light", 320, marks=pytest.mark.long),
    ],
)
def test_axe_finds_no_violation_and_the_page_does_not_scroll_sideways(reference, scheme, width):
    reference.set_viewport_size({"width": width, "height": 900})
    reference.emulate_media(color_scheme=scheme)
    for name in OPENED:
        reference.locator(f"#{name} > summary").click()
    reference.evaluate(AXE)
    wrong = reference.evaluate(
        "async (rules) => (await axe.run({ runOnly: rules })).violations"
        ".map((one) => [one.id, one.nodes[0].html])",
        RULES,
    )
    assert wrong == []
    assert reference.evaluate("document.documentElement.scrollWidth") <= width


def test_an_endpoint_is_opened_with_the_keyboard(reference):
    summary = reference.locator("#system_health > summary")
    summary.focus()
    summary.press("Enter")
    expect(reference.locator("#system_health")).to_have_attribute("open", "")
    expect(reference.locator("#system_health")).to_contain_text(re.compile("live_calls"))
