"""DTMF tones from sox are found within the limits of ITU-T Q.24, through codecs and with loss."""

import difflib
import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.tones import (
    KEYS,
    encoded,
    heard,
    keyed,
    noise_below,
    presses,
    rate_of,
    raw,
    received,
    silence,
    sox,
)
from recording.audio.dtmf import DtmfDetector, KeyPress, feed_both

ROOT = Path(__file__).resolve().parents[3]
ALL = "123A456B789C*0#D11223344" * 2
DIGITS = "".join(np.random.default_rng(4).choice(list("0123456789"), 200))


def wrong(sent, found):
    """Return how many keys were missed, added or mistaken."""
    steps = difflib.SequenceMatcher(None, sent, found, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in steps if tag != "equal")


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("twist_db", [-8, 0, 4])
@pytest.mark.parametrize("deviation", [-0.015, 0, 0.015])
@pytest.mark.parametrize("ms", [40, 100])
def test_every_key_within_the_limits_of_q24_is_found_once(ms, deviation, twist_db, rate):
    how = {"rate": rate, "deviation": deviation, "twist_db": twist_db}
    assert heard(keyed(ALL, ms, ms, **how), rate) == ALL


@pytest.mark.parametrize("rate", [8000, 16_000])
@pytest.mark.parametrize("deviation", [-0.035, 0.035])
def test_a_tone_whose_frequencies_are_three_and_a_half_percent_off_is_not_a_key(deviation, rate):
    assert not heard(keyed("123456789*0#ABCD", 100, 100, rate=rate, deviation=deviation), rate)


@pytest.mark.parametrize("level_db", [-6, -30, -45, -60])
def test_a_key_is_found_at_any_usual_level(level_db):
    assert heard(keyed(ALL, 60, 60, level_db=level_db)) == ALL


def test_a_key_is_found_in_noise_that_is_15_db_weaker():
    assert heard(noise_below(keyed(ALL, 60, 60), 15)) == ALL


def test_keys_in_noise_that_is_almost_as_loud_are_found_and_mostly_unsure():
    found = presses(noise_below(keyed(ALL, 90, 60), 2))
    assert "".join(KEYS[press.key] for press in found) == ALL
    assert sum(press.unsure for press in found) > len(ALL) / 2


def test_a_tone_of_20_ms_in_noise_that_is_almost_as_loud_is_not_a_key():
    assert not presses(noise_below(keyed("5" * 20, 20, 200), 1))


def test_the_start_and_end_of_a_key_press_are_those_of_its_tone():
    (press,) = presses(np.concatenate([silence(1), keyed("7", 100, 0), silence(1)]))
    assert press.key == 7
    assert abs(press.start - 8000) <= 80
    assert abs(press.end - 8800) <= 80


def test_a_very_long_tone_is_reported_in_parts_of_one_key_press():
    found = presses(keyed("9", 12_000, 100))
    assert [(press.key, press.continued) for press in found] == [(9, False), (9, True), (9, True)]
    assert all(left.end >= right.start for left, right in itertools.pairwise(found))


def test_a_hole_of_one_lost_packet_in_a_tone_does_not_make_two_keys():
    sound = keyed("5", 100, 100).copy()
    for start in range(240, 400, 7):
        holed = sound.copy()
        holed[start : start + 160] = 0
        (press,) = presses(holed)
        assert (press.key, press.times) == (5, 1)


@pytest.mark.parametrize("ms", [30, 35])
def test_presses_of_one_key_with_very_short_pauses_are_all_counted(ms):
    found = presses(np.concatenate([silence(0.1), keyed("7" * 12, 30, ms), silence(0.1)]))
    assert {press.key for press in found} == {7}
    assert sum(press.times for press in found) == 12


@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
@pytest.mark.parametrize("ms", [50, 100])
def test_keys_are_found_through_each_codec(codec, ms):
    sound = keyed(DIGITS, ms, ms, rate=rate_of(codec), twist_db=-4, deviation=0.01)
    assert heard(*received(codec, sound)) == DIGITS


@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
def test_one_percent_of_lost_packets_hides_at_most_two_keys_of_200(codec):
    sound = keyed(DIGITS, 100, 100, rate=rate_of(codec))
    found = heard(*received(codec, sound, lost=0.01))
    assert wrong(DIGITS, found) <= 2


def test_the_simulated_packet_loss_really_removes_sound():
    sound = keyed("5" * 20, rate=8000)
    whole, _ = received("PCMA", sound)
    holed, _ = received("PCMA", sound, lost=0.2)
    assert len(encoded("PCMA", sound)) == 200
    assert np.count_nonzero(holed) < 0.9 * np.count_nonzero(whole)


