"""The page in a panel of a CRM on another site, in Chromium, during a real call.

The adapters of `examples/crm-panel/` run as they are. In place of the CRM's own script there is one
that notes what it is asked for.

A test needs two seconds of CPU time, half of them to load the page within another one.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import ssl
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.certificates import Authority
from helpers.examples import long_after
from helpers.loopback import free_port
from helpers.peers.openid import OpenIdProvider
from helpers.peers.programs import Baresip, Caller
from helpers.peers.service import CALLER, PASSWORD
from helpers.peers.sound import save
from helpers.peers.waiting import PATIENCE_S

pytestmark = pytest.mark.peer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "crm-panel"
DYNAMICS = """
window.asked = [];
window.Microsoft = { CIFramework: {
  setMode: async (mode) => asked.push(["panel", mode]),
  openForm: async (form) => asked.push(["record", JSON.parse(form)]),
  setClickToAct: async (on) => (window.clickable = on),
  addHandler: async (name, handler) => {
    window.clickNumber = (value) => name === "onclicktoact" && handler(JSON.stringify({ value }));
  },
} };
addEventListener("load", () => dispatchEvent(new Event("CIFInitDone")));
"""
SALESFORCE = """
window.asked = [];
window.sforce = { opencti: {
  SCREENPOP_TYPE: { SOBJECT: "sobject" },
  setSoftphonePanelVisibility: ({ visible }) => asked.push(["panel", visible]),
  screenPop: ({ type, params }) => asked.push(["record", { type, ...params }]),
  enableClickToDial: () => (window.clickable = true),
  onClickToDial: ({ listener }) => (window.clickNumber = (number) => listener({ number })),
} };
"""
CRMS = {
    "dynamics": (DYNAMICS, ["panel", 1], {"entityName": "contact", "entityId": "17"}),
    "salesforce": (SALESFORCE, ["panel", True], {"type": "sobject", "recordId": "17"}),
}
DIRECTORY = """
[[directories]]
kind = "sql"
name = "crm"
url = "sqlite+aiosqlite:///{path}"
view = "people"
page = "https://crm.example/contacts/{{{{id}}}}"

[directories.columns]
id = "id"
name = "name"
numbers = ["phone"]
"""


class Site(SimpleHTTPRequestHandler):
    """Serves the adapters."""

    def log_message(self, *_):
        """Stay silent."""


class Crm:
    """A web server with TLS on a site of its own, with an adapter and the CRM's script."""

    def __init__(self, folder, port, certificate, desk):
        shutil.copytree(EXAMPLE, folder)
        config = folder / "config.js"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("https://galwad.example.gov.uk", desk), encoding="utf-8")
        for name, (script, _, _) in CRMS.items():
            (folder / f"crm-{name}.js").write_text(script, encoding="utf-8")
            page = folder / f"{name}.html"
            before, _, after = page.read_text(encoding="utf-8").partition('<script src="https:')
            later = after.partition("</script>")[2]
            own = f'{before}<script src="crm-{name}.js"></script>{later}'
            page.write_text(own, encoding="utf-8")
        handler = partial(Site, directory=folder)
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Council:
    """A service over TLS that one CRM may embed, and a second site that may not."""

    def __init__(self, start, folder, ended, more=""):
        certificate = Authority(folder, "council").issue("desk", "127.0.0.1", "localhost")
        people = folder / "people.db"
        with sqlite3.connect(people) as database:
            database.execute("CREATE TABLE people (id TEXT, name TEXT, phone TEXT)")
            database.execute("INSERT INTO people VALUES ('17', 'Mair Pritchard', ?)", [CALLER])
        database.close()
        ports = free_port(), free_port()
        self.crm, self.stranger = (f"https://localhost:{port}" for port in ports)
        self.service = start(
            *("switch", "desk", "finaliser"),
            users=True,
            more=f'tls_certificate = "{certificate[0]}"\ntls_key = "{certificate[1]}"\n'
            f'embed_origins = ["{self.crm}"]\n' + DIRECTORY.format(path=people) + more,
        )
        self.desk = f"https://127.0.0.1:{self.service.desk_port}"
        for port in ports:
            ended(Crm(folder / f"site-{port}", port, certificate, self.desk))


@pytest.fixture
def council(start, tmp_path, ended):
    return Council(start, tmp_path, ended)


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    """The OpenID provider of all tests."""
    people = {"mair": {"oid": "oid-2", "preferred_username": "mair@x.example", "roles": ["Lead"]}}
    provider = OpenIdProvider(tmp_path_factory.mktemp("provider"), people)
    yield provider
    provider.end()


@pytest.fixture
def provided(start, tmp_path, ended, provider):
    """The same with an OpenID provider, where sian may still use a password of Galwad."""
    return Council(start, tmp_path, ended, provider.settings({"Lead": "supervisor"}, ["sian"]))


