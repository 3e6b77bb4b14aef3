"""The timeline: all speech is at its time, however the network delivered it.

Covers `recording/audio/rtp_stream.py`, `recording/audio/track.py`,
`recording/audio/track_counts.py`, `recording/audio/stream_writer.py` and
`recording/audio/packet_queue.py`.
"""

import random
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.codecs import decoder_of
from helpers.recording.timeline import ALAW, US, played, rtp, sent, speech
from recording.audio.codecs import PayloadCodec
from recording.audio.stream_writer import WidebandError
from recording.audio.timeline import Timeline

FEW = settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))


def offset_ms(samples, voice, *, at_s, length_s=0.5):
    """Return by how many ms `voice` is later than it should be, within 200 ms."""
    expected = ALAW.decode(voice).astype(float)
    start, count, margin = int(at_s * 8000), int(length_s * 8000), 1600
    window = np.zeros(count + 2 * margin)
    source = samples[max(0, start - margin) : start + count + margin].astype(float)
    at = max(0, margin - start)
    window[at : at + len(source)] = source
    pattern = expected[start : start + count]
    scores = np.correlate(window, pattern, "valid")
    best = int(np.argmax(scores))
    assert scores[best] > 0.6 * np.dot(pattern, pattern)
    return (best - margin) / 8


def test_both_tracks_are_placed_exactly_and_have_the_length_of_the_call():
    left, right = speech(5, 1), speech(5, 2)
    packets = [(at, 0, data) for at, _, data in sent(left)]
    packets += [(at, 1, data) for at, _, data in sent(right, ssrc=9)]
    samples = played(packets, 5 * US + 300_000)
    assert samples.shape == (42_400, 2)
    assert np.array_equal(samples[:40_000, 0], ALAW.decode(left))
    assert np.array_equal(samples[:40_000, 1], ALAW.decode(right))
    assert not samples[40_000:].any()


@given(
    seed=st.integers(0, 10_000),
    loss=st.floats(0, 0.3),
    jitter_ms=st.integers(0, 60),
    doubled=st.floats(0, 0.2),
)
@FEW
def test_lost_packets_are_silence_of_exact_length_in_any_order_of_arrival(
    seed, loss, jitter_ms, doubled
):
    dice = random.Random(seed)
    voice = speech(4, seed)
    expected = ALAW.decode(voice).copy()
    packets, lost = [], 0
    total = len(voice) // 160
    for at, index, data in sent(voice):
        if 0 < index < total - 1 and dice.random() < loss:
            expected[index * 160 : index * 160 + 160] = 0
            lost += 1
            continue
        # One packet is not delayed, so that the anchor is known exactly.
        late = 0 if index == 0 else dice.randint(0, jitter_ms) * 1000
        packets.append((at + late, 0, data))
        if dice.random() < doubled:
            packets.append((at + late + 1000, 0, data))
    timeline = Timeline(8000)
    samples = played(packets, 4 * US, timeline)
    assert len(samples) == 32_000
    assert np.array_equal(samples[:, 0], expected)
    count = timeline.counts[0]
    assert count.lost == lost
    assert count.received == total - lost
    assert count.late == 0


def test_streams_without_audio_do_not_displace_the_speaking_stream():
    """A PBX may use a new SSRC for each key press and each announcement."""
    voice = speech(4)
    packets = [(at + 12_000 * (at > US), 0, data) for at, _, data in sent(voice)]
    packets += [(US + 300_000 * n, 0, rtp(n, 0, b"", kind=101, ssrc=100 + n)) for n in range(8)]
    timeline = Timeline(8000)
    samples = played(packets, 4 * US, timeline)
    assert np.array_equal(samples[:, 0], ALAW.decode(voice))
    assert timeline.counts[0].lost == 0


