"""Net::SIP 0.838, a library for Perl, as an advisor's phone and as a caller's."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Callee, Caller
from helpers.peers.pyvoip import NetSip
from helpers.peers.sound import find, from_ulaw, ulaw

pytestmark = [pytest.mark.peer, pytest.mark.long]
VOICE = speech(1.5, 112)


@pytest.fixture
def phone(service, ended):
    """Starts Net::SIP, registered as 201; it says `VOICE` again and again."""
    said = service.folder / "said.pcmu"
    said.write_bytes(ulaw(VOICE))

    def phone(*number):
        phone = ended(NetSip(service.folder, service, said, service.folder / "heard", *number))
        phone.wait("registered")
        return phone

    return phone


def test_net_sip_registers_answers_and_is_recorded(service, phone, talker, ended):
    advisor, mouth = phone(), talker("127.0.0.2")
    caller = ended(Caller(service, "01970000100", media=mouth.port))
    advisor.wait("answered")
    said = speech(1.5, 111)
    mouth.say(said, caller.media_target)
    mouth.wait_heard(150)
    caller.hang_up()
    advisor.wait("ended")
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    assert find(recording.advisor, from_ulaw(ulaw(VOICE)))[1] > 0.95
    assert find(from_ulaw((service.folder / "heard").read_bytes()), said)[1] > 0.95
    assert recording.adds_up()


def test_net_sip_places_a_call_and_receives_the_bye(service, phone, talker, ended):
    ear = talker("127.0.0.3")
    callee = ended(
        Callee(service.folder, "uas", "127.0.0.3", port=service.pbx_port, media=ear.port)
    )
    caller = phone("01970000200")
    assert caller.wait("placed") == "ANSWERED"
    ear.wait_heard(25)
    callee.hang_up()
    service.log.wait("call.ended", cause="advisor-hung-up")
    caller.wait("ended")