@pytest.fixture
def browser(chromium):
    """A fresh profile that accepts the certificates of this test."""
    context = chromium.new_context(
        locale="en-GB", ignore_https_errors=True, viewport={"width": 420, "height": 800}
    )
    yield context
    context.close()


def open_panel(council, browser, name):
    """Open the CRM with Galwad in its panel, signed in as sian; return the page and the frame."""
    page = browser.new_page()
    page.goto(f"{council.crm}/{name}.html")
    panel = page.frame_locator("iframe")
    panel.get_by_label("User name").fill("sian")
    panel.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(panel.get_by_text("No call at the moment")).to_be_visible()
    return page, panel


@pytest.mark.parametrize("name", long_after(1, CRMS))
def test_the_crm_shows_the_panel_when_it_rings_and_opens_the_record_of_a_confirmed_caller(
    council, browser, talker, ended, name
):
    _, shown, record = CRMS[name]
    service = council.service
    page, panel = open_panel(council, browser, name)
    said = service.folder / "advisor.wav"
    save(said, speech(20, 111))
    advisor = ended(Baresip(service.folder, service, said))
    advisor.wait_registered()
    caller = ended(Caller(service, "01970000100", media=talker("127.0.0.2").port))
    advisor.wait("CALL_INCOMING")
    expect(panel.get_by_role("heading", name="Mair Pritchard")).to_be_visible()
    page.wait_for_function("asked.length === 1", timeout=PATIENCE_S * 1_000)
    advisor.command("accept")
    word = panel.locator(".recording .word")
    expect(word).to_have_text("REC")
    panel.get_by_role("button", name="Checks passed").click()
    page.wait_for_function("asked.length === 2", timeout=PATIENCE_S * 1_000)
    panel.get_by_role("link", name="Open in crm").click()
    page.wait_for_function("asked.length === 3", timeout=PATIENCE_S * 1_000)
    assert page.evaluate("asked") == [shown, ["record", record], ["record", record]]
    assert len(browser.pages) == 1
    page.keyboard.press("F8")
    expect(word).to_have_text("PAUSED")
    page.screenshot(path=str(service.folder / f"panel-{name}.png"))
    page.reload()
    expect(word).to_have_text("PAUSED")
    caller.hang_up()
    expect(panel.locator("#urgent p").last).to_have_text("The call is over.")
    assert page.evaluate("asked") == []  # the record was open before the reload


def test_the_session_of_a_panel_belongs_to_the_site_around_it(council, browser):
    page, panel = open_panel(council, browser, "dynamics")
    (cookie,) = [each for each in browser.cookies() if "Host-galwad" in each["name"]]
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"]) == ("None", True, True)
    assert "localhost" in cookie["partitionKey"]
    # Requests that the CRM's own page makes are refused or cannot be read.
    forged = """async (desk) => {
        const requests = [
            ["me", { method: "GET" }],
            ["logout", { method: "POST", mode: "no-cors" }],
            ["logout", { method: "POST" }],
            ["payments", { method: "PUT" }],
        ];
        let read = 0;
        for (const [path, options] of requests) {
            await fetch(`${desk}/api/v1/${path}`, { credentials: "include", ...options }).then(
                () => (read += 1), () => null
            );
        }
        return read;
    }"""
    assert page.evaluate(forged, council.desk) == 0
    page.reload()
    expect(panel.get_by_text("No call at the moment")).to_be_visible()
    alone = browser.new_page()
    alone.goto(council.desk)
    expect(alone.get_by_label("User name")).to_be_visible()
    panel.get_by_role("button", name="Sign out").click()
    expect(panel.get_by_label("User name")).to_be_visible()


def test_a_site_that_the_settings_do_not_name_cannot_show_the_page(council, browser):
    page = browser.new_page()
    with page.expect_console_message(lambda line: "frame-ancestors" in line.text):
        page.goto(f"{council.stranger}/dynamics.html")
    expect(page.frame_locator("iframe").get_by_label("User name")).to_have_count(0)