@pytest.mark.parametrize("silence", ["a loss", "a pause", "a hold", "the end", "another codec"])
def test_the_last_millisecond_before_a_silence_is_recorded_although_it_is_resampled(silence):
    """The filter from 8000 to 16,000 Hz holds it back until the next samples arrive."""
    loud = bytes([0x80]) * 160
    packets = [(20_000 * n, 0, rtp(n, 160 * n, loud)) for n in range(50)]
    after = {
        "a loss": [(US + 20_000 * n, 0, rtp(51 + n, 160 * (51 + n), loud)) for n in range(1, 50)],
        "a pause": [
            (5 * US + 20_000 * n, 0, rtp(50 + n, 40_000 + 160 * n, loud)) for n in range(50)
        ],
        "another codec": [(US + 40_000, 0, rtp(50, 8320, bytes(640), kind=97))],
    }.get(silence, [])
    timeline = Timeline(16_000)
    timeline.set_payload_types(0, {8: PayloadCodec("PCMA", 8000), 97: PayloadCodec("L16", 16_000)})
    if silence == "a hold":
        for at_us, track, data in packets:
            timeline.packet(track, at_us, data)
        timeline.mark_break(US)
        packets = []
    heard = np.abs(played(packets + after, 7 * US, timeline)[:, 0]) > 2000
    ends = np.flatnonzero(heard[:-1] & ~heard[1:])
    assert abs(ends[0] - np.argmax(heard) - 50 * 320) <= 4


def test_a_packet_that_is_too_late_is_counted_and_not_recorded():
    voice = speech(14)
    packets = [(at + (12 * US if index == 50 else 0), 0, data) for at, index, data in sent(voice)]
    timeline = Timeline(8000)
    samples = played(packets, 14 * US, timeline)
    expected = ALAW.decode(voice).copy()
    expected[8000:8160] = 0
    assert np.array_equal(samples[:, 0], expected)
    assert timeline.counts[0].late == 1


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_senders_clock_that_drifts_is_followed(ppm):
    seconds = 180
    voice = speech(seconds)
    dice = random.Random(3)
    packets = [(at + dice.randint(0, 8000), 0, d) for at, _, d in sent(voice, ppm=ppm)]
    samples = played(packets, seconds * US)[:, 0]
    for at_s in (10, 60, 120, 170):
        true_ms = at_s * ppm / 1000
        assert abs(offset_ms(samples, voice, at_s=at_s) + true_ms) < 10


@pytest.mark.long
@pytest.mark.slow
def test_two_drifting_clocks_stay_in_step_for_an_hour():
    """±200 ppm is 1.4 s in an hour, but the parties stay in step and the length is the call's."""
    seconds, drifts, dice = 3600, (200, -200), random.Random(3)
    voices = [speech(seconds, 1), speech(seconds, 2)]
    packets = [
        (at + dice.randint(0, 8000), track, data)
        for track, ppm in enumerate(drifts)
        for at, _, data in sent(voices[track], ppm=ppm, ssrc=track + 1)
    ]
    samples = played(packets, seconds * US)
    assert len(samples) == seconds * 8000
    for at_s in (30, 600, 1800, 3000, 3590):
        for track, ppm in enumerate(drifts):
            start = at_s * 8000
            words = ALAW.decode(voices[track][start : start + 4000]).astype(float)
            begin = start - at_s * ppm * 8 // 1000 - 160
            window = samples[begin : begin + 4320, track].astype(float)
            scores = np.correlate(window, words, "valid")
            assert abs(int(np.argmax(scores)) - 160) <= 80  # 10 ms, so 20 ms from each other
            assert scores.max() > 0.6 * np.dot(words, words)


def test_a_new_ssrc_is_placed_by_its_own_arrival():
    first, second = speech(2, 1), speech(2, 2)
    packets = [(at, 0, data) for at, _, data in sent(first)]
    packets += [(at, 0, d) for at, _, d in sent(second, at_us=2_500_000, ssrc=7, timestamp=5)]
    samples = played(packets, 5 * US)[:, 0]
    assert np.array_equal(samples[:16_000], ALAW.decode(first))
    assert not samples[16_000:20_000].any()
    assert np.array_equal(samples[20_000:36_000], ALAW.decode(second))


def test_a_sender_that_restarts_with_the_same_ssrc_is_followed():
    first, second = speech(4, 1), speech(2, 2)
    packets = [(at, 0, data) for at, _, data in sent(first)]
    packets += [
        (at, 0, d) for at, _, d in sent(second, at_us=4 * US, sequence=65_400, timestamp=77)
    ]
    samples = played(packets, 6 * US)[:, 0]
    assert np.array_equal(samples[:32_000], ALAW.decode(first))
    assert np.array_equal(samples[32_000:], ALAW.decode(second))


def test_silence_suppression_does_not_move_later_speech():
    voice = speech(20)
    talk = [(at, 0, data) for at, i, data in sent(voice) if i < 100 or i >= 800]
    packets = []
    for sequence, (at, track, data) in enumerate(talk):
        packets.append((at, track, data[:2] + struct.pack("!H", sequence) + data[4:]))
    timeline = Timeline(8000)
    samples = played(packets, 20 * US, timeline)[:, 0]
    expected = ALAW.decode(voice).copy()
    expected[16_000:128_000] = 0
    assert np.array_equal(samples, expected)
    assert timeline.counts[0].lost == 0


