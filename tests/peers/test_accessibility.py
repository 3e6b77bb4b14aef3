"""axe-core on the real desk's page, in every state that an advisor or a supervisor can see.

The page must meet WCAG 2.0, 2.1 and 2.2, levels A and AA, and axe's best practices, without
exception.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import expect

from galwad.messages import Party
from helpers.peers.scripted import ScriptedSwitch
from helpers.peers.service import PASSWORD

pytestmark = pytest.mark.peer
LONG = pytest.mark.long

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async (rules) => {
    const { violations, passes } = await axe.run({ runOnly: rules });
    const told = violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html}`));
    return [told, passes.length];
}"""
ONE, SEVERAL, NOBODY = "01632960001", "01632960002", "01632960003"
PEOPLE = f"""reference,name,numbers,language,postcode,address,notes,kind
P1,Mair Pritchard,{ONE},cy,LL00 0XX,12 Heol yr Eglwys,Pays by card,person
P2,Owen Evans,{SEVERAL},en,LL00 0XY,3 Stryd Fawr,,person
P3,Aberdrama Community Trust,{SEVERAL},cy,LL00 0XZ,The Hall,,organisation
"""
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "English, light": ("en", {"color_scheme": "light"}),
    "Welsh, dark": ("cy", {"color_scheme": "dark"}),
    "Welsh, narrow": ("cy", {"viewport": {"width": 320, "height": 256}}),
    "English, narrow, dark": (
        "en",
        {"viewport": {"width": 320, "height": 800}, "color_scheme": "dark"},
    ),
    "English, forced colours": ("en", {"forced_colors": "active"}),
}


@pytest.fixture
def switch(start, ended):
    """A scripted switch under a real desk that knows three people."""
    service = start(users=True)
    people = service.folder / "people.csv"
    people.write_text(PEOPLE, encoding="utf-8")
    service.galwad("directory", "import", str(people))
    switch = ended(ScriptedSwitch(service.runtime / "switch.sock"))
    service.start("desk")
    switch.service = service
    return switch


class Look:
    """The page in a browser with one of the `LOOKS`."""

    def __init__(self, page, password):
        self.page = page
        self.password = password
        self.wrong = []
        self.looked = 0

    def judge(self, state):
        """Let axe check the page as it is, and check that it needs no sideways scrolling."""
        if self.page.evaluate("typeof axe") == "undefined":  # not yet since the page was loaded
            self.page.evaluate(AXE)
        told, passed = self.page.evaluate(RUN, RULES)
        self.wrong += [f"{state}: {one}" for one in told]
        assert passed > 10, "axe has not looked"
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        if self.page.evaluate(wide) > 0:
            self.wrong.append(f"{state}: scrolls sideways")
        self.looked += 1

    def sign_in(self, user, password=None):
        """Sign in by keyboard."""
        self.page.locator("#signin-user").fill(user)
        self.page.locator("#signin-password").fill(password or self.password)
        self.page.keyboard.press("Enter")

    def recording(self, state):
        """Wait until the page shows this state of the recording."""
        expect(self.page.locator(".recording").first).to_have_attribute("data-state", state)

    def lookup(self, status):
        """Wait until the page shows this status of the lookup."""
        expect(self.page.locator(".caller").first).to_have_attribute("data-status", status)


def in_looks(*often):
    """Run a test in these looks, and in the long tier in all of them.

    `tests/galwad/page` has the other looks with a scripted desk.
    """
    looks = [name if name in often else pytest.param(name, marks=LONG) for name in LOOKS]
    return pytest.mark.parametrize("look", looks, indirect=True)


@pytest.fixture
def look(request, switch, chromium):
    """The page of the real desk, not signed in; axe must not have found a fault by the end."""
    language, options = LOOKS[request.param]
    context = chromium.new_context(locale={"en": "en-GB", "cy": "cy"}[language], **options)
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('galwad.language', '{language}')")
    page.goto(switch.service.url)
    page.locator("#signin-user").wait_for()
    look = Look(page, PASSWORD)
    yield look
    context.close()
    assert look.wrong == []