@pytest.mark.parametrize("name", long_after(1, CRMS))
def test_a_number_clicked_in_the_crm_is_called_only_after_a_key_press_in_the_panel(
    council, browser, ended, name
):
    service = council.service
    said = service.folder / "advisor.wav"
    save(said, speech(5, 112))
    advisor = ended(Baresip(service.folder, service, said))
    advisor.wait_registered()
    page, panel = open_panel(council, browser, name)
    field = panel.get_by_label("Call a number")
    expect(field).to_be_visible()
    assert page.evaluate("clickable")

    def click(number):
        page.evaluate("document.activeElement.blur()")
        page.evaluate("(number) => clickNumber(number)", number)
        expect(field).to_have_value(number)
        expect(panel.get_by_role("button", name="Call", exact=True)).to_be_focused()

    click("0909 8790000")  # only the settings decide what can be reached: this has no route
    page.keyboard.press("Enter")
    expect(panel.get_by_role("alert").filter(has_text="Nothing can be reached")).to_be_visible()
    click("01970 000200")
    assert page.evaluate("asked") == [CRMS[name][1]] * 2
    assert service.log.events("call.placed") == []
    page.keyboard.press("Enter")
    expect(panel.locator(".dial .note")).to_contain_text("Your phone is ringing")
    advisor.wait("CALL_INCOMING")
    advisor.command("hangup")
    advisor.wait("CALL_CLOSED")


WORK = "Sign in with your work account"


def ask_for_sign_in(council, browser):
    """Press the button of the work account in the panel; return the page, panel and new window."""
    page = browser.new_page()
    page.goto(f"{council.crm}/dynamics.html")
    panel = page.frame_locator("iframe")
    with browser.expect_page() as opened:
        panel.get_by_role("button", name=WORK).click()
    return page, panel, opened.value


def sign_in_at_the_provider(window, login):
    """Go to the provider, sign in there, and agree."""
    window.get_by_role("button", name=WORK).click()
    window.locator("input[name=login]").fill(login)
    window.locator("input[name=password]").fill("any")
    window.get_by_role("button", name="Sign-in").click()
    window.get_by_role("button", name="Continue").click()


def test_a_person_of_the_provider_signs_the_panel_in_from_a_window_of_its_own(provided, browser):
    page, panel, window = ask_for_sign_in(provided, browser)
    shown = panel.locator(".shown-code")
    expect(shown).to_have_text(re.compile("^Code: [B-Z]{4}-[B-Z]{4}$"))
    sign_in_at_the_provider(window, "mair")
    expect(window.locator("#who")).to_have_text("mair")
    question = window.get_by_role("group", name="Use your sign-in as mair")
    expect(question).to_contain_text(provided.crm)
    expect(question).to_contain_text(shown.text_content())
    window.get_by_role("button", name="Approve", exact=True).click()
    expect(window.get_by_text("You can close this window.").first).to_be_visible()
    expect(panel.locator("#who")).to_have_text("mair")
    cookies = {each["name"]: each for each in browser.cookies() if "Host-galwad" in each["name"]}
    (usual, panels) = (cookies["__Host-galwad"], cookies["__Host-galwad-embedded"])
    assert (usual["sameSite"], panels["sameSite"]) == ("Strict", "None")
    assert "localhost" in panels["partitionKey"]
    page.reload()
    expect(panel.locator("#who")).to_have_text("mair")
    # The panel's requests that change something work; its sign-out stays in the panel.
    panel.get_by_role("button", name="Sign out").click()
    expect(panel.get_by_role("button", name=WORK)).to_be_visible()
    window.reload()
    expect(window.locator("#who")).to_have_text("mair")


@pytest.mark.long
def test_a_panel_whose_sign_in_is_not_approved_can_still_use_a_password(provided, browser):
    _, panel, window = ask_for_sign_in(provided, browser)
    sign_in_at_the_provider(window, "mair")
    window.get_by_role("button", name="Do not approve").click()
    expect(window.get_by_role("heading", name="All calls")).to_be_visible()
    panel.get_by_role("button", name="Back").click()
    panel.get_by_text("Sign in with a Galwad password").click()
    panel.get_by_label("User name").fill("sian")
    panel.get_by_label("Password").fill(PASSWORD)
    panel.get_by_label("Password").press("Enter")
    expect(panel.locator("#who")).to_have_text("sian")


def test_the_site_around_the_panel_can_neither_begin_nor_collect_a_sign_in(provided, browser):
    page, panel, window = ask_for_sign_in(provided, browser)
    expect(panel.locator(".shown-code")).to_be_visible()
    forged = """async ([desk, site]) => {
        const requests = [["panels", { site }], ["panels/session", { secret: "s" }]];
        let read = 0;
        for (const [path, body] of requests) {
            await fetch(`${desk}/api/v1/${path}`, {
                method: "POST", credentials: "include", body: JSON.stringify(body),
                headers: { "Content-Type": "application/json" },
            }).then(() => (read += 1), () => null);
        }
        return read;
    }"""
    assert page.evaluate(forged, [provided.desk, provided.crm]) == 0
    assert window.evaluate("window.opener") is None
    with page.expect_console_message(lambda line: "frame-ancestors" in line.text):
        page.evaluate(
            """(address) => {
                const frame = document.createElement("iframe");
                frame.src = address;
                document.body.append(frame);
            }""",
            f"{provided.desk}/#panel=BCDF-GHJK",
        )
