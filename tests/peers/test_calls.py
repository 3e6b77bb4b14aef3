"""Calls through the switch, between SIPp and SIPp, with real RTP."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.peer

PBX = "01970000200"


def test_a_call_is_answered_and_both_parties_hear_each_other(harness, switch, talker, ended):
    programs, sound = harness.programs, harness.sound
    mouths = talker("127.0.0.2"), talker("127.0.0.3")
    callee = ended(
        programs.Callee(
            switch.folder, "uas", "127.0.0.3", port=switch.pbx_port, media=mouths[1].port
        )
    )
    caller = ended(programs.Caller(switch, PBX, media=mouths[0].port))
    said = sound.speech(1.5, 1), sound.speech(1.5, 2)
    chorus = sound.Chorus()
    chorus.say("caller", mouths[0], said[0], caller.media_target)
    chorus.say("callee", mouths[1], said[1], callee.media_target).wait()
    mouths[0].wait_heard(75)
    mouths[1].wait_heard(75)
    caller.hang_up()
    callee.wait()
    assert sound.find(mouths[1].audio(), said[0])[1] > 0.99
    assert sound.find(mouths[0].audio(), said[1])[1] > 0.99
    switch.log.wait("call.ended")
    assert switch.media_ports_in_use() == 0
