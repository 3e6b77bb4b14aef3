"""The example payment page in Chromium pauses a real call, renews, and resumes when it is left.

The page is served from another origin than the desk's, as it would be at a council.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Error, expect

from galwad.simulate.sound import speech
from helpers.loopback import free_port
from helpers.peers.evidence import Recording
from helpers.peers.sound import find
from helpers.peers.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.peer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "payment-page"
PAUSED = "The recording is paused. You may take card details."
REFUSED = "The recording is NOT paused by this page."
AXE = files("axe_playwright_python").joinpath("axe.min.js")
HEARTBEAT_S = 5


class Site(SimpleHTTPRequestHandler):
    """Serves the example under the policy that its README asks for."""

    policy = ""

    def end_headers(self):
        self.send_header("Content-Security-Policy", self.policy)
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, *_):
        """Stay silent."""


class Council:
    """A service with a call, its CRM's token, and a web server with the example page."""

    def __init__(self, service, folder, port):
        self.service = service
        self.address = f"http://127.0.0.1:{port}/"
        made = service.galwad(
            *("users", "add", "crm", "--role", "machine", "--right", "payments", "--json")
        )
        self.crm = httpx2.Client(
            base_url=f"{service.url}/api/v1",
            headers={"Authorization": f"Bearer {json.loads(made)['token']}"},
            timeout=PATIENCE_S,
        )
        self.site = site = folder / "payment-page"
        shutil.copytree(EXAMPLE, site)
        config = site / "config.js"
        text = config.read_text(encoding="utf-8")
        for before, after in (
            ("https://galwad.example.gov.uk", service.url),
            ("RENEW_S = 10", "RENEW_S = 1"),
            ("HEARTBEAT_S = 75", f"HEARTBEAT_S = {HEARTBEAT_S}"),
        ):
            assert before in text
            text = text.replace(before, after)
        config.write_text(text, encoding="utf-8")
        readme = (site / "README.md").read_text(encoding="utf-8")
        (policy,) = re.findall(r"`Content-Security-Policy: (.*)`", readme)
        named = {"policy": policy.replace("https://galwad.example.gov.uk", service.url)}
        handler = partial(type("Bound", (Site,), named), directory=site)
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.crm.close()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def token(self):
        """Request a token as the CRM does."""
        reply = self.crm.post("/payment-tokens", json={"call_id": self.service.call_id()})
        assert reply.status_code == 201, reply.text
        return reply.json()["token"]

    def recording(self):
        """The state of the call's recording and its pause holders, as a supervisor sees them."""
        with self.service.sign_in("ceri") as page:
            (pop,) = page.get("/api/v1/calls").json()
            return pop["recording"], pop["holders"]

    def wait(self, state):
        wait_until(lambda: self.recording()[0] == state)


@pytest.fixture
def council(start, tmp_path, ended, place_call_on):
    port = free_port()
    origins = f'payment_page_origins = ["http://127.0.0.1:{port}"]\n'
    service = start("switch", "desk", "finaliser", users=True, more=origins)
    council = ended(Council(service, tmp_path, port))
    council.call = place_call_on(service, "uas_plain")
    council.wait("recording")
    return council


@pytest.fixture
def browser_page(chromium):
    """A page in a fresh profile; a script error fails the test."""
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda line: troubles.append(line.text) if "Policy" in line.text else None)
    yield page
    context.close()
    assert troubles == []


def opened(council, page):
    """The payment page, open and pausing."""
    council.call.caller.say(speech(1, 6), council.call.from_caller)  # the stream is then known
    page.goto(f"{council.address}#token={council.token()}")
    expect(page.locator("#state")).to_have_text(PAUSED)
    expect(page.get_by_label("Card number")).to_be_enabled()
    return page


def faults_by_axe(council, page):
    """Let axe-core check the page as it is; return the faults."""
    (council.site / "axe.js").write_bytes(AXE.read_bytes())
    page.add_script_tag(url=f"{council.address}axe.js")
    found = page.evaluate("""async () => {
        const { violations, passes } = await axe.run();
        return [violations.map(({ id }) => id), passes.length];
    }""")
    assert found[1] > 8, "axe has not looked"
    return found[0]


