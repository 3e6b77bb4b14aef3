"""Sequence numbers far from the expected one: old, from a new start, or random.

Covers `recording/audio/packet_queue.py` and `recording/audio/rtp_stream.py`.
"""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.timeline import ALAW, US, played, rtp, sent, speech
from recording.audio.codecs import PayloadCodec
from recording.audio.timeline import Timeline

FEW = settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
SECONDS = 16


def stream(ms=20, *, number=lambda index: index, timestamp=lambda index, ticks: index * ticks):
    """Return (arrival, track, datagram) of packets of `ms` each, and their sound from second 1."""
    voice, size, begin_us = speech(SECONDS - 2), 8 * ms, US + ms * 1000 - 20_000
    packets = [
        (
            begin_us + index * ms * 1000,
            0,
            rtp(number(index), timestamp(index, size), voice[at : at + size]),
        )
        for index, at in enumerate(range(0, len(voice) - size + 1, size))
    ]
    return packets, ALAW.decode(voice[: len(packets) * size])


def heard(packets, seconds=SECONDS):
    timeline = Timeline(8000)
    samples = played(packets, seconds * US, timeline)[:, 0]
    return samples, timeline.counts[0]


@given(
    ms=st.sampled_from([5, 10, 20, 60]),
    age_s=st.floats(0.1, 9),
    length_s=st.floats(0.05, 0.9),
)
@FEW
def test_packets_repeated_after_up_to_nine_seconds_are_only_counted_as_duplicates(
    ms, age_s, length_s
):
    packets, said = stream(ms)
    begin_us = round((12 - age_s) * US)
    again = [p for p in packets if begin_us <= p[0] < begin_us + min(length_s, age_s) * US]
    again = [(12 * US + 10 * index, track, data) for index, (_, track, data) in enumerate(again)]
    samples, count = heard(packets + again)
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.duplicate) == (len(packets), len(again))
    assert count.lost == count.late == 0


@given(ms=st.sampled_from([5, 10, 20, 60]), age_s=st.floats(0.1, 8), length_s=st.floats(0.05, 0.9))
@FEW
def test_packets_overtaken_by_seconds_are_placed_at_their_time(ms, age_s, length_s):
    packets, said = stream(ms)
    end_us = 4 * US + length_s * US
    stray = [p for p in packets if 4 * US <= p[0] < end_us]
    packets = [p for p in packets if p not in stray]
    arrival = round(end_us + age_s * US)
    packets += [(arrival + 10 * i, track, data) for i, (_, track, data) in enumerate(stray)]
    samples, count = heard(packets)
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.lost, count.late) == (len(packets), 0, 0)


@given(ms=st.sampled_from([10, 20, 60]), jump=st.integers(-32_000, 33_000), clock=st.booleans())
@FEW
def test_a_sender_that_restarts_its_sequence_is_recorded_from_its_first_packet(ms, jump, clock):
    """The timestamps continue, or restart too."""
    turn = 8000 // ms
    if -50 < jump < 3000:
        jump = 3000  # such a jump could be a loss, or repeated packets
    elif jump > 32_000:
        jump = 32_768 - 5  # the numbers wrap among packets that are judged together
    packets, said = stream(
        ms,
        number=lambda index: index + (jump if index >= turn else 0),
        timestamp=lambda index, ticks: (
            index * ticks + (77_777_777 if clock and index >= turn else 0)
        ),
    )
    samples, count = heard(packets)
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert count.received == len(packets)
    assert count.lost == count.late == count.duplicate == 0


def test_one_packet_with_a_wild_sequence_number_counts_as_late_and_changes_no_audio():
    packets, said = stream()
    wild = (6 * US + 1000, 0, rtp(40_000, 0, bytes(160)))
    samples, count = heard([*packets, wild])
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.late, count.lost) == (len(packets), 1, 0)


@pytest.mark.parametrize("step", [-3001, -150, -101, -100, 101, 2999, 7000, 32_768])
def test_random_sequence_numbers_are_counted_without_an_error(step):
    """Many packets arrive at once, and then one a second."""
    packets = [packet for packet in stream()[0] if packet[0] < 2 * US]
    senseless = [3 * US] * 1500 + [second * US for second in range(4, 10)]
    packets += [
        (at_us, 0, rtp(30_000 + step * index, index, bytes(160)))
        for index, at_us in enumerate(senseless)
    ]
    samples, count = heard(packets)
    assert len(samples) == SECONDS * 8000
    assert count.received + count.duplicate + count.late == len(packets)


@given(ms=st.sampled_from([5, 10, 20, 60]), from_s=st.floats(0, 9), for_s=st.floats(0, 9))
@FEW
def test_packets_with_one_constant_sequence_number_are_all_recorded(ms, from_s, for_s):
    """This lasts for a while or the whole call; repeated packets still count as duplicates."""
    first, last = (int(second * 1000) // ms for second in (from_s, from_s + for_s))
    packets, said = stream(ms, number=lambda i: i - max(0, min(i, last) - first))
    again = [(at + 1, track, data) for at, track, data in packets if at % 7 == 0]
    samples, count = heard([*packets, *again])
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.duplicate) == (len(packets), len(again))
    assert count.lost == count.late == 0


@pytest.mark.parametrize("other", [999, 1001, 1 << 31])
def test_a_constant_timestamp_that_changes_once_does_not_move_the_audio(other):
    """Sequence numbers place the packets; their late arrivals must not place them again."""
    packets, said = stream(timestamp=lambda index, _: 1000 if index < 200 else other)
    late = [
        (at + index * 7919 % 15_000 * (index > 50), 0, data)
        for index, (at, _, data) in enumerate(packets)
    ]
    samples, count = heard(late)
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.lost, count.late) == (len(packets), 0, 0)


@pytest.mark.parametrize("ahead", [16_000, 1 << 20, (1 << 31) - 1_000_000])
def test_a_late_packet_with_a_future_timestamp_is_not_recorded(ahead):
    """Its timestamp is days ahead, but no memory is allocated for the time until then."""
    packets, said = stream()
    at_us, track, late = packets.pop(200)
    said[200 * 160 : 201 * 160] = 0
    packets.append((at_us + US, track, rtp(200, 200 * 160 + ahead, late[12:])))
    tracemalloc.start()
    try:
        samples, count = heard(packets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert (count.received, count.lost, count.late) == (len(packets), 0, 1)
    assert peak < 20_000_000


def test_a_late_packet_with_another_clock_rate_is_left_out():
    """Its timestamp counts at 12,000 Hz, those of the packets around it count at 8000 Hz."""
    packets, said = stream()
    at_us, track, late = packets.pop(200)
    said[200 * 160 : 201 * 160] = 0
    packets.append((at_us + US, track, rtp(200, 200 * 160 - 8000, late[12:] * 2, kind=99)))
    timeline = Timeline(8000)
    timeline.set_payload_types(0, {99: PayloadCodec("L16", 12_000)})
    samples = played(packets, SECONDS * US, timeline)[:, 0]
    assert np.array_equal(samples[8000 : 8000 + len(said)], said)
    assert timeline.counts[0].late == 1


def test_packets_lost_for_more_than_a_minute_are_counted_exactly():
    voice = speech(100)
    packets = [(at, 0, d) for at, _, d in sent(voice) if not 10 * US <= at < 85 * US]
    samples, count = heard(packets, 100)
    said = ALAW.decode(voice)
    said[10 * 8000 : 85 * 8000] = 0
    assert np.array_equal(samples, said)
    assert (count.received, count.lost) == (len(packets), 75 * 50)