@in_looks("Welsh, narrow")
def test_axe_finds_no_fault_in_13_states_of_an_advisors_page(look, switch):
    """Each of the 13 states takes axe 0.2 s of CPU time."""
    page = look.page
    look.judge("sign-in")
    look.sign_in("sian", "wrong")
    page.locator("#signin-problem[data-t]").wait_for()
    look.judge("refused")
    look.sign_in("sian")
    page.locator("#link[data-state=live]").wait_for()
    look.judge("no call")
    for number, status in (("", "withheld"), (NOBODY, "not_found"), (SEVERAL, "several")):
        switch.ring(number)
        look.lookup(status)
        look.judge(f"ringing, {status}")
        if status != "several":
            switch.hang_up()
            page.locator(".call").wait_for(state="detached")
    switch.answer()
    look.recording("recording")
    look.judge("a choice of several")
    page.get_by_role("radio").first.check()
    page.locator("[data-outcome=confirmed]").click()
    page.locator(".details:not([hidden])").wait_for()
    look.judge("confirmed")
    page.keyboard.press("F8")
    look.recording("paused")
    look.judge("paused")
    switch.change(holders=("page:sian", "page:ceri", "phone:204", "token:pay"), durable=False)
    page.locator(".holders .release").click()
    look.judge("who holds the pause")
    switch.change(recording="fault", holders=(), durable=True)
    switch.alarm("recording.fault")
    page.locator(".alarm").wait_for()
    look.judge("fault")
    switch.change(recording="ceased")
    look.recording("ceased")
    look.judge("off")
    switch.hang_up()
    page.locator(".call[data-state=wrapup]").wait_for()
    page.locator("form.contact select").last.select_option("family")
    look.judge("wrap-up")
    assert look.looked == 13


def take_a_call(look, switch):
    """Sign in as an advisor, answer a call that is recorded, and return the page."""
    look.sign_in("sian")
    look.page.locator("#link[data-state=live]").wait_for()
    switch.ring(ONE)
    switch.answer()
    look.recording("recording")
    return look.page


@in_looks("English, light")
def test_axe_finds_no_fault_in_closing_a_call_with_a_note_that_is_not_saved(look, switch):
    page = take_a_call(look, switch)
    switch.hang_up()
    page.locator(".call[data-state=wrapup]").wait_for()
    page.locator("form.contact textarea").fill("Rang about a bin")
    page.locator("footer button[data-t='call.close']").click()
    page.locator("form.closing .warning:visible").wait_for()
    look.judge("closing the call")
    assert look.looked == 1


@in_looks("English, light")
def test_axe_finds_no_fault_in_the_warnings_of_an_advisors_page(look, switch):
    page = take_a_call(look, switch)
    page.locator("textarea").fill("4111 1111 1111 1111")
    page.locator("form.contact .warning:visible").wait_for()
    look.judge("a card number in the note")
    page.locator("#sign-out").locator("xpath=preceding-sibling::button").last.click()
    switch.change(recording="paused", holders=("page:sian",), recording_since=1.0)
    page.locator(".recording .warning:visible").wait_for()
    look.judge("a forgotten pause, and a muted chime")
    page.reload()
    page.locator(".recording .warning:visible").wait_for()
    page.locator(".banner.ending:visible").wait_for()
    look.judge("a chime that the browser blocks")
    assert look.looked == 3


@in_looks("English, light")
def test_axe_finds_no_fault_on_the_page_while_directory_switch_or_desk_is_away(look, switch):
    with closing(sqlite3.connect(switch.service.state / "desk" / "directory.db")) as directory:
        directory.execute("ALTER TABLE people RENAME TO gone")
    look.sign_in("sian")
    look.page.locator("#link[data-state=live]").wait_for()
    switch.ring(ONE)
    look.lookup("unavailable")
    look.judge("directory down")
    switch.go()
    look.recording("unknown")
    look.judge("switch away")
    switch.service.processes.pop("desk").end()
    look.page.locator("#link[data-state=lost]").wait_for()
    look.judge("desk away")
    assert look.looked == 3


@in_looks("English, light")
def test_axe_finds_no_fault_in_a_supervisors_view(look, switch):
    look.sign_in("ceri")
    look.page.locator("#link[data-state=live]").wait_for()
    look.judge("no calls")
    switch.ring(ONE)
    switch.answer()
    other = "20261125-101600-bbbbbbbb"
    switch.ring(NOBODY, other, at=Party("202", "owen"), line="Housing")
    switch.answer(other, Party("202", "owen"))
    switch.change(
        other, recording="paused", holders=("phone:201", "page:owen"), recording_since=1.0
    )
    look.page.locator(".release").first.click()
    look.judge("calls, and who holds one")
    look.page.locator(".holders .primary:visible").click()
    look.page.locator("[data-holder='phone:201']").wait_for(state="detached")
    assert switch.calls[other].holders == ("page:owen",)
    assert look.looked == 2
