"""The line below the smallest delays of a stream, and its slope: the drift of a sender's clock."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.audio.delay_envelope import MOST_DRIFT, Delay, DelayEnvelope

RATE = 8000
MS = RATE // 1000
PPM = 1e-6


def second(dice, at_s, *, ppm=0, jitter_ms=8, packets=50, more_ms=0):
    """Return the smallest delay of one second's packets of a clock that is slow by `ppm`."""
    due = at_s * RATE * ppm * PPM + more_ms * MS
    delays = [round(due + dice.uniform(0, jitter_ms * MS)) for _ in range(packets)]
    return Delay.of(round(at_s * RATE), delays)


def envelope_of(delays):
    envelope = DelayEnvelope(RATE)
    for delay in delays:
        envelope.add(delay)
    return envelope


def test_a_delay_has_the_smallest_value_and_twice_the_mean_excess_as_jitter():
    assert Delay.of(5, [10, 30, 20]) == Delay(5, 10, 20.0, 3)


def test_an_envelope_without_delays_is_falsy_and_not_learnt():
    envelope = DelayEnvelope(RATE)
    assert not envelope
    assert not envelope.is_learnt
    assert envelope.unsure == MOST_DRIFT


@pytest.mark.parametrize("ppm", [-400, -100, 0, 30, 400])
def test_the_drift_is_known_to_twenty_ppm_after_two_minutes_of_speech(ppm):
    dice = random.Random(ppm)
    envelope = envelope_of(second(dice, at_s, ppm=ppm) for at_s in range(120))
    assert envelope.is_learnt
    assert envelope.drift == pytest.approx(ppm * PPM, abs=20 * PPM)


def test_the_delay_after_a_silence_of_five_minutes_is_predicted_to_fifteen_ms():
    dice = random.Random(2)
    envelope = envelope_of(second(dice, at_s, ppm=300) for at_s in range(100))
    low, high = envelope.bounds(400 * RATE)
    due = 400 * RATE * 300 * PPM
    assert low - MS < due < high + MS
    assert high - low < 15 * MS


def test_a_short_time_with_slow_packets_does_not_change_the_predicted_delay():
    dice = random.Random(3)
    slow = range(60, 63)
    envelope = envelope_of(
        second(dice, at_s, more_ms=30 if at_s in slow else 0) for at_s in range(63)
    )
    assert abs(envelope.bounds(63 * RATE)[1]) < MS


@pytest.mark.parametrize("more_ms", [-40, 25])
def test_a_network_that_remains_slower_or_faster_moves_the_predicted_delay_but_not_the_drift(
    more_ms,
):
    dice = random.Random(4)
    delays = [second(dice, at_s, ppm=200) for at_s in range(100)]
    before = envelope_of(delays)
    after = envelope_of(
        [*delays, *(second(dice, at_s, ppm=200, more_ms=more_ms) for at_s in range(100, 106))]
    )
    moved = after.bounds(106 * RATE)[1] - before.bounds(106 * RATE)[1]
    assert moved == pytest.approx(more_ms * MS, abs=1.5 * MS)
    assert after.drift == pytest.approx(before.drift, abs=20 * PPM)


def test_a_shift_moves_both_bounds_of_the_delay_by_exactly_its_amount():
    dice = random.Random(5)
    envelope = envelope_of(second(dice, at_s, ppm=100) for at_s in range(30))
    before = envelope.bounds(40 * RATE)
    envelope.shift(160)
    assert envelope.bounds(40 * RATE) == tuple(bound + 160 for bound in before)


def test_the_allowed_excess_of_few_packets_is_larger_than_that_of_many():
    dice = random.Random(6)
    envelope = envelope_of(second(dice, at_s, jitter_ms=60) for at_s in range(30))
    few, many = Delay(0, 0, 0.0, 3), Delay(0, 0, 0.0, 100)
    assert envelope.largest_excess(few) > 10 * envelope.largest_excess(many)
    assert envelope.probable_excess(few) > 10 * envelope.probable_excess(many)


any_delay = st.builds(
    Delay,
    at=st.integers(0, 40_000_000),
    least=st.integers(-50_000, 50_000),
    jitter=st.floats(0, 2000),
    packets=st.integers(1, 200),
)


@given(st.lists(any_delay, min_size=1, max_size=60), st.integers(0, 40_000_000))
@settings(max_examples=examples(200), deadline=None)
def test_any_delays_leave_bounds_in_order_and_a_drift_within_its_limit(delays, at):
    envelope = envelope_of(sorted(delays, key=lambda delay: delay.at))
    now = max(delay.at for delay in delays) + at
    low, high = envelope.bounds(now)
    assert low <= high
    assert abs(envelope.drift) <= MOST_DRIFT
    assert 0 < envelope.unsure <= MOST_DRIFT
