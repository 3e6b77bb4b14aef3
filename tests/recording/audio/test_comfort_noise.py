"""Comfort noise: its level, its spectrum, and where it begins and ends."""

import random

import av
import numpy as np
import pytest

from helpers.bcg729 import Decoder, Encoder
from helpers.recording.codecs import audio_context
from helpers.recording.timeline import ALAW, US, played, rtp, sent, speech
from recording.audio.codecs import PayloadCodec
from recording.audio.comfort_noise import Noise
from recording.audio.timeline import Timeline

LEVELS = [20, 40, 60]


def loudness(samples):
    return 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) / 32_767)


def told_by_ffmpeg(samples):
    """Return the payload (RFC 3389) that FFmpeg makes of a background noise."""
    context = audio_context("comfortnoise", "w")
    context.sample_rate, context.layout, context.format = 8000, "mono", "s16"
    size = 640
    told = []
    for at in range(0, len(samples) - size + 1, size):
        block = av.AudioFrame.from_ndarray(
            samples[None, at : at + size], format="s16", layout="mono"
        )
        block.sample_rate, block.pts = 8000, at
        told += [bytes(packet) for packet in context.encode(block)]
    return told[-1]


def hum(low, high, level):
    """Return noise of one band, in Hz, at this level."""
    spectrum = np.fft.rfft(np.random.default_rng(2).standard_normal(16_000))
    hertz = np.fft.rfftfreq(16_000, 1 / 8000)
    spectrum[(hertz < low) | (hertz > high)] = 0
    sound = np.fft.irfft(spectrum, 16_000)
    return (sound / np.sqrt(np.mean(sound**2)) * 32_767 * 10 ** (-level / 20)).astype(np.int16)


def part_between(samples, rate, low, high):
    power = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / rate)
    return power[(hertz >= low) & (hertz < high)].sum() / power.sum()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_comfort_noise_has_the_level_in_its_payload(level, rate):
    made = Noise(bytes([level]), 8000, rate).samples(0, 2 * rate)
    assert loudness(made) == pytest.approx(-level, abs=0.5)
    assert part_between(made, rate, 4100, 8000) < 0.01


@pytest.mark.parametrize("band", [(300, 900), (2500, 3500)])
def test_a_background_described_by_ffmpeg_keeps_its_level_and_band(band):
    low, high = band
    background = hum(low, high, 40)
    made = Noise(told_by_ffmpeg(background), 8000, 8000).samples(0, 16_000)
    assert loudness(made) == pytest.approx(loudness(background), abs=3)
    low, high = band[0] - 300, band[1] + 300
    white = (high - low) / 4000
    assert part_between(made, 8000, low, high) > 1.8 * white


@pytest.mark.parametrize("clock", [8000, 9001, 16_000, 48_000])
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_comfort_noise_has_the_spectrum_of_the_filter_in_its_payload(clock, rate):
    """Each frequency is compared, by the recursion of RFC 3389 section 3.2."""
    told = [90, 160, 120, 135]
    made = Noise(bytes([25, *told]), clock, rate).samples(0, 4 * rate)
    found = np.abs(np.fft.rfft(made.astype(float)))[1:-1]
    hertz = np.fft.rfftfreq(4 * rate, 1 / rate)[1:-1]
    filter_ = [1.0]
    for byte in told:
        longer = [*filter_, 0.0]
        filter_ = [a + (byte - 127) / 128 * b for a, b in zip(longer, longer[::-1], strict=True)]
    turns = np.exp(-2j * np.pi * hertz / clock)
    shape = 1 / np.abs(sum(tap * turns**n for n, tap in enumerate(filter_)))
    shape[hertz > clock / 2] = 0
    shape *= np.sqrt(np.mean(found**2) / np.mean(shape**2))
    assert np.abs(found - shape).max() < 0.01 * shape.max()


def test_comfort_noise_is_the_same_in_pieces_of_any_size():
    noise = Noise(b"\x20", 8000, 8000)
    cuts = [noise.samples(7000, 9000), noise.samples(16_000, 40_000)]
    assert np.array_equal(np.concatenate(cuts), noise.samples(7000, 49_000))


@pytest.mark.parametrize("payload", [b"\xff", b"\x00" * 200, b"\xff" * 200, b"\x28\x00\xff\x00"])
def test_any_comfort_noise_payload_gives_the_requested_number_of_samples(payload):
    assert len(Noise(payload, 8000, 16_000).samples(3, 100)) == 100


@pytest.mark.parametrize("clock", [0, 1, 90_000, 2**31])
def test_an_unusual_clock_rate_still_makes_comfort_noise(clock):
    assert loudness(Noise(b"\x28", clock, 16_000).samples(0, 16_000)) == pytest.approx(-40, abs=0.5)


def quiet_call(level=30, *, clock=1.0, cn_at=100, back_at=800):
    """Return the voice, and packets of talk, one noise packet at `cn_at`, nothing, and talk."""
    voice = speech(20)
    packets = [(at, data) for at, i, data in sent(voice, sequence=0) if i < cn_at or i >= back_at]
    at_us, stamp = cn_at * 20_000, 2**32 - 4000 + cn_at * 160
    packets.insert(cn_at, (at_us, rtp(0, stamp, bytes([level]), kind=13)))
    numbered = [
        (at, 0, data[:2] + (100 + i).to_bytes(2, "big") + data[4:])
        for i, (at, data) in enumerate(packets)
    ]
    return voice, numbered


