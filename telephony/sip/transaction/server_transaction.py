"""Server transactions (RFC 3261 section 17.2, with the state Accepted of RFC 6026).

For a repeated request, they send their most recent response again (except a 2xx to an INVITE), with
no other effect. The "user" (transaction user) responds to the request, and itself repeats a 2xx to
an INVITE until the ACK arrives (RFC 3261 section 13.3.1.4).
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Protocol

from telephony.sip.transaction.client_transaction import NO_USER, Send
from telephony.sip.transaction.timers import Timer, TimerQueue, Timings

logger = logging.getLogger(__name__)


class ServerState(enum.Enum):
    """The states of both state machines (RFC 3261, figures 7 and 8; Accepted is of RFC 6026)."""

    TRYING = "trying"
    """A non-INVITE request has arrived. No response was sent yet."""
    PROCEEDING = "proceeding"
    """No final response was sent. For a non-INVITE request, a provisional response was sent."""
    COMPLETED = "completed"
    """A final response was sent, for an INVITE a non-2xx.

    Over UDP, the response to an INVITE is repeated until its ACK arrives, for at most 64*T1.
    """
    CONFIRMED = "confirmed"
    """The ACK to our non-2xx has arrived. Copies of the INVITE and of the ACK are dropped."""
    ACCEPTED = "accepted"
    """A 2xx to an INVITE was sent. Copies of the INVITE are dropped."""
    TERMINATED = "terminated"


class ServerUser(Protocol):
    """The transaction user of a server transaction: the object that responds to the request."""

    def on_acknowledged(self, now: float) -> None:
        """Process the ACK to our non-2xx, or the end of the wait for this ACK (timer H)."""

    def on_terminated(self, now: float) -> None:
        """Process the end of the transaction, which has just forgotten the user."""


class ServerTransaction:
    """The base class of the INVITE and the non-INVITE server transaction.

    `tag` is the To tag of the response to a CANCEL (RFC 3261 section 9.2).
    """

    _first_state = ServerState.TRYING

    def __init__(
        self,
        user: ServerUser,
        *,
        send: Send,
        timers: TimerQueue,
        on_end: Callable[[], None],
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
        reliable: bool = False,
        tag: str = "",
    ) -> None:
        """Start in the first state. `on_end` is called when the transaction has terminated."""
        self.user: ServerUser = user
        self.state = self._first_state
        self.tag = tag
        self._on_end = on_end
        self._send = send
        self._timers = timers
        self._timings = timings
        self._reliable = reliable
        self._last = b""
        self._deadline: Timer | None = None

    @property
    def answered(self) -> bool:
        """True after a final response was sent, or the transaction has ended without one."""
        return self.state not in {ServerState.TRYING, ServerState.PROCEEDING}

    def release_user(self) -> None:
        """Forget the user, so that its memory is free up to 64*T1 before the transaction ends."""
        self.user = NO_USER

    def receive_again(self, now: float) -> None:
        """Process a copy of the request: repeat our most recent response."""
        del now
        self.repeat()

    def repeat(self) -> None:
        """Send the most recent response again. Do nothing before the first response."""
        if self._last:
            self._send(self._last)

    def answer_once(self, data: bytes, now: float) -> None:
        """Send a final response and terminate, so that it is not repeated (RFC 3261 8.2.7)."""
        self._send(data)
        self._terminate(now)

    def send_again(self, data: bytes) -> None:
        """Send an earlier provisional response again, unless a final one was sent."""
        if not self.answered:
            self._send(data)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send the response `data` (bytes). The caller must send nothing after a final response."""
        raise NotImplementedError

    def _set_state(self, state: ServerState, now: float) -> None:
        logger.debug("transaction.state %s %s", type(self).__name__, state.value)
        self.state = state
        if state is ServerState.TERMINATED:
            self._stop_timers()
            self._on_end()
            user, self.user = self.user, NO_USER
            user.on_terminated(now)

    def _stop_timers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _linger(self, state: ServerState, duration: float, now: float) -> None:
        self._stop_timers()
        self._set_state(state, now)
        self._deadline = self._timers.at(now + duration, self._terminate)

    def _terminate(self, now: float) -> None:
        self._set_state(ServerState.TERMINATED, now)


