"""The sums of a call's talk time: recorded, missing, unexplained and claimed twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recording.archive.accounting import balance
from recording.archive.manifest import Interval

SECOND = 1_000_000


def spans(*pairs):
    return [Interval(start * SECOND, end * SECOND) for start, end in pairs]


def test_segments_and_gaps_add_up_to_the_talk_time():
    result = balance(60 * SECOND, spans((0, 20), (30, 60)), spans((20, 30)))
    assert not result.unaccounted
    assert (result.recorded_us, result.gap_us) == (50 * SECOND, 10 * SECOND)


def test_a_second_in_no_segment_and_no_gap_is_unexplained():
    result = balance(60 * SECOND, spans((1, 20), (30, 59)), spans((20, 29)))
    assert list(result.unexplained) == spans((0, 1), (29, 30), (59, 60))
    assert sum(part.length_us for part in result.unexplained) == 3 * SECOND
    assert result.unaccounted


def test_a_second_in_both_a_segment_and_a_gap_is_claimed_twice():
    result = balance(60 * SECOND, spans((0, 60)), spans((10, 12)))
    assert list(result.claimed_twice) == spans((10, 12))
    assert result.unaccounted


def test_segments_and_gaps_outside_the_call_are_not_counted():
    result = balance(10 * SECOND, spans((-5, 20)), spans((10, 30), (7, 7)))
    assert not result.unaccounted
    assert result.recorded_us == 10 * SECOND


def test_an_unanswered_call_has_nothing_to_explain():
    assert not balance(0, [], []).unaccounted


pairs = st.lists(st.tuples(st.integers(-5, 60), st.integers(-5, 60)).map(sorted), max_size=6)


@given(st.integers(0, 50), pairs, pairs)
def test_every_instant_is_recorded_missing_unexplained_or_claimed_twice(talk, one, two):
    result = balance(talk, [Interval(*pair) for pair in one], [Interval(*pair) for pair in two])
    for at in range(talk):
        recorded = any(a <= at < b for a, b in one)
        missing = any(a <= at < b for a, b in two)
        unexplained = any(s.from_us <= at < s.to_us for s in result.unexplained)
        twice = any(s.from_us <= at < s.to_us for s in result.claimed_twice)
        assert unexplained == (not recorded and not missing)
        assert twice == (recorded and missing)
    both = sum(span.length_us for span in result.claimed_twice)
    assert (
        result.recorded_us
        + result.gap_us
        - both
        + sum(part.length_us for part in result.unexplained)
        == talk
    )
