"""rtpengine between the parties, where the carrier's Kamailio has put it."""

from __future__ import annotations

import numpy as np
import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.sound import FRAME, Chorus

pytestmark = pytest.mark.peer

PLAIN = "replace-origin ICE=remove rtcp-mux-demux RTP/AVP"
ICE = "replace-origin ICE=force rtcp-mux-offer RTP/AVP"
SECURE = "replace-origin ICE=remove rtcp-mux-demux RTP/SAVP DTLS=off"
SILENCE = np.zeros(25 * FRAME, np.int16)
"""After a stall, rtpengine forwards some packets only when the next packet arrives."""


def carrier(stage, flags):
    """Start Kamailio with rtpengine, which uses these flags towards the switch."""
    engine = stage.rtpengine()
    proxy = stage.kamailio(
        "CARRIER",
        "127.0.0.2",
        more="#!define RTPENGINE",
        rtpengine=engine.address,
        to_switch=flags,
        to_caller=PLAIN,
    )
    return engine, proxy


@pytest.mark.parametrize(
    ("flags", "rule"),
    long_after(1, [(SECURE, "required"), (ICE, "off"), (PLAIN, "off")]),
    ids=["srtp", "ice and rtcp-mux", "plain"],
)
def test_both_parties_hear_each_other_through_rtpengine_and_are_recorded(stage, flags, rule):
    stage.open_all(trunk_srtp=rule)
    engine, proxy = carrier(stage, flags)
    mouths = stage.talker("127.0.0.2"), stage.talker("127.0.0.3")
    callee = stage.callee(media=mouths[1].port)
    caller = stage.caller(media=mouths[0].port, through=proxy.sip)
    target = caller.media_target[1]
    assert target in engine.ports
    said = speech(1.5, 71), speech(1.5, 72)
    chorus = Chorus()
    passages = [np.concatenate([words, SILENCE]) for words in said]
    chorus.say("caller", mouths[0], passages[0], ("127.0.0.2", target))
    chorus.say("callee", mouths[1], passages[1], callee.media_target).wait()
    mouths[0].wait_heard(len(said[1]) // FRAME)
    mouths[1].wait_heard(len(said[0]) // FRAME)
    caller.hang_up()
    callee.wait()
    assert stage.alike(mouths[1].audio(), said[0]) > 0.95
    assert stage.alike(mouths[0].audio(), said[1]) > 0.95
    recording = stage.recording()
    assert stage.alike(recording.caller, said[0]) > 0.95
    assert stage.alike(recording.advisor, said[1]) > 0.95
    assert recording.adds_up()


@pytest.mark.parametrize(("flags", "rule"), long_after(1, [(ICE, "off"), (SECURE, "required")]))
def test_the_callee_holds_and_resumes_a_call_through_rtpengine(stage, flags, rule):
    service = stage.open(trunk_srtp=rule)
    _, proxy = carrier(stage, flags)
    callee = stage.callee("uas_holding")
    caller = stage.caller(scenario="uac_held", through=proxy.sip)
    caller.wait()
    callee.wait()
    assert caller.logged(r"(?s)offered a=(sendonly.*offered a=sendrecv)")
    service.wait_media_ports(0)
