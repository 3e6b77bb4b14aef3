"""A limit on how long SIP datagrams keep the event loop busy at a time.

The event loop reads up to 32 datagrams before anything else. If each begins a call, the packets of
all calls wait for a tenth of a second. So datagrams are handled for at most `TURN_S` in one turn of
the event loop, urgent ones first, otherwise in their sequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

TURN_S: Final = 0.005
"""The processor time of a turn, in seconds, after which no further datagram is handled in it."""
T = TypeVar("T")


class DatagramTurns(Generic[T]):
    """The received datagrams that wait for their turn, and the function that handles them."""

    def __init__(
        self,
        handle: Callable[[T], None],
        *,
        clock: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        """Start without datagrams.

        Args:
            handle: Handles one datagram.
            clock: Returns the processor time of this thread in seconds. While other programs have
                the processor, a turn does not get shorter.
            call_soon: Calls a function in the next turn of the event loop.
        """
        self._handle = handle
        self._clock = clock
        self._call_soon = call_soon
        self._urgent: deque[T] = deque()
        self._waiting: deque[T] = deque()
        self._until: float | None = None
        """The processor time at which the present turn ends; None between two turns."""
        self._is_handling = False

    def __len__(self) -> int:
        """Return the number of datagrams that wait."""
        return len(self._urgent) + len(self._waiting)

    def add(self, datagram: T, *, urgent: bool = False) -> None:
        """Handle a datagram now or in a later turn."""
        (self._urgent if urgent else self._waiting).append(datagram)
        if self._until is None:
            self._begin()
        else:
            self._work(self._until)

    def _begin(self) -> None:
        self._until = until = self._clock() + TURN_S
        self._call_soon(self._next_turn)
        self._work(until)

    def _next_turn(self) -> None:
        self._until = None
        if len(self):
            self._begin()

    def _work(self, until: float) -> None:
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while len(self) and self._clock() < until:
                self._handle((self._urgent or self._waiting).popleft())
        finally:
            self._is_handling = False
