"""Resampling: the sound stays the same at another rate, in pieces of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.audio.stream_decoder import Resampler

RATES = [(8000, 16_000), (48_000, 16_000), (44_100, 16_000), (32_000, 16_000), (11_025, 16_000)]


def sine(rate, hertz, seconds=1.0):
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(
        np.float32
    )


@pytest.mark.parametrize(("rate", "to"), RATES)
@pytest.mark.parametrize("hertz", [50, 440, 3000])
def test_a_resampled_tone_keeps_its_frequency_and_level(rate, to, hertz):
    made = Resampler(rate, to)(sine(rate, hertz))[to // 10 : -to // 10]
    wave = np.exp(-2j * np.pi * hertz * np.arange(len(made)) / to)
    found = made @ wave * 2 / len(made)
    rest = made - (found * wave.conj()).real
    assert abs(found) == pytest.approx(10_000, rel=0.02)
    assert np.abs(rest).max() < 100


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_a_click_is_delayed_by_at_most_two_milliseconds(rate, to):
    click = np.zeros(rate, np.float32)
    click[rate // 2] = 10_000
    late = int(np.argmax(np.abs(Resampler(rate, to)(click)))) - to // 2
    assert 0 < late <= to // 500


@pytest.mark.parametrize("hertz", [9000, 11_000, 15_000, 20_000])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_frequencies_above_half_the_lower_rate_are_removed(rate, hertz):
    made = Resampler(rate, 16_000)(sine(rate, hertz))[1600:-1600]
    assert np.abs(made).max() < 100


def test_resampling_to_a_higher_rate_adds_no_image_above_the_original_band():
    made = Resampler(8000, 16_000)(sine(8000, 3000))[1600:-1600]
    spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made))))
    hertz = np.fft.rfftfreq(len(made), 1 / 16_000)
    assert spectrum[hertz > 4300].max() < spectrum.max() / 500


@given(
    rates=st.sampled_from([*RATES, (22_050, 16_000), (8000, 8000), (16_000, 8000)]),
    sizes=st.lists(st.integers(0, 900), min_size=1, max_size=12),
)
@settings(max_examples=examples(60), deadline=None)
def test_pieces_resample_to_the_same_samples_and_length_as_the_whole(rates, sizes):
    rate, to = rates
    sound = np.random.default_rng(1).standard_normal(sum(sizes)).astype(np.float32) * 1000
    ends = np.cumsum(sizes)[:-1]
    pieces = Resampler(rate, to)
    made = np.concatenate([pieces(part) for part in np.split(sound, ends)])
    whole = Resampler(rate, to)(sound)
    assert np.allclose(made, whole, atol=0.01)
    assert len(made) == -(-sum(sizes) * to // rate)


@pytest.mark.parametrize(("rate", "to"), RATES)
def test_a_flush_returns_the_samples_that_silence_would_produce_once(rate, to):
    sound = np.random.default_rng(2).standard_normal(rate // 50).astype(np.float32) * 1000
    whole = Resampler(rate, to)(np.concatenate([sound, np.zeros(rate // 50, np.float32)]))
    resampler = Resampler(rate, to)
    made = np.concatenate([resampler(sound), resampler.flush()])
    assert np.allclose(made, whole[: len(made)], atol=0.01)
    assert len(made) > len(sound) * to / rate + 6
    assert not resampler.flush().any()


def test_a_reset_discards_the_sound_before_it():
    resampler = Resampler(8000, 16_000)
    resampler(sine(8000, 440))
    resampler.reset()
    assert not resampler(np.zeros(160, np.float32)).any()
