"""baresip's media and keys: early media, a change of codec, wideband and dialled codes."""

from __future__ import annotations

import re

import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.evidence import Recording
from helpers.peers.pcaps import VOICES, at_rate, payloads
from helpers.peers.waiting import wait_until

pytestmark = pytest.mark.peer

LINE = "01970000100"


def answer(phone):
    """Answer the call that rings."""
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")


def test_early_media_of_baresip_reaches_the_caller_in_a_183_before_the_answer(stage):
    service = stage.open("switch", "desk", users=True)
    stage.listen()
    phone = stage.baresip(service, "201", extra=";answermode=early")
    caller = stage.caller(LINE)
    phone.wait("CALL_INCOMING")
    wait_until(
        lambda: re.search(r"(?s)SIP/2.0 183 .*?m=audio \d+ RTP/AVP 0", caller.messages()),
        what="early media",
    )
    assert service.log.events("call.answered") == []
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    caller.hang_up()


def test_a_change_of_codec_reaches_the_phone_and_the_recording(stage):
    service = stage.open_all()
    stage.listen()
    phone = stage.baresip(service, "201", extra=";audio_codecs=pcmu,pcma")
    mouth = stage.talker("127.0.0.2")
    caller = stage.caller(LINE, scenario="uac_recoding", media=mouth.port)
    answer(phone)
    mouth.wait_heard(50)
    caller.poke(caller.sip_call_id)
    caller.logged("agreed m=audio")
    wait_until(lambda: sum(kind == 8 for _, kind, _, _ in list(mouth.heard)) > 50, what="A-law")
    caller.hang_up()
    recording = stage.recording()
    said = speech(20, 51)
    for part in (recording.advisor[1600:5600], recording.advisor[-5600:-1600]):
        assert stage.alike(said, part) > 0.95
    assert recording.adds_up()


@pytest.mark.parametrize(
    ("name", "codec"),
    long_after(1, [("Opus", "opus"), ("G722", "g722"), ("L16", "l16/16000/1")]),
)
def test_baresip_talks_in_wideband_and_is_recorded(stage, name, codec):
    voice = VOICES[name]
    service = stage.open_all()
    stage.listen()
    phone = stage.baresip(service, "201", extra=f";audio_codecs={codec}")
    mouth = stage.talker("127.0.0.2")
    keys = {"pt": voice.pt, "codec": voice.codec}
    caller = stage.caller(LINE, scenario="uac_codec", media=mouth.port, **keys)
    answer(phone)
    asked, _ = payloads(voice, speech(3, 63))
    mouth.say_payloads(asked, caller.media_target, voice.pt, voice.ticks, voice.ms / 1000)
    mouth.wait_heard(2000 // voice.ms)
    caller.hang_up()
    recording = Recording(service, service.call_id(), rate=voice.recorded)
    words = at_rate(speech(3, 63)[4000:], voice.recorded)
    assert stage.alike(recording.caller, words) > 0.9
    answered = recording.advisor[voice.recorded // 2 : voice.recorded * 3 // 2]
    # baresip converts 8 kHz to 16 kHz, and loses the sound above 1.5 kHz
    said, heard = (
        at_rate(at_rate(part, 2000, rate), voice.recorded, 2000)
        for part, rate in ((speech(20, 51), 8000), (answered, voice.recorded))
    )
    assert stage.alike(said, heard) > 0.9
    told = {name for track in recording.manifest["tracks"] for name in track["codecs"]}
    assert told == {voice.codec}
    assert recording.adds_up()


@pytest.mark.parametrize("mode", ["info", "rtpevent"])
def test_payment_codes_dialled_on_baresip_pause_and_resume_the_recording(stage, mode):
    service = stage.open_all()
    stage.listen()
    phone = stage.baresip(service, "201", extra=f";dtmfmode={mode}")
    caller = stage.caller(LINE)
    answer(phone)
    with service.sign_in() as page:
        for code, state in (("*71", "paused"), ("*72", "recording")):
            for key in code:
                phone.command("sndcode", key)
            wait_until(
                lambda state=state: page.get("/api/v1/calls").json()[0]["recording"] == state,
                what=state,
            )
    caller.hang_up()
    assert stage.recording().gaps("payment")
