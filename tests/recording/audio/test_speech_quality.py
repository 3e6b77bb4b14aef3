"""The E-model: published values, and the direction in which each cause moves the estimate."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.audio.network_quality import (
    BEST_RATING,
    CODECS,
    delay_impairment,
    estimated_mos,
    mos_of_rating,
    rating,
)


def score(name, loss, burst_ratio=1.0):
    mos = estimated_mos(name, loss, burst_ratio)
    assert mos is not None
    return mos


SOME = settings(max_examples=examples(300), deadline=None)
codecs = st.sampled_from(sorted(CODECS))
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("value", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)]
)
def test_a_rating_gives_the_score_of_table_b1_of_g107(value, mos):
    """The table states 4.03 for a rating of 80, but its own formula gives 4.024."""
    assert mos_of_rating(value) == pytest.approx(mos, abs=0.0065)


def test_the_default_rating_gives_the_score_that_g107_states():
    assert pytest.approx(93.2) == BEST_RATING
    assert round(mos_of_rating(BEST_RATING), 2) == 4.41


@pytest.mark.parametrize(("value", "mos"), [(-5, 1.0), (0, 1.0), (3, 1.0), (100, 4.5), (129, 4.5)])
def test_a_rating_outside_the_formula_gives_the_nearest_score(value, mos):
    assert mos_of_rating(value) == mos


@pytest.mark.parametrize("name", ["PCMA", "PCMU", "pcma"])
def test_g711_without_loss_has_the_best_score_of_a_narrow_band(name):
    assert estimated_mos(name, 0) == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("percent", "impairment"), [(0, 0), (1, 5), (2, 7), (3, 10), (5, 15)])
def test_g711_with_concealment_is_impaired_as_in_the_table_of_g113(percent, impairment):
    """The table of G.113, Appendix I, has whole numbers for random losses."""
    suffered = BEST_RATING - rating(CODECS["PCMA"], percent / 100)
    assert suffered == pytest.approx(impairment, abs=1.5)


@pytest.mark.parametrize(("delay_ms", "impairment"), [(0, 0), (100, 0), (150, 0.2), (400, 24)])
def test_only_a_delay_above_100_ms_impairs_the_rating(delay_ms, impairment):
    assert delay_impairment(delay_ms) == pytest.approx(impairment, abs=0.1)


def test_g722_is_rated_on_the_wide_scale():
    assert rating(CODECS["G722"], 0) == pytest.approx(116 / 1.29)


def test_a_codec_without_values_has_no_estimate():
    assert estimated_mos("G723", 0) is None


def test_losses_in_bursts_impair_more_than_random_losses():
    assert score("PCMA", 0.05, 3) < score("PCMA", 0.05, 1)


@given(codecs, shares, st.floats(0, 50))
@SOME
def test_any_loss_gives_a_score_from_1_to_4_and_a_half(name, loss, burst_ratio):
    assert 1 <= score(name, loss, burst_ratio) <= 4.5


@given(codecs, shares, shares, st.floats(1, 50))
@SOME
def test_more_loss_never_gives_a_better_score(name, loss, other, burst_ratio):
    less, more = sorted((loss, other))
    assert score(name, more, burst_ratio) <= score(name, less, burst_ratio)


@given(st.floats(0, 1000), st.floats(0, 1000))
@SOME
def test_more_delay_never_impairs_less(delay_ms, other):
    less, more = sorted((delay_ms, other))
    assert delay_impairment(less) <= delay_impairment(more) + 1e-9
