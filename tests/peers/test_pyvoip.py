"""pyVoIP 1.6.8 and its successor rfcvoip, in their own processes, as an advisor's phone."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller
from helpers.peers.pyvoip import SAW, PyVoip, RfcVoip
from helpers.peers.sound import find

pytestmark = pytest.mark.peer


@pytest.fixture(params=[PyVoip, pytest.param(RfcVoip, marks=pytest.mark.long)])
def phone(request, service, ended):
    """The library, registered as 201."""
    phone = ended(request.param(service.folder, service))
    phone.wait("registered")
    return phone


def test_pyvoip_registers_answers_and_hears_the_caller(service, phone, talker, ended):
    mouth = talker("127.0.0.2")
    caller = ended(Caller(service, "01970000100", media=mouth.port))
    phone.wait("answered")
    said = speech(1.5, 101)
    mouth.say(said, caller.media_target)
    phone.wait("audio")
    mouth.wait_heard(25)
    caller.hang_up()
    phone.wait("ended")
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    assert find(recording.advisor, SAW)[1] > 0.9
    assert recording.adds_up()


def test_pyvoip_places_a_call_and_receives_the_bye(service, phone, talker, ended):
    """pyVoIP invents the To tag of its ACK; if we reject that, our BYE waits 32 s for an ACK."""
    advisor = talker("127.0.0.3")
    callee = ended(
        Callee(
            service.folder,
            "uas",
            "127.0.0.3",
            port=service.pbx_port,
            media=advisor.port,
            delay=300,  # it ignores an answer that comes before its INVITE is sent
        )
    )
    phone.tell("call 01970000200")
    assert phone.wait("placed") == "ANSWERED"
    advisor.wait_heard(25)
    callee.hang_up()
    service.log.wait("call.ended", cause="advisor-hung-up")
    phone.wait("ended")
