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


class SharedHandler(Handler):
    """HTTP for the desk of the present test.

    The tests of a module share an address, so that the browser loads the page's scripts once.
    """

    current: FakeDesk

    def setup(self):
        """Keep the desk of the test that opens the connection."""
        super().setup()
        self.desk = self.current

    def parse_request(self):
        """Close a connection of an earlier test: the browser then asks again on a new one."""
        if self.desk is self.current:
            return super().parse_request()
        self.close_connection = True
        return False


@pytest.fixture(scope="module")
def server():
    """The handler and the URL that the scripted desks of a module share."""
    handler = type("ModuleHandler", (SharedHandler,), {})
    with serving(handler) as port:
        yield handler, f"http://127.0.0.1:{port}"


@pytest.fixture
def address(desk, server):
    """The URL at which the scripted desk listens."""
    handler, url = server
    handler.current = desk
    yield url
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


PROFILE = {"viewport": {"width": 1100, "height": 900}, "locale": "en-GB"}


@pytest.fixture(scope="module")
def module_context(chromium):
    """The profile that the tests of a module share, with the scripts that it has loaded."""
    context = chromium.new_context(**PROFILE)
    yield context
    context.close()


@pytest.fixture
def fresh_context(chromium):
    """A profile of its own, for a test that changes permissions, the network or the clock."""
    context = chromium.new_context(**PROFILE)
    yield context
    context.close()


@pytest.fixture
def context(module_context):
    """The profile of the test. A module of tests that change more overrides it."""
    yield module_context
    module_context.clear_permissions()
    module_context.set_offline(False)


@contextlib.contextmanager
def watched_page(context, address):
    """Open an empty page in a profile, without what was stored at this address.

    A script error or a broken policy fails the test.
    """
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    stored = {"origin": address, "storageTypes": "local_storage,cookies"}
    context.new_cdp_session(page).send("Storage.clearDataForOrigin", stored)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if "Policy" in line.text else None)
    yield page
    for opened in context.pages:
        opened.close()
    assert troubles == []


@pytest.fixture
def browser_page(context, address):
    """An empty page in the profile of the test."""
    with watched_page(context, address) as page:
        yield page


@pytest.fixture
def fresh_page(fresh_context, address):
    """An empty page in a profile of its own."""
    with watched_page(fresh_context, address) as page:
        yield page


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
def open_timeless(fresh_page, address):
    """Open the page and stop its clock; only the test advances it. The page is still drawn."""

    def open_timeless():
        fresh_page.add_init_script("window.drawFrame = requestAnimationFrame.bind(window)")
        fresh_page.clock.install()
        fresh_page.add_init_script("window.requestAnimationFrame = window.drawFrame")
        fresh_page.goto(address)
        fresh_page.locator("#link[data-state=live]").wait_for()
        fresh_page.clock.pause_at((fresh_page.evaluate("Date.now()") + AHEAD_MS) / 1_000)
        return fresh_page

    return open_timeless
