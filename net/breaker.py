"""A circuit breaker: after repeated failures, a server gets no requests for a while.

After the rest, one request tries whether the server works again. If it does, the breaker closes. If
it does not, the next rest is twice as long, up to a limit. A server that asks for a rest also gets
no requests, for example after HTTP 503 with Retry-After (RFC 9110, section 10.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """The state of a circuit breaker."""

    CLOSED = "closed"
    """Requests are made."""
    OPEN = "open"
    """The server has failed: no request is made until the rest is over."""
    BUSY = "busy"
    """The server has asked for a rest: no request is made until it is over."""
    HALF_OPEN = "half_open"
    """The rest is over: one request tries whether the server works again."""


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """The limits of a circuit breaker. Durations are in seconds."""

    failures: int = 5
    """The failures in succession after which the breaker opens."""
    rest_s: float = 5.0
    """The first rest. Each further rest is twice as long, but at most `longest_rest_s`."""
    longest_rest_s: float = 60.0
    longest_busy_s: float = 3600.0
    """The longest rest that the server itself can ask for."""


class CircuitBreaker:
    """The circuit breaker of one server. Times are in monotonic seconds."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._rest_s = limits.rest_s
        self._until = 0.0
        self._state = BreakerState.CLOSED

    def state(self, now: float) -> BreakerState:
        """Return the state at the time `now`."""
        resting = self._state in {BreakerState.OPEN, BreakerState.BUSY}
        return BreakerState.HALF_OPEN if resting and now >= self._until else self._state

    def begin(self, now: float) -> bool:
        """Return whether a request may be made. In HALF_OPEN, only one at a time may be made."""
        if self._state is BreakerState.CLOSED:
            return True
        if self.state(now) is not BreakerState.HALF_OPEN or self._state is BreakerState.HALF_OPEN:
            return False
        self._state = BreakerState.HALF_OPEN
        return True

    def succeeded(self) -> None:
        """Report that a request was answered."""
        if self._state in {BreakerState.CLOSED, BreakerState.HALF_OPEN}:
            self._failures, self._rest_s = 0, self._limits.rest_s
            self._state = BreakerState.CLOSED

    def failed(self, now: float) -> None:
        """Report that a request failed."""
        self._failures += 1
        if self._state is BreakerState.HALF_OPEN or (
            self._state is BreakerState.CLOSED and self._failures >= self._limits.failures
        ):
            self._state, self._until = BreakerState.OPEN, now + self._rest_s
            self._rest_s = min(self._rest_s * 2, self._limits.longest_rest_s)

    def asked_for_rest(self, now: float, seconds: float) -> None:
        """Report that the server has asked us to send no requests for `seconds`."""
        until = now + min(seconds, self._limits.longest_busy_s)
        self._until = max(self._until, until) if self._state is BreakerState.BUSY else until
        self._state = BreakerState.BUSY

    def abandoned(self) -> None:
        """Report that a request was cancelled before its result was known."""
        if self._state is BreakerState.HALF_OPEN:
            self._state = BreakerState.OPEN
