"""A scripted desk and the page in a browser, open and connected to it."""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect, sync_playwright

from helpers.page import FakeDesk, Handler

PATIENCE_MS = 60_000
POLL_S = 0.05
"""The time after which a server notices that it must stop, in seconds."""
AHEAD_MS = 10_000
"""How far ahead a page's clock is stopped, in ms: the command must arrive before that time."""

SAID = """() => {
    window.said = [];
    for (const region of ["status", "urgent"]) {
        new MutationObserver((changes) => {
            for (const change of changes) {
                for (const node of change.addedNodes) window.said.push([region, node.textContent]);
            }
        }).observe(document.getElementById(region), { childList: true, subtree: true });
    }
}"""


@pytest.fixture
def desk():
    """The scripted desk, signed in as the advisor sian."""
    return FakeDesk()


@contextlib.contextmanager
def serving(handler):
    """Serve HTTP on loopback with this handler, in a thread; yield the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def address(desk):
    """The URL at which the scripted desk listens."""
    with serving(type("Bound", (Handler,), {"desk": desk})) as port:
        yield f"http://127.0.0.1:{port}"
        desk.cut()
        for held in desk.slow.values():
            held.set()


class Site(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_):
        """Stay silent."""


@pytest.fixture
def crm(address, tmp_path):
    """The origin of another site, whose page `crm.html` has Galwad in a frame."""
    frame = f'<iframe src="{address}/embedded" width="420" height="700"></iframe>'
    page = f'<!doctype html><title>CRM</title><input aria-label="Search">{frame}'
    (tmp_path / "crm.html").write_text(page)
    with serving(partial(Site, directory=tmp_path)) as port:
        yield f"http://localhost:{port}"


@pytest.fixture(scope="module")
def browser_path():
    """The browser: the engine of Debian's Chromium, which needs a fifth of the CPU time.

    It shows no notifications. Modules that test these override this fixture with the browser.
    """
    return "/usr/bin/chromium-headless-shell"


@pytest.fixture(scope="module")
def chromium(browser_path):
    """The browser, headless; its event loop must have ended before other modules run."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                # As in the whole browser, a page sounds only after a click or a key.
                "--autoplay-policy=document-user-activation-required",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def browser_page(chromium):
    """A page in a fresh profile; a script error or a broken policy fails the test."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if "Policy" in line.text else None)
    yield page
    context.close()
    assert troubles == []


@pytest.fixture
def page(browser_page, address):
    """The page, open and connected."""
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()
    return browser_page


@pytest.fixture
def said(page):
    """The announcements to screen readers since then: `(region, text)`, in order."""
    page.evaluate(SAID)
    return lambda: [tuple(one) for one in page.evaluate("window.said")]


@pytest.fixture
def open_timeless(browser_page, address):
    """Open the page and stop its clock; only the test advances it. The page is still drawn."""

    def open_timeless():
        browser_page.add_init_script("window.drawFrame = requestAnimationFrame.bind(window)")
        browser_page.clock.install()
        browser_page.add_init_script("window.requestAnimationFrame = window.drawFrame")
        browser_page.goto(address)
        browser_page.locator("#link[data-state=live]").wait_for()
        browser_page.clock.pause_at((browser_page.evaluate("Date.now()") + AHEAD_MS) / 1_000)
        return browser_page

    return open_timeless