class InviteServerTransaction(ServerTransaction):
    """The INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).

    "Acknowledged" means a call of the user's `on_acknowledged`, "absorbed" that the message is
    dropped, and "G doubled" that the duration of timer G is doubled, to at most T2. Timer G runs
    only over UDP.

    ========== ============== ================================== ===========
    state      input          action                             next state
    ========== ============== ================================== ===========
    proceeding INVITE         last provisional response again    proceeding
    proceeding 1xx to send    send                               proceeding
    proceeding 2xx to send    send, start timer L                accepted
    proceeding 300-699        send, start timers G and H         completed
    completed  INVITE         final response again               completed
    completed  timer G        final response again, G doubled    completed
    completed  timer H        acknowledged (no ACK arrived)      terminated
    completed  ACK            acknowledged, start timer I        confirmed
    confirmed  INVITE, ACK    absorbed                           confirmed
    confirmed  timer I                                           terminated
    accepted   INVITE         absorbed (the user repeats 2xx)    accepted
    accepted   timer L                                           terminated
    ========== ============== ================================== ===========
    """

    _first_state = ServerState.PROCEEDING
    _repeat: Timer | None = None

    def receive_again(self, now: float) -> None:
        """Process a copy of the INVITE as the table of this class shows."""
        if self.state in {ServerState.PROCEEDING, ServerState.COMPLETED}:
            super().receive_again(now)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send the response `data` (bytes) to the INVITE."""
        self._last = data
        self._send(data)
        if status < 200:
            return
        if status < 300:
            self._linger(ServerState.ACCEPTED, self._timings.timeout, now)
            return
        self._set_state(ServerState.COMPLETED, now)
        self._deadline = self._timers.at(now + self._timings.timeout, self._give_up)
        if not self._reliable:
            self._schedule_repeat(self._timings.t1, now)

    def acknowledge(self, now: float) -> None:
        """Process the ACK to our non-2xx response."""
        if self.state is ServerState.COMPLETED:
            self._linger(ServerState.CONFIRMED, 0.0 if self._reliable else self._timings.t4, now)
            self.user.on_acknowledged(now)

    def _schedule_repeat(self, interval: float, now: float) -> None:
        def repeat(now: float) -> None:
            self._send(self._last)
            self._schedule_repeat(min(2 * interval, self._timings.t2), now)

        self._repeat = self._timers.at(now + interval, repeat)

    def _give_up(self, now: float) -> None:
        self.user.on_acknowledged(now)
        self._terminate(now)

    def _stop_timers(self) -> None:
        super()._stop_timers()
        if self._repeat is not None:
            self._repeat.cancel()


class NonInviteServerTransaction(ServerTransaction):
    """The non-INVITE server transaction (RFC 3261 section 17.2.2).

    "Both" means trying and proceeding, "absorbed" that the request is dropped, and "64*T1" that
    this time has passed since `start`.

    ========== ============== ================================= ===========
    state      input          action                            next state
    ========== ============== ================================= ===========
    trying     request        absorbed                          trying
    trying     1xx to send    send                              proceeding
    proceeding request        last provisional response again   proceeding
    both       200-699        send, start timer J               completed
    both       64*T1          (the client has timed out)        terminated
    completed  request        final response again              completed
    completed  timer J                                          terminated
    ========== ============== ================================= ===========
    """

    def start(self, now: float) -> None:
        """Terminate after 64*T1 without a final response: the client waits no longer."""
        self._deadline = self._timers.at(now + self._timings.timeout, self._terminate)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send the response `data` (bytes) to the request."""
        self._last = data
        self._send(data)
        if status >= 200:
            duration = 0.0 if self._reliable else self._timings.timeout
            self._linger(ServerState.COMPLETED, duration, now)
        elif self.state is ServerState.TRYING:
            self._set_state(ServerState.PROCEEDING, now)
