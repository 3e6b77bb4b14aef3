"""The kernel drops most packets of sources that flood us, and of strangers if they are many."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.aio.thinning import THINNING_S, Thinning, ThinningLimits

LIMITS = ThinningLimits(stranger=100, known=500, strangers=200, few=10)
STRANGER, OFFICE = "203.0.113.66", "198.51.100.7"
KNOWN = (ip_network(OFFICE),)


class Kernel:
    """Records each filter that is set."""

    def __init__(self):
        self.filters = []

    def __call__(self, thinned, known):
        self.filters.append((thinned, known))


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def thinning(kernel):
    return Thinning(LIMITS, known=lambda now: KNOWN, set_filter=kernel)


def test_a_stranger_is_thinned_at_its_limit_and_for_a_while(thinning, kernel):
    for _ in range(99):
        thinning.count_stranger(STRANGER, 5.0)
    assert kernel.filters == []
    thinning.count_stranger(STRANGER, 5.5)
    assert kernel.filters == [((ip_network(STRANGER),), None)]
    thinning.sweep(5.0 + THINNING_S)
    assert len(kernel.filters) == 1
    thinning.sweep(6.0 + THINNING_S)
    assert kernel.filters[1:] == [((), None)]


def test_a_stranger_that_sends_as_much_over_more_than_a_second_is_not_thinned(thinning, kernel):
    for second in range(10):
        for number in range(50):
            thinning.count_stranger(STRANGER, second + 0.02 * number)
        thinning.sweep(second + 1.0)
    assert kernel.filters == []


def test_a_known_source_has_a_limit_of_its_own_and_never_makes_strangers_thinned(thinning, kernel):
    for _ in range(499):
        thinning.count_known(OFFICE, 5.0)
    assert kernel.filters == []
    thinning.count_known(OFFICE, 5.0)
    assert kernel.filters == [((ip_network(OFFICE),), None)]


def test_many_strangers_that_send_little_are_all_thinned_but_known_networks_are_not(
    thinning, kernel
):
    for number in range(200):
        thinning.count_stranger(f"203.0.113.{number % 100}", 5.0)
    assert kernel.filters == [((), KNOWN)]
    thinning.sweep(6.0 + THINNING_S)
    assert kernel.filters[1:] == [((), None)]


def test_few_strangers_in_each_second_are_not_thinned(thinning, kernel):
    for second in range(20):
        for number in range(199):
            thinning.count_stranger(f"203.0.113.{number}", float(second))
        thinning.sweep(float(second))
    assert kernel.filters == []


def test_a_single_large_source_does_not_make_other_strangers_thinned(thinning, kernel):
    for _ in range(10_000):
        thinning.count_stranger(STRANGER, 5.0)
    assert kernel.filters == [((ip_network(STRANGER),), None)]


def test_the_latest_source_is_the_first_in_the_filter(thinning, kernel):
    for source in (STRANGER, "203.0.113.67"):
        for _ in range(100):
            thinning.count_stranger(source, 5.0)
    assert kernel.filters[-1] == ((ip_network("203.0.113.67"), ip_network(STRANGER)), None)


def test_a_flood_that_goes_on_is_thinned_again_after_the_end_of_thinning(thinning, kernel):
    for second in range(30):
        for _ in range(100):
            thinning.count_stranger(STRANGER, float(second))
        thinning.sweep(second + 0.9)
    assert kernel.filters == [((ip_network(STRANGER),), None)]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 3)), max_size=400))
def test_after_a_flood_of_any_kind_the_filter_is_removed(packets):
    kernel, now = Kernel(), 0.0
    limits = ThinningLimits(stranger=3, known=5, strangers=4, few=2)
    thinning = Thinning(limits, known=lambda now: KNOWN, set_filter=kernel)
    for number, is_known, pause in packets:
        now += pause
        count = thinning.count_known if is_known else thinning.count_stranger
        count(f"203.0.113.{number}", now)
    thinning.sweep(now + THINNING_S + 0.1)
    assert kernel.filters[-1:] in ([], [((), None)])
