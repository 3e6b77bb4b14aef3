"""SIPp replays captures of a bad network in each codec; the recording has both parties in step."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.peer

VOICES = ["PCMA", "G722", "Opus", "L16", "L16 at 44.1 kHz", "G729"]
STEP_MS = 20
FIRST = 4000
"""What is looked for begins half a second on: the very first words may precede the answer."""


def begun(heard, voice):
    """When (monotonic) the sound began whose packets arrived like this, by the least delayed."""
    first = heard[0][2]
    length = voice.ms / 1000
    return min(at - ((number - first & 0xFFFF) + 1) * length for at, _, number, _ in heard[:200])


@pytest.mark.parametrize("name", VOICES)
def test_loss_reordering_and_duplicates_leave_both_parties_in_step(stage, name):
    pcaps, sound = stage.harness.pcaps, stage.harness.sound
    voice = pcaps.VOICES[name]
    service = stage.open_all()
    stage.listen()
    advisor = stage.talker("127.0.0.3")
    keys = {"pt": voice.pt, "codec": voice.codec}
    answering = stage.callee("uas_codec", media=advisor.port, **keys)
    asked, heard_as = pcaps.payloads(voice, sound.speech(6, 61))
    capture = service.folder / "network.pcap"
    passage = pcaps.bad_network(capture, voice, asked, 61)
    port = stage.harness.programs.free_port("127.0.0.2")
    caller = stage.caller(
        scenario="uac_pcap", pcap=capture, options=("-mi", "127.0.0.2", "-mp", str(port)), **keys
    )
    answer, answer_as = pcaps.payloads(voice, sound.speech(4, 62))
    target = answering.media_target
    left = advisor.say_payloads(answer, target, voice.pt, voice.ticks, voice.ms / 1000)
    advisor.wait_heard(passage.sent - passage.lost + passage.doubled)
    caller.hang_up()
    recording = stage.harness.evidence.Recording(service, service.call_id(), rate=voice.recorded)
    words, answered = (
        pcaps.at_rate(said[FIRST:], voice.recorded) for said in (heard_as, answer_as)
    )
    place, alike = sound.find(recording.caller, words)
    other, other_alike = sound.find(recording.advisor, answered)
    assert alike > 0.85
    assert other_alike > 0.9
    spoken_ms = (begun(advisor.heard, voice) - (left - voice.ms / 1000)) * 1000
    assert abs((place - other) * 1000 / voice.recorded - spoken_ms) <= STEP_MS
    track = recording.manifest["tracks"][0]
    assert (track["lost"], track["duplicate"], track["late"]) == (passage.lost, passage.doubled, 0)
    assert track["undecoded"] == 0
    assert recording.adds_up()
