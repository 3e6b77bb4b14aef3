"""Each state of the page in each look: axe finds nothing, nothing scrolls sideways.

The looks are a wide window, a side panel, 200 % and 400 %, dark, and forced colours. The page is in
`galwad/page/static/`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest

from helpers.page_states import STATES, open_state

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDE, PANEL, ZOOM_200, ZOOM_400 = (1180, 800), (420, 800), (640, 512), (320, 256)
LOOKS: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
    "wide": (WIDE, {}),
    "side panel": (PANEL, {}),
    "320 px": ((320, 800), {}),
    "200 %": (ZOOM_200, {}),
    "400 %": (ZOOM_400, {}),
    "dark": (WIDE, {"color_scheme": "dark"}),
    "dark, 400 %": (ZOOM_400, {"color_scheme": "dark"}),
    "forced colours": (WIDE, {"forced_colors": "active"}),
    "forced colours, 400 %": (ZOOM_400, {"forced_colors": "active"}),
}
JUDGE = """async (rules) => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame(), await frame(); // what the new look changes is drawn in the first one
    const { violations, passes } = await axe.run({ runOnly: rules });
    const found = violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html}`));
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) found.push("scrolls sideways");
    if (passes.length < 8) found.push("axe has not looked");
    return found;
}"""


OFTEN = ("side panel", "dark")
"""The looks of every run; axe takes most of a second for each. The long tier has all of them."""


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param(OFTEN, id="two looks"),
        pytest.param(tuple(LOOKS), id="all looks", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("name", STATES)
def test_axe_finds_no_violation_in_any_state_of_the_page_at_any_size_or_colour_scheme(
    desk, browser_page, address, name, looks
):
    browser_page.emulate_media(reduced_motion="reduce")
    open_state(browser_page, address, desk, STATES[name])
    browser_page.evaluate(AXE)
    found = {}
    for look in looks:
        size, media = LOOKS[look]
        browser_page.set_viewport_size({"width": size[0], "height": size[1]})
        plain = {"color_scheme": "light", "forced_colors": "none", "reduced_motion": "reduce"}
        browser_page.emulate_media(**{**plain, **media})
        found[look] = browser_page.evaluate(JUDGE, RULES)
    assert found == {look: [] for look in looks}
