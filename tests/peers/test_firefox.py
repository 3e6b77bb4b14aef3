"""Debian's Firefox on the real page, during a real call from SIPp to baresip."""

from __future__ import annotations

from importlib.resources import files

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.firefox import Firefox
from helpers.peers.programs import Baresip, Caller
from helpers.peers.service import CALLER, PASSWORD
from helpers.peers.sound import save
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

PEOPLE = "reference,name,numbers,language,postcode\nP1,Mair Pritchard,{number},cy,LL00 0XX\n"
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
FAULTS = """
const [rules, done] = arguments;
axe.run({ runOnly: rules }).then(({ violations }) =>
    done(violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`))));
"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WORD = ".recording .word"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """The browser of all tests: its start takes five seconds of CPU time."""
    browser = Firefox(tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.end()


@pytest.fixture
def firefox(service, browser):
    """Firefox with the page, signed in as sian by keyboard."""
    firefox = browser
    firefox.goto(service.url)
    wait_until(
        lambda: firefox.run("return document.activeElement?.tagName") == "INPUT",
        what="the focus in the field of the user name",
    )
    firefox.write("sian")
    firefox.press("Tab")
    firefox.write(PASSWORD)
    firefox.press("Enter")
    firefox.wait_shown("No call at the moment")
    return firefox


@pytest.fixture
def advisor(service, ended):
    """The advisor's phone, registered."""
    said = service.folder / "advisor.wav"
    save(said, speech(20, 111))
    advisor = ended(Baresip(service.folder, service, said))
    advisor.wait_registered()
    return advisor


def faults(firefox):
    """Return what axe finds on the page as it is now."""
    firefox.run(AXE + "; window.axe = axe;")
    return firefox.run_async(FAULTS, RULES)


def test_an_advisor_takes_a_call_in_firefox_by_keyboard(service, firefox, advisor, talker, ended):
    """Axe looks at four states: 5 s of CPU time."""
    people = service.folder / "people.csv"
    people.write_text(PEOPLE.format(number=CALLER), encoding="utf-8")
    service.galwad("directory", "import", str(people))
    found = {"idle": faults(firefox)}
    caller = ended(Caller(service, "01970000100", media=talker("127.0.0.2").port))
    advisor.wait("CALL_INCOMING")
    firefox.wait_shown("Mair Pritchard")
    found["ringing"] = faults(firefox)
    advisor.command("accept")
    firefox.wait_text(WORD, "REC")
    firefox.press("F7")
    firefox.press("Enter")
    firefox.wait_shown("LL00 0XX")
    found["confirmed"] = faults(firefox)
    firefox.press("F8")
    firefox.wait_text(WORD, "PAUSED")
    found["paused"] = faults(firefox)
    firefox.press("Shift+F8")
    firefox.wait_text(WORD, "REC")
    firefox.press("F2")
    firefox.write("Missed collection")
    firefox.press("Control+Enter")
    firefox.wait_text(".contact .saved", "Saved")
    caller.hang_up()
    firefox.wait_shown("No call at the moment")
    assert found == {state: [] for state in found}
    recording = Recording(service, service.call_id())
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == ("payment", "page", "user:sian")
    assert recording.silent_in(gap)


def test_the_small_window_of_firefox_pauses_the_call(service, firefox, place_call):
    call = place_call()
    firefox.wait_text(WORD, "REC")
    (page,) = firefox.windows()
    firefox.click(".top button[data-t='mini.open']")
    wait_until(lambda: len(firefox.windows()) == 2, what="the small window")
    (small,) = set(firefox.windows()) - {page}
    firefox.switch_to(small)
    firefox.wait_text(WORD, "REC")
    firefox.press("F8")
    firefox.wait_text(WORD, "PAUSED")
    assert faults(firefox) == []
    firefox.switch_to(page)
    firefox.wait_text(WORD, "PAUSED")
    firefox.press("Shift+F8")
    firefox.wait_text(WORD, "REC")
    firefox.switch_to(small)
    firefox.wait_text(WORD, "REC")
    call.hang_up()
