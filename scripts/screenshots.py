"""Take the pictures of the page in docs/images, from the scripted desk of the tests.

`scripts/screenshots` runs this. With a name as an argument, it takes only the pictures whose names
begin with it.
"""

from __future__ import annotations

import argparse
import sys
import threading
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.page import FakeDesk, Handler  # noqa: E402 - found by the line above
from helpers.page_states import STATES, open_state  # noqa: E402

IMAGES = ROOT / "docs" / "images"
WIDE, NARROW, ZOOMED = (1180, 800), (420, 800), (320, 256)


@dataclass(frozen=True)
class Look:
    """The size of the window, the colours and the language of a picture."""

    size: tuple[int, int] = WIDE
    dark: bool = False
    language: str = "en"


LOOKS = {
    "": Look(),
    "-narrow": Look(NARROW),
    "-dark": Look(dark=True),
    "-welsh": Look(language="cy"),
    "-zoomed": Look(ZOOMED),
}
MORE = {
    "-narrow": {"ringing-found", "confirmed", "paused", "several-calls", "idle", "sign-in"},
    "-dark": {"ringing-found", "confirmed", "paused", "several-calls", "supervisor"},
    "-welsh": {"ringing-found", "paused"},
    "-zoomed": {"paused", "several-calls"},
}
"""The states that also have a picture in another look, by the suffix of the look."""


def main() -> int:
    """Take the pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="how the names of the pictures begin")
    parser.add_argument("--into", type=Path, default=IMAGES, help="the folder for the pictures")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell",
            args=["--no-sandbox", "--disable-gpu"],
        )
        for state in STATES:
            for suffix, look in LOOKS.items():
                name = f"{state}{suffix}"
                wanted = not suffix or state in MORE[suffix]
                if wanted and name.startswith(arguments.name):
                    take(browser, state, look, arguments.into / f"{name}.png")
        browser.close()
    return 0


def take(browser: Browser, state: str, look: Look, path: Path) -> None:
    """Take one picture."""
    desk = FakeDesk()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"desk": desk}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(
        viewport={"width": look.size[0], "height": look.size[1]},
        color_scheme="dark" if look.dark else "light",
        locale={"en": "en-GB", "cy": "cy"}[look.language],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('galwad.language', '{look.language}')")
    open_state(page, f"http://127.0.0.1:{server.server_port}", desk, STATES[state])
    if look.size == ZOOMED:
        page.locator(".columns:visible").evaluate("(node) => node.scrollIntoView()")
    else:
        page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=str(path), full_page=look.size != ZOOMED)
    context.close()
    desk.cut()
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    sys.exit(main())
