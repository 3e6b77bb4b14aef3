"""The circuit breaker of a directory, by a table of events and times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from net.breaker import BreakerLimits, BreakerState, CircuitBreaker

LIMITS = BreakerLimits(failures=3, rest_s=5, longest_rest_s=20, longest_busy_s=100)


def failing(now=0.0, times=3):
    breaker = CircuitBreaker(LIMITS)
    for _ in range(times):
        assert breaker.begin(now)
        breaker.failed(now)
    return breaker


def test_repeated_failures_open_the_breaker_unless_a_success_is_between_them():
    assert failing(times=2).state(0) is BreakerState.CLOSED
    assert failing(times=3).state(0) is BreakerState.OPEN
    breaker = failing(times=2)
    breaker.succeeded()
    breaker.failed(0)
    breaker.failed(0)
    assert breaker.state(0) is BreakerState.CLOSED


def test_after_the_rest_a_single_request_is_allowed_and_its_success_closes_the_breaker():
    breaker = failing()
    assert not breaker.begin(4.9)
    assert breaker.state(5) is BreakerState.HALF_OPEN
    assert breaker.begin(5)
    assert not breaker.begin(5)
    breaker.succeeded()
    assert breaker.state(5) is BreakerState.CLOSED
    assert breaker.begin(5)


def test_each_failed_attempt_doubles_the_rest_up_to_the_longest_rest():
    breaker, now, rests = failing(), 0.0, []
    for _ in range(4):
        begun = now
        while not breaker.begin(now):
            now += 1
        rests.append(now - begun)
        breaker.failed(now)
    assert rests == [5, 10, 20, 20]


def test_a_success_makes_the_next_rest_short_again():
    breaker = failing()
    assert breaker.begin(5)
    breaker.failed(5)
    assert breaker.begin(15)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(20)
    assert not breaker.begin(24.9)
    assert breaker.begin(25)


def test_a_directory_that_asks_for_a_rest_gets_no_request_until_it_is_over():
    breaker = CircuitBreaker(LIMITS)
    assert breaker.begin(0)
    breaker.asked_for_rest(0, 17)
    assert breaker.state(16.9) is BreakerState.BUSY
    assert not breaker.begin(16.9)
    assert breaker.begin(17)


def test_answers_of_earlier_requests_do_not_shorten_a_rest():
    breaker = CircuitBreaker(LIMITS)
    breaker.asked_for_rest(0, 17)
    breaker.asked_for_rest(1, 5)
    breaker.succeeded()
    breaker.failed(1)
    assert not breaker.begin(16.9)
    assert breaker.state(16.9) is BreakerState.BUSY


def test_a_directory_cannot_ask_for_an_endless_rest():
    breaker = CircuitBreaker(LIMITS)
    breaker.asked_for_rest(0, 1e9)
    assert breaker.begin(100)


def test_a_cancelled_attempt_lets_the_next_request_try():
    breaker = failing()
    assert breaker.begin(5)
    breaker.abandoned()
    assert breaker.begin(5)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "succeeded", "failed", "rest", "abandoned"]),
            st.floats(0, 30),
        ),
        max_size=60,
    )
)
def test_after_the_longest_rest_a_request_is_always_made(events):
    breaker, now, running = CircuitBreaker(LIMITS), 0.0, 0
    for event, passed in events:
        now += passed
        if event == "begin":
            running += breaker.begin(now)
        elif event == "rest":
            breaker.asked_for_rest(now, passed)
        elif running:
            running -= 1
            getattr(breaker, event)(*([now] if event == "failed" else []))
    while running:
        running -= 1
        breaker.abandoned()
    assert breaker.begin(now + LIMITS.longest_busy_s)
