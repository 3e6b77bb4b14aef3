"""An INVITE without an offer: the offer comes with the 200, the answer with the ACK."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.peer


def test_a_late_offer_crosses_and_both_parties_are_recorded(harness, service, place_call):
    sound = harness.sound
    call = place_call("uas_late", "uac_late")
    said = sound.speech(2, 61), sound.speech(2, 62)
    chorus = sound.Chorus()
    chorus.say("caller", call.caller, said[0], call.from_caller)
    chorus.say("advisor", call.advisor, said[1], call.from_advisor).wait()
    call.hang_up()
    recording = harness.evidence.Recording(service, call.call_id)
    assert sound.find(recording.caller, said[0])[1] > 0.95
    assert sound.find(recording.advisor, said[1])[1] > 0.95
    assert recording.adds_up()
