"""aiosipua 0.7 and aiortp, in their own process, as an advisor's phone."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.programs import Caller
from helpers.peers.pyvoip import SAW, AioSipUa
from helpers.peers.sound import find

pytestmark = [pytest.mark.peer, pytest.mark.long]


def test_aiosipua_registers_answers_and_is_recorded(service, talker, ended):
    phone = ended(AioSipUa(service.folder, service))
    phone.wait("registered")
    mouth = talker("127.0.0.2")
    caller = ended(Caller(service, "01970000100", media=mouth.port))
    phone.wait("answered")
    said = speech(1.5, 121)
    mouth.say(said, caller.media_target)
    mouth.wait_heard(100)
    caller.hang_up()
    phone.wait("ended")
    recording = Recording(service, service.call_id())
    assert find(recording.caller, said)[1] > 0.95
    assert find(recording.advisor, SAW)[1] > 0.9
    assert recording.adds_up()