# Quarters of an hour of speech take two seconds of CPU time each.
@pytest.mark.parametrize(
    ("voice", "rate"),
    [
        ("en-gb", 8000),
        pytest.param("cy", 8000, marks=pytest.mark.long),
        pytest.param("en-us+f5", 16_000, marks=pytest.mark.long),
        pytest.param("cy+m7", 16_000, marks=pytest.mark.long),
        pytest.param("en-us+f5", 8000, marks=pytest.mark.long),
        pytest.param("cy+m7", 8000, marks=pytest.mark.long),
        pytest.param("en-gb", 16_000, marks=pytest.mark.long),
        pytest.param("cy", 16_000, marks=pytest.mark.long),
    ],
)
def test_speech_is_not_a_key(voice, rate):
    text = (ROOT / "README.md").read_text() + (ROOT / "ARCHITECTURE.md").read_text()
    command = ["espeak-ng", "-v", voice, "--stdin", "--stdout"]
    wav = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
    data = sox("-D", "-t", "wav", "-", *raw(rate), "-", stdin=wav)
    sound = np.frombuffer(data, np.int16)
    assert len(sound) > 120 * rate
    assert np.abs(sound).max() > 10_000
    assert not heard(sound, rate)


@pytest.mark.parametrize(
    "synth",
    [
        ["sine", "400", "sine", "450"],  # ringing (UK)
        ["sine", "350", "sine", "440"],  # dial tone (UK)
        ["sine", "440", "sine", "480"],  # ringing (US)
        ["sine", "1400", "sine", "2060"],  # data and information tones
        ["sine", "697", "sine", "770"],  # two tones of the same group
        ["sine", "1209", "sine", "1209"],
        ["pluck", "A3", "pluck", "E4"],
        ["sawtooth", "220", "square", "277"],
        ["sine", "300-3300", "sine", "1000"],  # a sweep
        ["whitenoise", "pinknoise"],
        ["brownnoise", "pluck", "C5"],
    ],
    ids="-".join,
)
def test_other_tones_music_and_noise_are_not_keys(synth):
    data = sox(
        *("-D", "-r", "44100", "-c", "2", "-n", *raw(8000), "-"),
        *("synth", "60", *synth, "remix", "1v0.3,2v0.3"),
    )
    sound = np.frombuffer(data, np.int16)
    assert np.abs(sound).max() > 1000
    assert not heard(sound)


@given(
    keys=st.text("0123456789*#", min_size=1, max_size=12),
    blocks=st.lists(st.integers(1, 3000), min_size=1, max_size=20),
    rate=st.sampled_from([8000, 16_000]),
)
@settings(max_examples=examples(100), deadline=None)
def test_the_detected_keys_do_not_depend_on_the_block_sizes(keys, blocks, rate):
    sound = np.concatenate([silence(0.1, rate), keyed(keys, 60, 60, rate=rate), silence(1, rate)])
    detector, found, at = DtmfDetector(rate), [], 0
    while at < len(sound):
        step = blocks[at % len(blocks)]
        found += detector.feed(sound[at : at + step])
        at += step
    found += detector.finish()
    assert found == presses(sound, rate, len(sound))
    assert "".join(KEYS[press.key] for press in found) == keys


@given(data=st.binary(max_size=20_000), rate=st.sampled_from([8000, 16_000]))
@settings(max_examples=examples(100), deadline=None)
def test_arbitrary_samples_raise_no_error_and_no_key_starts_before_the_settled_time(data, rate):
    sound = np.frombuffer(data[: len(data) // 2 * 2], np.int16)
    detector, settled = DtmfDetector(rate), 0
    for at in range(0, len(sound), 777):
        found = detector.feed(sound[at : at + 777])
        assert all(press.start >= settled for press in found)
        assert settled <= detector.settled
        settled = detector.settled
    detector.finish()
    assert settled <= max(len(sound), rate // 50)


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_two_parties_detected_together_give_the_same_presses_as_each_separately(rate):
    left, right = (keyed(keys, 60, 60, rate=rate) for keys in ("12345678", "*0#98765"))
    sound = np.stack([left, right], axis=1)
    both = DtmfDetector(rate), DtmfDetector(rate)
    found: tuple[list, list] = ([], [])
    for at in range(0, len(sound), 1234):
        for each, new in zip(found, feed_both(both, sound[at : at + 1234]), strict=True):
            each.extend(new)
    for side, (detector, presses_of) in enumerate(zip(both, found, strict=True)):
        assert presses_of + detector.finish() == presses(sound[:, side], rate)


def test_the_repr_of_a_key_press_does_not_name_its_key():
    assert "7" not in repr(KeyPress(100, 200, 7))


def test_a_rate_that_is_not_8_or_16_khz_is_refused():
    with pytest.raises(ValueError, match="8000 or 16000"):
        DtmfDetector(44_100)
