"""Captures of a bad network, replayed by SIPp in each codec, and frames without a decoder."""

from __future__ import annotations

import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.loopback import free_port
from helpers.peers import pcaps
from helpers.peers.evidence import Recording, run
from helpers.peers.pcaps import at_rate, bad_network, payloads
from helpers.peers.sound import find

pytestmark = pytest.mark.peer

CODECS = ("Opus", "PCMA", "G722", "L16", "L16 at 44.1 kHz", "G729")
STEP_MS = 20
FIRST = 4000
"""What is looked for begins half a second on: the very first words may precede the answer."""


def begun(heard, voice):
    """Return when (monotonic) the sound of these packets began, by the least delayed one."""
    first = heard[0][2]
    length = voice.ms / 1000
    return min(at - ((number - first & 0xFFFF) + 1) * length for at, _, number, _ in heard[:200])


@pytest.mark.parametrize("name", long_after(1, CODECS))
def test_loss_reordering_and_duplicates_leave_both_channels_synchronised(stage, name):
    voice = pcaps.VOICES[name]
    service = stage.open_all()
    stage.listen()
    advisor = stage.talker("127.0.0.3")
    keys = {"pt": voice.pt, "codec": voice.codec}
    answering = stage.callee("uas_codec", media=advisor.port, **keys)
    asked, heard_as = payloads(voice, speech(6, 61))
    capture = service.folder / "network.pcap"
    passage = bad_network(capture, voice, asked, 61)
    port = free_port("127.0.0.2")
    caller = stage.caller(
        scenario="uac_pcap", pcap=capture, options=("-mi", "127.0.0.2", "-mp", str(port)), **keys
    )
    answer, answer_as = payloads(voice, speech(4, 62))
    target = answering.media_target
    left = advisor.say_payloads(answer, target, voice.pt, voice.ticks, voice.ms / 1000)
    advisor.wait_heard(passage.sent - passage.lost + passage.doubled)
    caller.hang_up()
    recording = Recording(service, service.call_id(), rate=voice.recorded)
    words, answered = (at_rate(said[FIRST:], voice.recorded) for said in (heard_as, answer_as))
    place, alike = find(recording.caller, words)
    other, other_alike = find(recording.advisor, answered)
    assert alike > 0.85
    assert other_alike > 0.9
    spoken_ms = (begun(advisor.heard, voice) - (left - voice.ms / 1000)) * 1000
    assert abs((place - other) * 1000 / voice.recorded - spoken_ms) <= STEP_MS
    track = recording.manifest["tracks"][0]
    assert (track["lost"], track["duplicate"], track["late"]) == (passage.lost, passage.doubled, 0)
    assert track["undecoded"] == 0
    assert recording.adds_up()


def test_undecodable_frames_are_stored_raw_and_stock_tools_read_them(stage, tmp_path):
    voice = pcaps.VOICES["G729"]
    service = stage.open_all()
    mouth, ear = stage.talker("127.0.0.2"), stage.talker("127.0.0.3")
    keys = {"pt": voice.pt, "codec": voice.codec}
    stage.callee("uas_codec", media=ear.port, **keys)
    caller = stage.caller(scenario="uac_codec", media=mouth.port, **keys)
    spoken, _ = payloads(voice, speech(2, 64))
    spoilt = {place: b"odd" + bytes([place]) for place in (20, 40, 41, 70, 99)}
    spoken = [spoilt.get(place, payload) for place, payload in enumerate(spoken)]
    mouth.say_payloads(spoken, caller.media_target, voice.pt, voice.ticks)
    ear.wait_heard(len(spoken))
    caller.hang_up()
    recording = stage.recording()
    assert [track["undecoded"] for track in recording.manifest["tracks"]] == [5, 0]
    assert recording.manifest["raw"]["packets"] == 5
    assert service.log.wait("alarm", kind="recording.undecoded", call_id=recording.call_id)
    with service.sign_in("ceri") as client:
        assert client.get("/api/v1/recordings").json()["rows"][0]["raw_size"] > 0
        why = {"purpose": "quality-training", "reference": "T-1", "raw": True}
        sealed = client.post(f"/api/v1/recordings/{recording.call_id}/fetch", json=why).content
    file = tmp_path / "raw.pcapng"
    identity = str(service.keys.identity)
    file.write_bytes(run("age", "age", "-d", "-i", identity, data=sealed))
    fields = ("frame.interface_name", "frame.comment", "rtp.payload")
    command = ["-r", str(file), "-d", "udp.port==5004,rtp", "-T", "fields"]
    command += [word for field in fields for word in ("-e", field)]
    rows = [
        line.split("\t")
        for line in run("tshark", "tshark", *command, data=b"").decode().splitlines()
    ]
    assert [row[0] for row in rows] == ["caller"] * 5
    assert rows[0][1] == "a=rtpmap:18 G729/8000"
    assert [row[2] for row in rows] == [payload.hex() for payload in spoilt.values()]
