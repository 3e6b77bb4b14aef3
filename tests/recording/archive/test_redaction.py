"""In a copy of a recording, exactly the samples are silent that should be."""

from __future__ import annotations

import hashlib
import io
import subprocess

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.archive.redaction import BOTH, CHANNELS, AudioCopy, Silence
from recording.errors import RedactionError

RATE = 8000
FRAMES = 70_000
"""More than one block of the copy, which has 65,536 frames."""
US = 1_000_000
LENGTH_US = FRAMES * US // RATE


def flac(samples, rate=RATE):
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", rate, samples.shape[1], "PCM_16", format="FLAC") as file:
        file.title = "20261125-093000-abcdefgh"
        file.write(samples)
    return target.getvalue()


@pytest.fixture(scope="module")
def speech():
    """Samples of which none is 0."""
    return np.random.default_rng(3).integers(1, 9000, (FRAMES, 2), dtype=np.int16)


@pytest.fixture(scope="module")
def recording(speech):
    return flac(speech)


def samples_of(content):
    return soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)[0]


@st.composite
def silences(draw):
    begin = draw(st.integers(0, LENGTH_US - 1))
    end = draw(st.integers(begin + 1, LENGTH_US + 5 * US))
    return Silence(begin, end, draw(st.sampled_from((*CHANNELS, BOTH))))


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(silences(), min_size=1, max_size=4))
def test_exactly_the_samples_of_the_silenced_stretches_are_zero(speech, recording, found):
    silent = np.zeros((FRAMES, 2), dtype=bool)
    for each in found:
        for channel, party in enumerate(CHANNELS):
            if each.party in {party, BOTH}:
                for frame in (each.from_us * RATE // US, (each.to_us * RATE - 1) // US):
                    silent[min(frame, FRAMES - 1), channel] = True
                silent[each.from_us * RATE // US : -(-each.to_us * RATE // US), channel] = True
    copy = AudioCopy.of(io.BytesIO(recording), found)
    assert np.array_equal(samples_of(copy.flac), np.where(silent, 0, speech))


def test_the_facts_are_those_of_both_files(speech, recording):
    copy = AudioCopy.of(io.BytesIO(recording), [Silence(0, US, "caller")])
    for content, facts in ((recording, copy.original), (copy.flac, copy.facts)):
        samples = samples_of(content).astype("<i2").tobytes()
        assert facts.sha256 == hashlib.sha256(content).hexdigest()
        assert facts.size == len(content)
        assert facts.samples_sha256 == hashlib.sha256(samples).hexdigest()
    assert copy.original != copy.facts
    assert copy.rate == RATE


def test_a_silence_to_the_end_of_the_call_ends_with_the_last_sample_of_longer_audio(recording):
    silence = Silence(0, LENGTH_US // 2, "advisor")
    copy = AudioCopy.of(io.BytesIO(recording), [silence], talk_us=LENGTH_US // 2)
    assert not samples_of(copy.flac)[:, 1].any()
    assert samples_of(copy.flac)[:, 0].all()


def test_a_copy_without_silence_is_the_recording_itself(recording):
    copy = AudioCopy.of(io.BytesIO(recording))
    assert copy.flac == recording
    assert copy.facts == copy.original


@pytest.mark.peer
def test_stock_flac_accepts_a_copy_and_shows_the_title(recording, tmp_path):
    path = tmp_path / "copy.flac"
    path.write_bytes(AudioCopy.of(io.BytesIO(recording), [Silence(0, US, BOTH)]).flac)
    subprocess.run(["flac", "-t", "-s", path], check=True, timeout=60)
    shown = subprocess.run(
        ["metaflac", "--show-tag=TITLE", path], check=True, capture_output=True, timeout=60
    )
    assert shown.stdout.decode().lower() == "title=20261125-093000-abcdefgh\n"


@pytest.mark.parametrize(
    ("content", "silence", "error"),
    [
        (b"no audio", Silence(0, 1, BOTH), "cannot be read"),
        (flac(np.ones((800, 1), dtype=np.int16)), Silence(0, 1, BOTH), "1 channels, not 2"),
        (flac(np.ones((800, 2), dtype=np.int16)), Silence(100_000, 100_001, BOTH), "after the end"),
    ],
)
def test_audio_that_cannot_be_silenced_as_asked_is_refused(content, silence, error):
    with pytest.raises(RedactionError, match=error):
        AudioCopy.of(io.BytesIO(content), [silence])