def test_the_page_pauses_on_load_renews_the_pause_and_resumes_when_the_payment_is_done(
    council, browser_page
):
    page = opened(council, browser_page)
    assert "token" not in page.url
    assert faults_by_axe(council, page) == []
    state, (holder,) = council.recording()
    assert (state, holder[:12]) == ("paused", "payment:crm-")
    secret, after = speech(1, 7), speech(1, 8)
    council.call.caller.say(secret, council.call.from_caller)
    page.get_by_label("Card number").fill("4111 1111 1111 1111")
    page.wait_for_timeout((HEARTBEAT_S + 3) * 1_000)
    expect(page.locator("#state")).to_have_text(PAUSED)
    assert council.service.log.events("alarm", kind="payment.page_lost") == []
    page.get_by_role("button", name="Payment is complete").click()
    expect(page.locator("#state")).to_contain_text("The recording has resumed.")
    expect(page.get_by_label("Card number")).to_be_disabled()
    expect(page.get_by_label("Card number")).to_have_value("")
    council.wait("recording")
    council.call.caller.say(after, council.call.from_caller)
    council.call.hang_up()
    recording = Recording(council.service, council.service.call_id())
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "api", "token:crm")
    assert gap["to_us"] - gap["from_us"] > HEARTBEAT_S * 1_000_000
    assert recording.silent_in(gap)


def test_the_recording_resumes_when_the_page_is_left_and_a_reloaded_page_stays_disabled(
    council, browser_page
):
    page = opened(council, browser_page)
    page.goto("about:blank")
    council.wait("recording")
    token = council.token()
    page.goto(f"{council.address}#token={token}")
    expect(page.locator("#state")).to_have_text(PAUSED)
    page.goto(f"{council.address}?again#token={token}")
    expect(page.locator("#state")).to_contain_text(REFUSED)
    expect(page.get_by_label("Card number")).to_be_disabled()
    assert faults_by_axe(council, page) == []
    council.wait("recording")


def test_a_page_that_crashes_leaves_the_recording_paused_and_raises_an_alarm(council, browser_page):
    page = opened(council, browser_page)
    with suppress(Error):
        page.goto("chrome://crash")
    council.service.log.wait("alarm", kind="payment.page_lost")
    state, holders = council.recording()
    assert state == "paused"
    with council.service.sign_in("ceri") as supervisor:
        path = f"/api/v1/calls/{council.service.call_id()}/payment"
        released = supervisor.request("DELETE", path, json={"holder": holders[0]})
        assert released.json()["state"] == "recording"


def test_a_page_whose_pause_a_supervisor_releases_disables_its_fields(council, browser_page):
    page = opened(council, browser_page)
    _, (holder,) = council.recording()
    with council.service.sign_in("ceri") as supervisor:
        path = f"/api/v1/calls/{council.service.call_id()}/payment"
        supervisor.request("DELETE", path, json={"holder": holder})
    expect(page.locator("#state")).to_contain_text(REFUSED)
    expect(page.get_by_label("Card number")).to_be_disabled()
    assert council.recording()[0] == "recording"


def test_a_page_disables_its_fields_while_the_desk_is_away(council, browser_page):
    page = opened(council, browser_page)
    council.service.kill("desk")
    expect(page.locator("#state")).to_contain_text("Galwad does not answer.")
    expect(page.get_by_label("Card number")).to_be_disabled()
    council.service.start("desk")
    expect(page.locator("#state")).to_have_text(PAUSED)
    page.get_by_role("button", name="Cancel the payment").click()
    expect(page.locator("#state")).to_contain_text("The recording has resumed.")


def test_a_page_of_another_origin_or_without_a_token_never_enables_its_fields(
    council, browser_page
):
    elsewhere = council.address.replace("127.0.0.1", "localhost")
    browser_page.goto(f"{elsewhere}#token={council.token()}")
    expect(browser_page.locator("#state")).to_contain_text("Galwad does not answer.")
    expect(browser_page.get_by_label("Card number")).to_be_disabled()
    browser_page.goto(council.address)
    expect(browser_page.locator("#state")).to_contain_text(REFUSED)
    expect(browser_page.get_by_label("Card number")).to_be_disabled()
    assert council.recording() == ("recording", [])


def test_the_page_is_in_welsh_for_a_browser_that_prefers_welsh(council, chromium):
    page = chromium.new_context(locale="cy").new_page()
    page.goto(f"{council.address}#token={council.token()}")
    expect(page.locator("#state")).to_have_text(
        "Mae'r recordiad wedi'i oedi. Cewch gymryd manylion cerdyn."
    )
    page.get_by_role("button", name="Canslo'r taliad").click()
    expect(page.locator("#state")).to_contain_text("Mae'r recordio wedi ailddechrau.")
    page.context.close()