def test_comfort_noise_lasts_until_the_next_speech():
    voice, packets = quiet_call()
    timeline = Timeline(8000)
    samples = played(packets, 20 * US, timeline)[:, 0]
    said = ALAW.decode(voice)
    assert np.array_equal(samples[:16_000], said[:16_000])
    assert np.array_equal(samples[128_000:], said[128_000:])
    assert loudness(samples[16_000:128_000]) == pytest.approx(-30, abs=0.5)
    assert np.count_nonzero(samples[16_000:128_000]) > 110_000
    assert timeline.counts[0].lost == 0
    assert timeline.counts[0].codecs["CN/8000"] == 1


def test_comfort_noise_changes_its_level_at_a_new_noise_packet():
    _, packets = quiet_call()
    stamp = int.from_bytes(packets[100][2][4:8], "big") + 5 * 8000
    packets = [*packets[:101], (7 * US, 0, rtp(201, stamp, b"\x3c", kind=13))]
    samples = played(packets, 12 * US)[:, 0]
    assert loudness(samples[2 * 8000 : 7 * 8000]) == pytest.approx(-30, abs=0.5)
    assert loudness(samples[7 * 8000 : 12 * 8000]) == pytest.approx(-60, abs=0.7)


def test_comfort_noise_ends_at_a_gap_or_hold_and_does_not_return():
    for end in ("begin_gap", "mark_break"):
        _, packets = quiet_call()
        timeline = Timeline(8000)
        for at, track, data in packets[:101]:
            timeline.packet(track, at, data)
        getattr(timeline, end)(5 * US)
        if end == "begin_gap":
            timeline.end_gap(8 * US)
        timeline.finish(12 * US)
        samples = np.concatenate(list(timeline.blocks()))[:, 0]
        assert loudness(samples[16_000:40_000]) == pytest.approx(-30, abs=0.5)
        assert not samples[40_000:].any()


def test_speech_of_another_stream_ends_the_comfort_noise():
    _, packets = quiet_call()
    other = speech(2, 9)
    packets = packets[:101]
    packets += [(at, 0, d) for at, _, d in sent(other, at_us=6 * US, ssrc=7)]
    samples = played(packets, 12 * US)[:, 0]
    assert samples[16_000:48_000].any()
    assert np.array_equal(samples[48_000:64_000], ALAW.decode(other))
    assert not samples[64_000:].any()


def test_comfort_noise_without_speech_is_placed_by_its_arrival():
    packets = [(US + i * 200_000, 0, rtp(i, i * 1600, b"\x1e", kind=13)) for i in range(10)]
    samples = played(packets, 4 * US)[:, 0]
    assert not samples[:8000].any()
    assert loudness(samples[8000:]) == pytest.approx(-30, abs=0.5)


def test_comfort_noise_with_a_wild_timestamp_is_placed_by_its_arrival():
    _, packets = quiet_call()
    packets[100] = 2 * US, 0, rtp(200, 77, b"\x1e", kind=13)
    samples = played(packets, 20 * US)[:, 0]
    assert loudness(samples[16_000:128_000]) == pytest.approx(-30, abs=0.5)


def test_comfort_noise_beside_a_wideband_codec_stays_below_4_khz():
    timeline = Timeline(16_000)
    timeline.set_payload_types(0, {98: PayloadCodec("L16", 16_000)})
    dice = random.Random(1)
    packets = [(i * 20_000, 0, rtp(i, i * 320, dice.randbytes(640), kind=98)) for i in range(50)]
    packets.append((US, 0, rtp(50, 8000, b"\x1e", kind=13)))
    samples = played(packets, 3 * US, timeline)[:, 0]
    assert samples[:16_000].any()
    assert loudness(samples[16_000:]) == pytest.approx(-30, abs=0.5)
    assert part_between(samples[16_000:], 16_000, 4100, 8000) < 0.01


@pytest.mark.peer
@pytest.mark.parametrize("level", [45, 55, 65])
def test_a_silence_description_of_bcg729_keeps_the_level_of_the_background(level):
    """Speech, then a background noise, described now and then; each packet has two frames."""
    quiet = hum(200, 3600, level)
    sound = np.concatenate([hum(300, 3000, 15), quiet, quiet])
    frames = Encoder(annex_b=True).frames(sound)
    packets, sequence = [], 0
    for at in range(0, len(frames) - 1, 2):
        payload = frames[at] + frames[at + 1]
        if payload:
            data = rtp(sequence, at * 80, payload, kind=18)
            packets.append((at * 10_000, 0, data))
            sequence += 1
    assert sequence < len(frames) / 3
    timeline = Timeline(8000)
    samples = played(packets, 6 * US, timeline)[:, 0]
    theirs = Decoder().samples(frames)
    assert loudness(samples[32_000:]) == pytest.approx(-level, abs=4)
    assert loudness(samples[:15_000]) == pytest.approx(loudness(theirs[:15_000]), abs=1)
    assert timeline.counts[0].undecoded == timeline.counts[0].lost == 0
    assert timeline.undecoded() == []


def test_a_silence_description_after_a_g729_frame_begins_after_that_frame():
    packets = [(i * 20_000, 0, rtp(i, i * 160, bytes(20), kind=18)) for i in range(50)]
    packets.append((US, 0, rtp(50, 8000, bytes(10) + b"\x00\x1e", kind=18)))
    timeline = Timeline(8000)
    samples = played(packets, 3 * US, timeline)[:, 0]
    assert not samples[8000:8080].any()
    assert np.count_nonzero(samples[8080:]) > 15_000
    assert timeline.counts[0].undecoded == 0