def test_speech_after_a_hold_with_a_stopped_timestamp_is_placed_by_its_arrival():
    voice = speech(4)
    packets = [(at + (30 * US if index >= 100 else 0), 0, d) for at, index, d in sent(voice)]
    samples = played(packets, 34 * US)[:, 0]
    assert np.array_equal(samples[:16_000], ALAW.decode(voice)[:16_000])
    assert np.array_equal(samples[32 * 8000 :], ALAW.decode(voice)[16_000:])


def test_a_timestamp_jump_does_not_move_the_audio():
    voice = speech(6)
    packets = []
    for at, index, data in sent(voice):
        jump = 1_000_000 if index >= 150 else 0
        timestamp = struct.unpack_from("!I", data, 4)[0] + jump
        packets.append((at, 0, data[:4] + struct.pack("!I", timestamp % 2**32) + data[8:]))
    assert np.array_equal(played(packets, 6 * US)[:, 0], ALAW.decode(voice))


def test_packets_of_unknown_codecs_are_silent_and_are_counted_and_returned():
    packets = [(i * 20_000, 1, rtp(i, i * 160, bytes(160), kind=99)) for i in range(50)]
    timeline = Timeline(8000)
    assert not played(packets, US, timeline).any()
    assert timeline.counts[1].undecoded == 50
    refused = [(each.track, each.at_us, each.data) for each in timeline.undecoded()]
    assert refused == [(1, at, data) for at, _, data in packets]
    assert timeline.undecoded() == []


