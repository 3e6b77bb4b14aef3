"""An INVITE without an offer: the offer comes with the 200, the answer with the ACK."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.sound import Chorus, find

pytestmark = pytest.mark.peer


def test_a_call_with_a_late_offer_connects_and_both_parties_are_recorded(service, place_call):
    call = place_call("uas_late", "uac_late")
    said = speech(2, 61), speech(2, 62)
    chorus = Chorus()
    chorus.say("caller", call.caller, said[0], call.from_caller)
    chorus.say("advisor", call.advisor, said[1], call.from_advisor).wait()
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert find(recording.caller, said[0])[1] > 0.95
    assert find(recording.advisor, said[1])[1] > 0.95
    assert recording.adds_up()
