"""The printable page of `galwad promise-check` in Chromium: accessible, and as wide as A4.

Covers `galwad/archive/commands/promises.py`.
"""

from __future__ import annotations

from importlib.resources import files

import pytest

from galwad.archive.commands.promises import page_of, report_in
from galwad.cli.support.page_texts import Texts

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async (rules) => {
    const { violations, passes } = await axe.run({ runOnly: rules });
    const told = violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html}`));
    return [told, passes.length];
}"""
A4_PX = round(180 / 25.4 * 96)
"""The width in CSS pixels of what is printed on A4, between margins of 15 mm."""
FINDING = {
    "kind": "changed",
    "call_id": "20261125-093000-abcdefgh",
    "us": 0,
    "text": "the payload was changed or swapped: it has another digest",
}
EVIDENCE = dict.fromkeys(
    ("calls", "talk_us", "pauses", "pauses_identity", "not_committed", "audit_entries"), 123_456
)
FOUND = {
    "first_day": "2026-11-25",
    "last_day": "2026-11-30",
    "checked": 1_795_650_000.0,
    "kept": False,
    "promises": [
        {
            "name": name,
            "verdict": verdict,
            "evidence": EVIDENCE,
            "findings": [FINDING] * (3 if verdict == "broken" else 0),
            "more_findings": 0,
        }
        for name, verdict in (
            ("recorded", "kept"),
            ("payments", "no-evidence"),
            ("transfers", "kept"),
            ("intact", "broken"),
        )
    ],
}


@pytest.fixture(params=["en", "cy"])
def opened(request, chromium, tmp_path):
    """The page in a browser, as wide as it is printed on A4."""
    texts = Texts(request.param)
    file = tmp_path / "day.html"
    file.write_text(page_of(report_in(FOUND, texts), texts), encoding="utf-8")
    context = chromium.new_context(viewport={"width": A4_PX, "height": 1000})
    page = context.new_page()
    blocked = []
    page.on("console", lambda line: blocked.append(line.text))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert blocked == []


def test_axe_finds_no_fault_on_the_page_of_promises(opened):
    opened.evaluate(AXE)
    told, passed = opened.evaluate(RUN, RULES)
    assert told == []
    assert passed > 10, "axe has not looked"


def test_the_page_of_promises_is_not_wider_than_a4_in_print(opened):
    opened.emulate_media(media="print")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert opened.evaluate(wide) <= 0
    assert opened.locator("thead").evaluate("e => getComputedStyle(e).display") == (
        "table-header-group"
    )
