"""Jitter and bursts of lost packets, compared with a plain form of RFC 3550, appendix A.8."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.timeline import rtp
from recording.audio.network_quality import Jitter, LossBursts, NetworkCount
from recording.audio.timeline import Timeline

SOME = settings(max_examples=examples(200), deadline=None)
RATE = (8000, 1_000_000)
TICKS = 160
STEP_US = 20_000


def plain(late_us):
    """Return the jitter after each packet but the first, by the formula of the RFC."""
    jitter, found = 0.0, []
    for before, after in pairwise(late_us):
        jitter += (abs(after - before) - jitter) / 16
        found.append(jitter)
    return found


def one_by_one(late_us):
    count = NetworkCount()
    jitter = Jitter(count)
    for index, late in enumerate(late_us):
        jitter.packet(index * STEP_US + late, (index * TICKS - 320) % 2**32, *RATE)
    jitter.flush()
    return count


late_us = st.lists(st.integers(0, 400_000), min_size=2, max_size=40)


@given(late_us)
@SOME
def test_the_jitter_is_the_estimate_of_rfc_3550(late):
    found, count = plain(late), one_by_one(late)
    assert count.jitter_packets == len(found)
    assert count.jitter_us == pytest.approx(sum(found) / len(found))
    assert count.jitter_most_us == pytest.approx(max(found))


@given(late_us, st.integers(1, 30))
@SOME
def test_consecutive_packets_processed_together_give_the_same_jitter(late, at):
    late = late * 30  # more than are processed at once
    count = NetworkCount()
    jitter = Jitter(count)
    jitter.packet(late[0], 0, *RATE)
    place = 0
    while place < len(late) - 1:
        part = late[place : place + at + 1]
        place += len(part) - 1
        arrival = place * STEP_US + late[place]
        jitter.consecutive(part[0], part[1:], arrival, place * TICKS)
    jitter.flush()
    expected = one_by_one(late)
    assert count.jitter_packets == expected.jitter_packets
    assert count.jitter_us == pytest.approx(expected.jitter_us)
    assert count.jitter_most_us == pytest.approx(expected.jitter_most_us)


def test_a_jump_of_the_timestamps_is_not_jitter():
    count = NetworkCount()
    jitter = Jitter(count)
    jitter.packet(0, 0, *RATE)
    jitter.packet(STEP_US, 1 << 20, *RATE)
    jitter.packet(2 * STEP_US, (1 << 20) + TICKS, *RATE)
    jitter.flush()
    assert (count.jitter_packets, count.jitter_most_us) == (1, 0)


@pytest.mark.parametrize(
    ("numbers", "bursts", "longest"),
    [([], 0, 0), ([7], 1, 1), ([7, 8, 9, 20, 30, 31], 3, 3), (range(500), 1, 500)],
)
def test_lost_packets_are_divided_into_bursts(numbers, bursts, longest):
    count = NetworkCount()
    LossBursts().add(numbers, count)
    assert (count.loss_bursts, count.longest_loss) == (bursts, longest)


def test_a_burst_that_is_added_in_parts_is_one_burst():
    count, bursts = NetworkCount(), LossBursts()
    bursts.add([1, 2], count)
    bursts.copy().add([3], NetworkCount())
    bursts.add([3, 4], count)
    assert (count.loss_bursts, count.longest_loss) == (1, 4)


def test_a_timeline_counts_the_losses_and_the_jitter_of_each_track():
    timeline = Timeline(8000)
    lost = {100, 200, 201, 202, 300}
    for index in range(500):
        if index not in lost:
            late = 8000 if index % 2 else 0
            data = rtp(index, index * TICKS, bytes([0xD5]) * TICKS)
            timeline.packet(0, index * STEP_US + late, data)
            timeline.packet(1, index * STEP_US, data)
    timeline.finish(500 * STEP_US)
    for track, jitter in zip(timeline.counts, (8000, 0), strict=True):
        network = track.network
        assert network is not None
        assert track.lost == len(lost)
        assert (network.loss_bursts, network.longest_loss) == (3, 3)
        assert network.jitter_most_us == pytest.approx(jitter, rel=0.05)