@pytest.mark.parametrize("pt", [8, 99])
def test_speech_sent_in_a_gap_is_not_kept_even_if_it_arrives_later(pt):
    """The network delayed it: neither its sound nor, for an unknown codec, its packet is kept."""
    gap, end = (2 * US, 4 * US), 4_500_000
    said = [(at, data[:1] + bytes([pt]) + data[2:]) for at, _, data in sent(speech(8))]
    came = [(end if 3 * US <= at < end else at, data) for at, data in said]
    timeline, gave = Timeline(8000), []
    for at, data in came:
        if at == end and timeline.counts[0].received == 100:
            timeline.begin_gap(gap[0])
            timeline.end_gap(gap[1])
        if not gap[0] <= at < gap[1]:
            timeline.packet(0, at, data)
            timeline.advance(at)
            gave += timeline.undecoded()
    timeline.finish(8 * US)
    heard = np.concatenate(list(timeline.blocks()))[:, 0]
    assert not heard[gap[0] // 125 : gap[1] // 125].any()
    kept = {refused.data for refused in gave + timeline.undecoded()}
    expected = {data for at, data in said if pt == 99 and not gap[0] - 20_000 < at < gap[1]}
    assert kept == expected


def test_a_payload_that_its_decoder_refuses_is_returned():
    packets = [(i * 20_000, 0, rtp(i, i * 160, bytes(20), kind=18)) for i in range(50)]
    packets[30] = 600_000, 0, rtp(30, 30 * 160, b"odd", kind=18)
    timeline = Timeline(8000)
    played(packets, US, timeline)
    assert timeline.counts[0].undecoded == 1
    (refused,) = timeline.undecoded()
    assert (refused.at_us, refused.codec.name, refused.data) == (600_000, "G729", packets[30][2])


def test_a_change_of_codec_during_the_call_does_not_move_the_audio():
    voice = speech(4)
    timeline = Timeline(8000)
    timeline.set_payload_types(0, {96: PayloadCodec("PCMU", 8000)})
    packets = [
        (at, 0, data if index < 100 else data[:1] + bytes([96]) + data[2:])
        for at, index, data in sent(voice)
    ]
    samples = played(packets, 4 * US, timeline)[:, 0]
    ulaw = decoder_of(PayloadCodec("PCMU", 8000))
    assert np.array_equal(samples[:16_000], ALAW.decode(voice)[:16_000])
    assert np.array_equal(samples[16_000:], ulaw.decode(voice)[16_000:])


def test_a_gap_is_exact_silence_and_its_packets_are_not_counted_as_lost():
    voice = speech(10)
    timeline = Timeline(8000)
    blocks: list = []
    muted = unmuted = False
    for at, _, data in sent(voice):
        if at >= 3_010_000 and not muted:
            timeline.begin_gap(3_010_000)
            muted = True
        if at >= 6_005_000 and not unmuted:
            timeline.end_gap(6_005_000)
            unmuted = True
        if not muted or unmuted:
            timeline.packet(0, at, data)
        timeline.advance(at)
        blocks += timeline.blocks()
    timeline.finish(10 * US)
    samples = np.concatenate([*blocks, *timeline.blocks()])[:, 0]
    expected = ALAW.decode(voice).copy()
    expected[24_080:48_160] = 0
    assert np.array_equal(samples, expected)
    assert timeline.counts[0].lost == 0


@pytest.mark.parametrize("seed", range(4))
def test_gaps_do_not_move_later_speech_by_a_single_sample(seed):
    """Speech after each of four gaps keeps its place, with or without jitter."""
    voice, jitter = speech(24), random.Random(seed)
    timeline = Timeline(8000)
    gaps = [(us * US, (us + 2) * US) for us in (3, 8, 13, 18)]
    packets = []
    for at, _, data in sent(voice):
        arrival = at + jitter.randrange(0, 1500)
        if not any(start <= arrival < end for start, end in gaps):
            packets.append((arrival, data))
    blocks: list[np.ndarray] = []
    marks = sorted(edge for gap in gaps for edge in gap)
    for arrival, data in packets:
        while marks and marks[0] <= arrival:
            edge = timeline.begin_gap if len(marks) % 2 == 0 else timeline.end_gap
            edge(marks.pop(0))
        timeline.packet(0, arrival, data)
        timeline.advance(arrival)
        blocks += timeline.blocks()
    timeline.finish(24 * US)
    samples = np.concatenate([*blocks, *timeline.blocks()])[:, 0]
    assert {offset_ms(samples, voice, at_s=at) for at in (1, 6, 11, 16, 21)} == {0}


def test_wideband_audio_in_an_8_khz_timeline_raises_wideband_error():
    timeline = Timeline(8000)
    with pytest.raises(WidebandError):
        played(
            [(i * 20_000, 0, rtp(i, i * 160, bytes(160), kind=9)) for i in range(50)], US, timeline
        )


def test_a_silence_of_three_hours_gives_exactly_its_number_of_samples():
    timeline = Timeline(8000)
    timeline.packet(0, 0, rtp(1, 1, bytes(160)))
    total = 0
    for hour in range(3):
        timeline.advance((hour + 1) * 3600 * US)
        total += sum(len(block) for block in timeline.blocks())
    timeline.finish(3 * 3600 * US)
    assert total + sum(len(block) for block in timeline.blocks()) == 3 * 3600 * 8000


@given(data=st.lists(st.binary(max_size=60), max_size=20))
@FEW
def test_random_datagrams_never_raise_an_error(data):
    timeline = Timeline(16_000)
    packets = [(i * 20_000, i % 2, bytes([0x80, 8]) + item) for i, item in enumerate(data)]
    packets += [(i * 20_000, i % 2, bytes([0xB7, 9]) + item) for i, item in enumerate(data)]
    packets += [(i * 20_000, i % 3, item) for i, item in enumerate(data)]
    assert len(played(packets, US, timeline)) == 16_000


names = st.sampled_from(
    ["PCMA", "G722", "opus", "G729", "GSM", "L16", "CN", "EVS", "telephone-event"]
)
clocks = st.sampled_from([0, 1, 8000, 16_000, 44_100, 48_000, 2**31])
strange_codecs = st.builds(PayloadCodec, names, clocks, st.integers(0, 300))


@given(
    codecs=st.lists(strange_codecs, min_size=3, max_size=3),
    packets=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-50_000, 2_500_000), st.binary(max_size=90)),
        max_size=40,
    ),
)
@FEW
def test_any_codecs_and_packets_keep_the_length_of_the_call(codecs, packets):
    timeline = Timeline(16_000)
    timeline.set_payload_types(0, {96 + index: codec for index, codec in enumerate(codecs)})
    sent = [
        (max(0, number * 20_000 + late), 0, rtp(number, number * 160, body, kind=96 + which))
        for number, (which, late, body) in enumerate(packets)
    ]
    assert len(played(sent, 2 * US, timeline)) == 32_000
    count = timeline.counts[0]
    assert len(timeline.undecoded()) == count.undecoded
