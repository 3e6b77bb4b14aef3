"""The header, the recording and the keys of a call at each width: nothing overlaps or is cut.

The page is in `galwad/page/static/`. A test lays out one state 200 times, at up to 100 widths and
three heights; in the long tier, 400 times in each language. The page is in a frame, whose size a
script can change without waiting for the browser's next frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from helpers.page_states import STATES, open_state

pytestmark = pytest.mark.peer

AROUND = '<!doctype html><title>Frame</title><iframe id="page" style="border: 0"></iframe>'
NOT_FRAMED = "if (window !== top) window.parent = window"
"""Lets the page offer what it offers in a window of its own."""
JUDGE = """([least, most, steps]) => {
    const SCOPES = ".top, .bar, .banner, .call > header, .phone > .buttons, .notice";
    const frame = document.getElementById("page");
    const page = frame.contentDocument;
    const found = new Map(); // fault → the widths and heights at which it is
    const seen = (node) => node.checkVisibility() && !node.closest(".unseen");
    const meet = (a, b) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // The box of a line is higher than its letters: lines that follow each other may touch.
        return wide > 1 && high > Math.min(a.height, b.height) * 0.3;
    };
    const within = (inner, outer) =>
        inner.left >= outer.left - 1 && inner.right <= outer.right + 1 &&
        inner.top >= outer.top - 3 && inner.bottom <= outer.bottom + 3;
    const name = (node) => {
        const of = node.nodeType === Node.TEXT_NODE ? node.parentElement : node;
        const text = of.textContent.trim().slice(0, 30);
        return `${of.tagName.toLowerCase()}.${of.className || of.id} "${text}"`;
    };
    const parts = (root) => {
        const all = [...root.querySelectorAll("button, input, .shape")].filter(seen);
        const box = (node) => ({ node, control: true, rects: [node.getBoundingClientRect()] });
        const boxes = all.map(box);
        const walker = page.createTreeWalker(root, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode;
            if (!node.textContent.trim() || !seen(node.parentElement)) continue;
            const range = page.createRange();
            range.selectNodeContents(node);
            const rects = [...range.getClientRects()].filter((rect) => rect.width > 0);
            boxes.push({ node, control: false, rects });
        }
        return boxes;
    };
    const judge = (width, fault) => {
        for (const root of [...page.querySelectorAll(SCOPES)].filter(seen)) {
            const outer = root.getBoundingClientRect();
            const boxes = parts(root);
            for (const { node, rects, control } of boxes) {
                const own = control ? null : node.parentElement.closest("button");
                const limits = [outer, { left: 0, right: width, top: -Infinity, bottom: Infinity }];
                if (own) limits.push(own.getBoundingClientRect());
                const cut = (rect) => limits.some((limit) => !within(rect, limit));
                if (rects.some(cut)) fault(`cut: ${name(node)}`);
            }
            for (const [place, one] of boxes.entries()) {
                for (const other of boxes.slice(place + 1)) {
                    const inside = one.node.contains(other.node) || other.node.contains(one.node);
                    if (inside) continue;
                    if (one.rects.some((a) => other.rects.some((b) => meet(a, b)))) {
                        fault(`overlap: ${name(one.node)} and ${name(other.node)}`);
                    }
                }
            }
        }
        if (page.documentElement.scrollWidth > width) fault("scrolls sideways");
    };
    for (const [height, step] of steps) {
        frame.style.height = `${height}px`;
        for (let width = least; width <= most; width += step) {
            frame.style.width = `${width}px`;
            const shown = page.documentElement.clientWidth;
            if (shown !== width) throw new Error(`the page is ${shown} px wide, not ${width}`);
            judge(width, (what) => {
                if (!found.has(what)) found.set(what, new Set());
                found.get(what).add(`${width}x${height}`);
            });
        }
    }
    return [...found].map(([what, at]) => `${what} at ${[...at].slice(0, 3)} (${at.size} sizes)`);
}"""
SIZES = [320, 1920, [[900, 64], [500, 128], [250, 128]]]
"""The least and the most width, and for each height, how far apart the widths are; in pixels."""
ALL_SIZES = [320, 1920, [[900, 8], [500, 16], [250, 16]]]


@dataclass(frozen=True)
class Framed:
    """The page in a frame of another page, with what `open_state` needs of a page."""

    around: Any

    def goto(self, url: str) -> None:
        """Open the page in the frame."""
        self.around.evaluate("url => { document.getElementById('page').src = url; }", url)

    def locator(self, selector: str) -> Any:
        """Find elements of the page in the frame."""
        return self.around.frame_locator("#page").locator(selector)

    def judge(self, sizes: list[Any]) -> list[str]:
        """Return what overlaps or is cut at some width."""
        return list(self.around.evaluate(JUDGE, sizes))


@pytest.fixture
def framed(browser_page, address):
    """A page with an empty frame, in which no scroll bar takes a part of the width."""
    page = browser_page
    page.emulate_media(reduced_motion="reduce")
    page.add_init_script(NOT_FRAMED)
    around = f"{address}/around"
    page.route(around, lambda route: route.fulfill(body=AROUND, content_type="text/html"))
    page.goto(around)
    return Framed(page)


# Welsh has the longer words. All sizes take two seconds of CPU time for each state and language.
@pytest.mark.parametrize(
    "look",
    [
        pytest.param(("cy", SIZES), id="cy"),
        pytest.param(("cy", ALL_SIZES), id="cy, all sizes", marks=pytest.mark.long),
        pytest.param(("en", ALL_SIZES), id="en, all sizes", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize("name", STATES)
def test_nothing_overlaps_or_is_cut_at_any_width(desk, framed, address, name, look):
    language, sizes = look
    open_state(framed, address, desk, STATES[name])
    framed.locator(f"[data-language={language}]").click()
    framed.locator(f"html[lang={language}]").wait_for()
    assert framed.judge(sizes) == []
