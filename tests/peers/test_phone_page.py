"""Phone control from the page, with real phones: hang up, hold, transfers, the Welsh hand-over.

Covers `galwad/switch/call/commands.py`, `galwad/calls/phones.py` and
`galwad/page/static/phone.js` together.

A test needs two seconds of CPU time: three processes, a browser, baresip and SIPp.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from playwright.sync_api import expect

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Baresip, Callee, Caller, register
from helpers.peers.service import PASSWORD
from helpers.peers.sound import find, save

pytestmark = pytest.mark.peer

LINE, WELSH, DEPARTMENT = "01970000100", "600", "500"
MORE = f"""
welsh_destination = "{WELSH}"

[[destinations]]
match = "{WELSH}"
class = "centre"

[[routes]]
called = "{WELSH}"
ring = ["202"]
"""


@pytest.fixture
def service(start):
    """All three processes, with sian at 201 and huw, who speaks Welsh, at 202."""
    service = start("switch", "desk", "finaliser", users=True, more=MORE)
    add = ("users", "add", "huw", "--extension", "202", "--password-stdin", "--json")
    made = json.loads(service.galwad(*add, stdin=PASSWORD + "\n"))
    service.huws_password = made["sip"]["password"]
    service.log.wait("phones.set", 2)
    return service


@pytest.fixture
def open_page(service, chromium):
    """Signs a user in: `open_page("huw")`. A script error fails the test."""
    contexts, troubles = [], []

    def open_page(user):
        contexts.append(chromium.new_context(locale="en-GB"))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(service.url)
        page.get_by_label("User name").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator("#link[data-state=live]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture
def page(open_page):
    """The page of sian."""
    return open_page("sian")


@pytest.fixture
def baresip(service, ended):
    """Starts baresip as the phone of an extension: `baresip("202", seed)`."""

    def baresip(extension, seed):
        said = service.folder / f"said-{extension}.wav"
        save(said, speech(60, seed))
        password = service.sip_password if extension == "201" else service.huws_password
        account = SimpleNamespace(ports=service.ports, sip=service.sip, sip_password=password)
        phone = ended(Baresip(service.folder, account, said, extension))
        phone.wait_registered()
        return phone

    return baresip


@pytest.fixture
def phone(baresip):
    """The phone of sian."""
    return baresip("201", 31)


@pytest.fixture
def talk(service, page, phone, talker, ended):
    """A caller from the trunk with whom sian talks."""
    mouth = talker("127.0.0.2")
    caller = ended(Caller(service, LINE, media=mouth.port))
    caller.talker = mouth
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    shows(page, "In call")
    caller.talker.wait_heard(10)
    return caller


@pytest.fixture
def department(service, talker, ended):
    """SIPp as the department with the number 500."""

    def department(scenario="uas", **keys):
        port, ear = service.department_port, talker("127.0.0.4")
        callee = Callee(service.folder, scenario, "127.0.0.4", port=port, media=ear.port, **keys)
        callee.talker = ear
        return ended(callee)

    return department


def shows(page, state):
    expect(page.locator(".call-state")).to_have_text(state)


def say(caller, seed):
    said = speech(1, seed)
    caller.talker.say(said, caller.media_target)
    return said


def transfer(page, number):
    page.locator(".phone button.transfer").click()
    page.get_by_label("Number or destination").fill(number)
    page.keyboard.press("Enter")


def test_hanging_up_on_the_page_ends_the_call_of_the_caller_and_of_the_phone(
    service, page, phone, talk
):
    said = say(talk, 32)
    page.keyboard.press("Shift+F9")
    phone.wait("CALL_CLOSED")
    talk.wait()
    shows(page, "Wrap up: finish the note")
    expect(page.locator(".phone")).to_be_hidden()
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    assert recording.gaps() == []
    assert recording.adds_up()


def test_a_held_caller_hears_nothing_and_the_recording_stays_whole(service, page, phone, talk):
    before = say(talk, 33)
    page.keyboard.press("F9")
    shows(page, "On hold")
    expect(page.locator(".phone .hold")).to_contain_text("End hold")
    expect(page.locator(".bar .word")).to_have_text("REC")
    heard = len(talk.talker.heard)
    page.wait_for_timeout(1_500)
    assert len(talk.talker.heard) <= heard + 1  # a packet that was in the socket
    page.keyboard.press("F9")
    shows(page, "In call")
    talk.talker.wait_heard(heard + 30)
    after = say(talk, 34)
    page.wait_for_timeout(300)
    page.keyboard.press("Shift+F9")
    phone.wait("CALL_CLOSED")
    talk.wait()
    assert "a=inactive" in talk.messages()
    recording = Recording(service, service.call_id())
    assert all(find(recording.caller, said)[1] > 0.95 for said in (before, after))
    assert recording.gaps() == []
    assert len(recording.manifest["segments"]) == 1
    assert recording.adds_up()


def test_a_transfer_on_the_page_ends_the_recording_when_the_department_accepts(
    service, page, phone, talk, department
):
    other = department()
    before = say(talk, 35)
    transfer(page, DEPARTMENT)
    other.logged("acked")
    phone.wait("CALL_CLOSED")
    shows(page, "Wrap up: finish the note")
    service.log.wait("transfer.completed")
    after = say(talk, 36)
    other.talker.wait_heard(50)
    assert find(other.talker.audio(), after)[1] > 0.95
    talk.hang_up()
    other.wait()
    recording = Recording(service, service.call_id())
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] < 0.3
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"], gap["actor"]) == (
        "transfer",
        "page-transfer",
        "user:sian",
    )
    assert gap["to_us"] == recording.manifest["talk_us"]
    assert recording.silent_in(gap)
    assert recording.adds_up()


def test_a_transfer_that_fails_says_why_and_the_advisor_still_has_the_caller(
    service, page, talk, department
):
    other = department("uas_refusing", status=486)
    transfer(page, DEPARTMENT)
    expect(page.locator(".phone .note")).to_contain_text("the other party has not answered yet")
    other.go_on()
    expect(page.locator(".failed > p")).to_have_text(
        "The transfer did not happen: the line is busy. You still have the caller."
    )
    other.wait()
    shows(page, "In call")
    said = say(talk, 37)
    transfer(page, "999")
    expect(page.locator(".phone > [role=alert]")).to_have_text(
        "Nothing can be reached at this number. Check it."
    )
    talk.hang_up()
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    assert recording.gaps() == []


def test_one_key_hands_the_caller_over_to_a_welsh_speaker_whose_page_then_shows_the_call(
    service, talk, page, open_page, baresip
):
    huw, huws_phone = open_page("huw"), baresip("202", 38)
    before = say(talk, 39)
    page.keyboard.press("Shift+F2")
    huws_phone.wait("CALL_INCOMING")
    shows(huw, "Ringing")
    expect(page.locator(".phone .note")).to_contain_text("the other party has not answered yet")
    huws_phone.command("accept")
    shows(huw, "In call")
    expect(page.locator(".call")).to_have_count(0)
    expect(huw.locator(".confirm")).to_be_hidden()  # in no directory, and so not confirmed
    after = say(talk, 40)
    huw.keyboard.press("Shift+F9")
    huws_phone.wait("CALL_CLOSED")
    talk.wait()
    recording = Recording(service, service.call_id())
    assert all(find(recording.caller, said)[1] > 0.95 for said in (before, after))
    assert recording.gaps() == []
    assert len(recording.manifest["segments"]) == 2
    assert recording.adds_up()


def test_a_number_that_is_dialled_on_the_page_rings_the_phone_first(
    service, page, phone, talker, ended
):
    ear = talker("127.0.0.3")
    other = ended(Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, media=ear.port))
    page.get_by_label("Call a number").fill("01970 000200")
    page.keyboard.press("Enter")
    expect(page.locator(".dial .note")).to_contain_text("Your phone is ringing")
    phone.wait("CALL_INCOMING")
    assert "INVITE" not in other.messages()
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    other.logged("acked")
    ear.wait_heard(50)
    phone.command("hangup")
    other.wait()
    phone.wait("CALL_CLOSED")
    service.log.wait("call.ended")


def test_a_phone_that_lists_the_event_talk_is_answered_from_the_page(service, page, talker, ended):
    ear, mouth = talker("127.0.0.1"), talker("127.0.0.2")
    phone = ended(Callee(service.folder, "uas_talk", "127.0.0.1", media=ear.port))
    register(service, "201", phone.port, password=service.sip_password)
    caller = ended(Caller(service, LINE, media=mouth.port))
    expect(page.locator(".phone .answer")).to_be_visible()
    page.keyboard.press("F9")
    phone.logged("asked to talk")
    phone.logged("acked")
    shows(page, "In call")
    mouth.say(speech(1, 41), caller.media_target)
    ear.wait_heard(30)
    caller.hang_up()
    phone.wait()


def test_the_audit_says_who_did_what_on_the_page(service, page, phone, talk):
    page.keyboard.press("F9")
    shows(page, "On hold")
    page.wait_for_timeout(800)
    page.keyboard.press("Shift+F9")
    phone.wait("CALL_CLOSED")
    talk.wait()
    shows(page, "Wrap up: finish the note")
    with service.sign_in("ceri") as client:
        found = client.post("/api/v1/audit/search", json={"kind": "phone.act"}).json()
    acts = [json.loads(json.loads(line)["body"])["facts"]["act"] for line in found["lines"]]
    assert acts == ["hangup", "hold"]
