"""baresip as the advisor's phone: it answers, holds and transfers calls."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Baresip, Callee, Caller
from helpers.peers.sound import find, save
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

LINE = "01970000100"


@pytest.fixture
def advisor(service, ended):
    """baresip, registered as 201, which repeats one sound during the call."""
    said = service.folder / "advisor.wav"
    save(said, speech(20, 31))
    phone = ended(Baresip(service.folder, service, said))
    phone.wait_registered()
    return phone


@pytest.fixture
def caller(service, talker, ended):
    """A caller from the trunk, with its own talker."""
    mouth = talker("127.0.0.2")
    calling = ended(Caller(service, LINE, media=mouth.port))
    calling.talker = mouth
    return calling


@pytest.fixture
def answered(advisor, caller):
    """A caller whose call the advisor has answered."""
    advisor.wait("CALL_INCOMING")
    advisor.command("accept")
    advisor.wait("CALL_ESTABLISHED")
    caller.talker.wait_heard(10)
    return caller


@pytest.fixture
def department(service, talker, ended):
    """SIPp as the department with the number 500."""

    def department(scenario="uas", **keys):
        port = service.department_port
        ear = talker("127.0.0.4")
        phone = Callee(service.folder, scenario, "127.0.0.4", port=port, media=ear.port, **keys)
        phone.talker = ear
        return ended(phone)

    return department


def talk(caller, seconds=1.0, seed=32):
    said = speech(seconds, seed)
    caller.talker.say(said, caller.media_target)
    return said


def test_an_advisor_with_baresip_answers_holds_and_resumes_and_the_call_is_recorded(
    service, advisor, answered
):
    said = talk(answered)
    with service.sign_in() as page:
        for command, state in (("hold", "held"), ("resume", "answered")):
            advisor.command(command)
            wait_until(lambda state=state: page.get("/api/v1/calls").json()[0]["state"] == state)
    held = len(answered.talker.heard)
    answered.talker.wait_heard(held + 30)
    answered.hang_up()
    advisor.wait("CALL_CLOSED")
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    heard = answered.talker.audio()[1600:6400]
    assert find(recording.advisor, heard)[1] > 0.95
    assert recording.adds_up()
    assert recording.gaps() == []
    assert answered.messages().count("a=sendonly") >= 1


def test_recording_ceases_when_the_advisor_sends_the_call_to_a_department(
    service, advisor, answered, department
):
    other = department()
    ear = other.talker
    before = talk(answered)
    advisor.command("transfer", f"sip:500@{service.sip[0]}:{service.sip[1]}")
    other.logged("acked")
    advisor.wait("CALL_CLOSED")
    service.log.wait("transfer.completed")
    after = talk(answered, seed=33)
    ear.wait_heard(50)
    assert find(ear.audio(), after)[1] > 0.95
    answered.hang_up()
    other.wait()
    recording = Recording(service, service.call_id())
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, after)[1] < 0.3
    gap = recording.gaps("transfer")[-1]
    assert (gap["trigger"], gap["actor"]) == ("refer", "phone:201")
    assert gap["to_us"] == recording.manifest["talk_us"]
    assert recording.silent_in(gap)
    assert recording.adds_up()


def test_an_advisor_who_hung_up_is_rung_again_when_the_department_is_busy(
    service, advisor, answered, department
):
    other = department("uas_refusing", status=486)
    talk(answered, seed=33)
    advisor.command("transfer", f"sip:500@{service.sip[0]}:{service.sip[1]}")
    service.log.wait("transfer.accepted")
    advisor.command("hangup")
    advisor.wait("CALL_CLOSED")
    other.go_on()
    other.wait()
    service.log.wait("transfer.failed", status=486, advisor_gone=True)
    advisor.wait("CALL_INCOMING", 2)
    advisor.command("accept")
    advisor.wait("CALL_ESTABLISHED", 2)
    after = talk(answered, seed=34)
    answered.hang_up()
    recording = Recording(service, service.call_id())
    assert find(recording.caller, after)[1] > 0.95
    assert recording.gaps("transfer")
    assert all(recording.silent_in(gap) for gap in recording.gaps())
    assert recording.adds_up()


def test_an_advisor_whose_phone_hangs_up_when_the_transfer_fails_is_rung_again(
    service, advisor, answered, department
):
    """baresip 1.1 sends BYE by itself some 10 ms after a NOTIFY that reports a failure."""
    other = department("uas_refused", status=486)
    before = talk(answered, seed=35)
    with service.sign_in() as page:
        call_id = service.call_id()
        page.put(f"/api/v1/calls/{call_id}/payment", json={})
        advisor.command("transfer", f"sip:500@{service.sip[0]}:{service.sip[1]}")
        other.wait()
        service.log.wait("transfer.failed", status=486, advisor_gone=True)
        advisor.wait("TRANSFER_FAILED")
        advisor.wait("CALL_INCOMING", 2)
        advisor.command("accept")
        advisor.wait("CALL_ESTABLISHED", 2)
        (pop,) = page.get("/api/v1/calls").json()
        assert pop["recording"] == "paused"
        secret = talk(answered, seed=36)
        page.request("DELETE", f"/api/v1/calls/{call_id}/payment")
        after = talk(answered, seed=37)
    answered.hang_up()
    recording = Recording(service, call_id)
    assert find(recording.caller, before)[1] > 0.95
    assert find(recording.caller, secret)[1] < 0.3
    assert find(recording.caller, after)[1] > 0.95
    assert recording.gaps("payment")
    assert all(recording.silent_in(gap) for gap in recording.gaps())
    assert recording.adds_up()
