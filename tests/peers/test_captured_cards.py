"""A card number that is keyed as tones outside a pause is nowhere in the archive.

Another program, multimon-ng, says which digits are in a sound.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from galwad.simulate.sound import speech
from helpers.examples import long_after
from helpers.peers.evidence import Recording, run
from helpers.peers.programs import Baresip
from helpers.peers.sound import Chorus, find
from helpers.peers.waiting import wait_until
from helpers.recording.tones import CARDS, NOT_A_CARD, keyed, raw, silence, sox

pytestmark = pytest.mark.peer

LINE = "01970000100"


def digits_in(sound, rate=8000):
    """Return the keys that multimon-ng hears in a sound."""
    at_22050 = ["-t", "raw", "-r", "22050", "-"]
    converted = sox("-D", *raw(rate), "-", *at_22050, stdin=sound.astype(np.int16).tobytes())
    arguments = ("-q", "-t", "raw", "-a", "DTMF", "-")
    heard = run("multimon-ng", "multimon-ng", *arguments, data=converted)
    return "".join(re.findall(r"DTMF: (\S)", heard.decode()))


def test_multimon_ng_detects_the_tones_that_these_tests_make():
    sound = np.concatenate([silence(1), keyed(CARDS[0], level_db=-10), silence(1)])
    assert digits_in(sound) == CARDS[0]
    assert digits_in(speech(5, 1)) == ""


def spools(service):
    return list((service.state / "spool").glob("*.spool"))


def test_a_card_number_that_a_caller_keys_as_tones_is_exact_silence_in_the_archive(
    service, place_call
):
    number = CARDS[0]
    service.planted.append(number)
    call = place_call("uas_plain")
    before, after = speech(2, 91), speech(12, 92)
    tones = keyed(number, 90, 110, level_db=-10)
    chorus = Chorus().say("advisor", call.advisor, speech(17, 93), call.from_advisor)
    call.caller.say(np.concatenate([before, tones, after]), call.from_caller)
    chorus.wait()
    call.hang_up()
    recording = Recording(service, call.call_id)
    (gap,) = recording.gaps()
    assert (gap["reason"], gap["trigger"]) == ("captured-card", "tones")
    assert 3 < (gap["to_us"] - gap["from_us"]) / 1e6 < 4
    assert recording.silent_in(gap)
    assert recording.adds_up()
    assert digits_in(recording.caller) == digits_in(recording.advisor) == ""
    assert find(recording.caller, before[:-4000])[1] > 0.95
    assert find(recording.caller, after[4000:])[1] > 0.95
    service.log.wait("alarm", kind="recording.captured_card", call_id=call.call_id)
    wait_until(lambda: not spools(service), what="the spool with the digits to be removed")
    node = ("--node-key", str(next((service.state / "archive").glob("*.pub"))))
    verified = service.galwad("recordings", "verify", str(recording.folder), *node)
    assert f"{call.call_id}  whole" in verified
    with service.sign_in("ceri") as client:
        rows = client.get("/api/v1/captured-cards", params={"only_open": True}).json()["rows"]
    assert [(row["call_id"], row["state"]) for row in rows] == [(call.call_id, "open")]


def test_digits_that_are_not_a_card_number_stay_in_the_archive(service, place_call):
    call = place_call("uas_plain")
    tones = keyed(NOT_A_CARD, 90, 110, level_db=-10)
    call.caller.say(np.concatenate([speech(1, 94), tones, speech(12, 95)]), call.from_caller)
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert recording.gaps() == []
    assert digits_in(recording.caller) == NOT_A_CARD


@pytest.mark.parametrize(
    ("codec", "rate", "microphone"),
    long_after(1, [("opus", 16_000, 48_000), ("g722", 16_000, 16_000), ("pcmu", 8000, 8000)]),
)
def test_a_card_number_that_a_phone_sends_as_tones_is_exact_silence(
    stage, ended, codec, rate, microphone
):
    """baresip plays the tones as its microphone, in each codec and at that codec's rate."""
    service = stage.open_all()
    number = CARDS[2]
    service.planted.append(number)
    said = service.folder / "said.wav"
    keys = keyed(number, 100, 100, level_db=-10)
    sound = np.concatenate([speech(2, 96), keys, speech(20, 97)])
    as_wav = ("-t", "wav", "-r", str(microphone), str(said))
    sox("-D", *raw(8000), "-", *as_wav, stdin=sound.tobytes())
    how = {"extra": f";audio_codecs={codec}", "microphone": microphone}
    phone = ended(Baresip(service.folder, service, said, "201", **how))
    phone.wait_registered()
    mouth = stage.talker("127.0.0.2")
    named = {"pcmu": (0, "PCMU/8000"), "g722": (9, "G722/8000"), "opus": (111, "opus/48000/2")}
    pt, name = named[codec]
    more = {} if codec == "pcmu" else {"scenario": "uac_codec", "pt": pt, "codec": name}
    caller = stage.caller(LINE, media=mouth.port, **more)
    phone.wait("CALL_INCOMING")
    phone.command("accept")
    phone.wait("CALL_ESTABLISHED")
    mouth.wait_heard(50 * 18)
    caller.hang_up()
    recording = Recording(service, service.call_id(), rate=rate)
    (gap,) = recording.gaps()
    assert gap["reason"] == "captured-card"
    assert recording.silent_in(gap)
    assert recording.adds_up()
    assert digits_in(recording.advisor, rate) == ""
    assert digits_in(recording.caller, rate) == ""


def test_by_default_the_tones_of_a_dialled_pause_code_are_erased(start, place_call_on):
    """An advisor's phone sends the first two keys as sound too, before the code is complete."""
    service = start("switch", "desk", "finaliser", users=True, erase_back="")
    call = place_call_on(service, "uas_plain")
    before, tones = speech(4, 98), keyed("*7", 100, 100, level_db=-10)
    call.advisor.say(np.concatenate([before, tones]), call.from_advisor)
    call.advisor.dial("*71", call.from_advisor)
    with service.sign_in() as page:
        wait_until(
            lambda: [each["recording"] for each in page.get("/api/v1/calls").json()] == ["paused"],
            what="the pause",
        )
    call.hang_up()
    recording = Recording(service, call.call_id)
    assert [gap["reason"] for gap in recording.gaps()] == ["erased", "payment"]
    erased, _ = recording.gaps()
    # half a second, and the dialling of three digits
    assert 0.5 < (erased["to_us"] - erased["from_us"]) / 1e6 <= 1.5
    assert recording.silent_in(erased)
    assert digits_in(recording.advisor) == ""
    assert find(recording.advisor, before[:16_000])[1] > 0.95
    assert recording.adds_up()
