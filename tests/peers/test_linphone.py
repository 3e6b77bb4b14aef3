"""Linphone as the advisor's phone."""

from __future__ import annotations

import re

import numpy as np
import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.evidence import Recording
from helpers.peers.pcaps import VOICES, heard_g729, payloads
from helpers.peers.sound import save
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

LINE, MAIN = "01970000100", "01970000200"


def take(phone, number=1):
    """Answer the call that rings."""
    phone.wait_call("IncomingReceived", number)
    phone.do(f"answer {number}")
    phone.wait_call("StreamsRunning", number)


def speak(phone):
    """Let it play a sound, and return that sound."""
    said = speech(10, 61)
    save(phone.folder / "said.wav", said)
    phone.do(f"incall-player-start {phone.folder}/said.wav 1")
    return said


def hear(stage, ear, said):
    """Wait until a party's last 0.6 s are part of this sound, and return them."""
    last: list = []

    def heard():
        last[:] = ear.audio()[-4800:]
        return len(last) == 4800 and stage.alike(said, np.array(last)) > 0.95

    wait_until(heard, what="the words")
    return np.array(last)


def test_linphone_registers_is_called_holds_and_is_recorded(stage):
    stage.open_all()
    stage.listen()
    phone = stage.linphone()
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller(LINE, media=mouth.port)
    take(phone)
    said, words = speak(phone), speech(1, 62)
    mouth.say(words, caller.media_target)
    heard = hear(stage, mouth, said)
    hold, resume = (lambda: phone.do("call-pause 1")), (lambda: phone.do("call-resume 1"))
    stage.wait_state("held", change=[hold])
    phone.wait_call("Paused")
    stage.wait_state("answered", change=[resume])
    phone.do("terminate 1")
    caller.wait()
    recording = stage.recording()
    assert stage.alike(recording.caller, words) > 0.95
    assert stage.alike(recording.advisor, heard) > 0.95


def test_linphone_talks_in_g729_and_is_recorded(stage):
    voice = VOICES["G729"]
    service = stage.open_all()
    stage.listen()
    phone = stage.linphone()
    phone.do("audio-codec-enable G729/8000/1")
    mouth = stage.talker("127.0.0.2")
    keys = {"pt": voice.pt, "codec": voice.codec}
    caller = stage.caller(LINE, scenario="uac_codec", media=mouth.port, **keys)
    take(phone)
    speak(phone)
    begun = len(mouth.heard)
    spoken, words = payloads(voice, speech(2, 63))
    mouth.say_payloads(spoken, caller.media_target, voice.pt, voice.ticks)
    mouth.wait_heard(begun + 100)
    phone.do("terminate 1")
    caller.wait()
    heard = heard_g729(payload for _, kind, _, payload in mouth.heard if kind == voice.pt)
    recording = Recording(service, service.call_id())
    assert stage.alike(recording.caller, words[4000:]) > 0.95
    part = heard[begun * 160 + 2400 :][:9600]
    assert stage.alike(recording.advisor, part) > 0.95
    assert {track["undecoded"] for track in recording.manifest["tracks"]} == {0}


def test_linphone_places_a_call_sends_dtmf_and_receives_the_bye(stage):
    stage.open("switch", "desk", users=True)
    stage.listen()
    ear = stage.talker("127.0.0.3")
    callee = stage.callee(media=ear.port)
    phone = stage.linphone()
    phone.do(f"call sip:{MAIN}@{phone.server}")
    phone.wait_call("StreamsRunning")
    callee.logged("acked")
    speak(phone)
    ear.wait_heard(10)
    phone.do("dtmf 7")
    wait_until(
        lambda: any(kind == 101 and data[:1] == b"\x07" for _, kind, _, data in list(ear.heard)),
        what="the key",
    )
    callee.hang_up()
    phone.wait_gone()


def test_linphone_transfers_the_call_to_a_department(stage):
    service = stage.open("switch", "desk", users=True)
    stage.listen()
    other = stage.callee(host="127.0.0.4", port=service.department_port)
    phone = stage.linphone()
    caller = stage.caller(LINE)
    take(phone)
    phone.do(f"call-transfer 1 sip:500@{phone.server}")
    other.logged("acked")
    service.log.wait("transfer.completed")
    phone.wait_gone()
    caller.hang_up()
    other.wait()


def test_linphone_transfers_the_caller_to_a_department_after_a_consultation(stage):
    service = stage.open_all()
    stage.listen()
    mouth, ear = stage.talker("127.0.0.2"), stage.talker("127.0.0.4")
    other = stage.callee(host="127.0.0.4", port=service.department_port, media=ear.port)
    phone = stage.linphone()
    caller = stage.caller(LINE, media=mouth.port)
    take(phone)
    before = speech(1, 64)
    mouth.say(before, caller.media_target)
    phone.do("call-pause 1")
    phone.wait_call("Paused")
    phone.do(f"call sip:500@{phone.server}")
    phone.wait_call("StreamsRunning", 2)
    other.logged("acked")
    phone.do("call-transfer 1 2")
    service.log.wait("transfer.completed")
    phone.wait_gone(1)
    phone.wait_gone(2)
    words = speech(1, 63)
    mouth.say(words, caller.media_target)
    alike = stage.alike
    wait_until(lambda: alike(ear.audio(), words) > 0.95, what="the words")
    caller.hang_up()
    other.wait()
    recording = stage.recording()
    assert stage.alike(recording.caller, before) > 0.95
    assert stage.alike(recording.caller, words) < 0.3


@pytest.mark.parametrize("way", long_after(2, ["tls", "tcp", "udp"]))
def test_linphone_is_called_over_each_transport(stage, authority, way):
    srtp = way != "tcp"
    certificate, key = authority.issue("switch", "127.0.0.1")
    stage.open(
        "switch",
        "desk",
        users=True,
        listen=("tcp:127.0.0.1", "tls:127.0.0.1"),
        more_sip=f'tls_certificate = "{certificate}"\ntls_key = "{key}"',
        route_srtp="required" if srtp else "off",
    )
    stage.listen()
    phone = stage.linphone(way=way, ca=authority.path, srtp=srtp, ice=not srtp)
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller(LINE, media=mouth.port)
    take(phone)
    hear(stage, mouth, speak(phone))
    caller.hang_up()
    phone.wait_gone()


def test_linphone_calls_with_ice_and_rtcp_mux_and_agrees_on_a_session_timer(stage):
    # With ICE it names the first of its addresses, even if it sends from another one.
    latching = '"127.0.0.1"\nsource = "latch"'
    stage.open("switch", "desk", users=True, media_listen=latching)
    stage.listen()
    ear = stage.talker("127.0.0.3")
    callee = stage.callee(media=ear.port)
    phone = stage.linphone(ice=True)
    phone.do(f"call sip:{MAIN}@{phone.server}")
    phone.wait_call("StreamsRunning")
    callee.logged("acked")
    hear(stage, ear, speak(phone))
    phone.do("terminate 1")
    callee.wait()
    log = (phone.folder / "log").read_text(errors="replace")
    assert re.search(r"(?s)INVITE sip:.*?a=ice-ufrag:", log)
    assert re.search(r"(?s)SIP/2.0 200 OK\r?\n[^\n]*.*?Session-Expires: \d+;refresher=", log)
