"""Server transactions (RFC 3261 section 17.2, with the Accepted state of RFC 6026).

A server transaction absorbs repeated requests ("absorb": drop without a new effect), and repeats
its last response. "User" is RFC 3261's transaction user: the object that responds to the request.
The user, not the transaction, repeats a 2xx to an INVITE until the ACK arrives (RFC 3261 section
13.3.1.4).
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Protocol

from telephony.sip.transaction.timers import Timer, TimerQueue, Timings

logger = logging.getLogger(__name__)

Send = Callable[[bytes], None]


class ServerState(enum.Enum):
    """The states of both server state machines (RFC 3261, figure 8, and figure 7 with RFC 6026)."""

    TRYING = "trying"
    """A non-INVITE request has arrived; no response was sent yet."""
    PROCEEDING = "proceeding"
    """A provisional response was sent. For an INVITE, this is also the first state, before any
    response."""
    COMPLETED = "completed"
    """A final response was sent. For an INVITE it is a non-2xx, which is repeated until its ACK
    arrives."""
    CONFIRMED = "confirmed"
    """The ACK to our non-2xx response to an INVITE has arrived. Copies of the ACK are absorbed."""
    ACCEPTED = "accepted"
    """A 2xx to an INVITE was sent. Copies of the INVITE are absorbed."""
    TERMINATED = "terminated"


class ServerUser(Protocol):
    """The transaction user of a server transaction: the object that responds to the request."""

    def on_acknowledged(self, now: float) -> None:
        """Note that the wait for the ACK to our non-2xx response to an INVITE is over.

        The ACK has arrived, or timer H has run out.
        """

    def on_terminated(self, now: float) -> None:
        """Note that the transaction is terminated. The transaction calls no method after this."""


class ServerTransaction:
    """The base of both server state machines: it stores the last response and repeats it."""

    _first_state = ServerState.TRYING

    def __init__(
        self,
        user: ServerUser,
        *,
        send: Send,
        timers: TimerQueue,
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
        reliable: bool = False,
    ) -> None:
        self.user = user
        self.state = self._first_state
        self._send = send
        self._timers = timers
        self._timings = timings
        self._reliable = reliable
        self._last = b""
        self._deadline: Timer | None = None

    @property
    def answered(self) -> bool:
        """True once a final response was sent."""
        return self.state not in {ServerState.TRYING, ServerState.PROCEEDING}

    def receive_again(self, now: float) -> None:
        """Process a retransmission of the request: send the last response again, if any."""
        del now
        self.repeat()

    def repeat(self) -> None:
        """Send the last response again, if there is one."""
        if self._last:
            self._send(self._last)

    def answer_once(self, data: bytes, now: float) -> None:
        """Send a final response and terminate immediately (RFC 3261 section 8.2.7)."""
        self._send(data)
        self._terminate(now)

    def send_again(self, data: bytes) -> None:
        """Send the bytes of an earlier provisional response again.

        Do nothing if a final response was sent.
        """
        if not self.answered:
            self._send(data)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response with this status and these bytes.

        The caller of this method must not send a response after a final response.
        """
        raise NotImplementedError

    def _set_state(self, state: ServerState, now: float) -> None:
        logger.debug("transaction.state %s %s", type(self).__name__, state.value)
        self.state = state
        if state is ServerState.TERMINATED:
            self._stop_timers()
            self.user.on_terminated(now)

    def _stop_timers(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _linger(self, state: ServerState, duration: float, now: float) -> None:
        """Enter a state that absorbs retransmissions, and terminate after `duration` seconds."""
        self._stop_timers()
        self._set_state(state, now)
        self._deadline = self._timers.at(now + duration, self._terminate)

    def _terminate(self, now: float) -> None:
        self._set_state(ServerState.TERMINATED, now)


class InviteServerTransaction(ServerTransaction):
    """The INVITE server transaction (RFC 3261 section 17.2.1, RFC 6026 section 7.1).

    "Acknowledged" means that the transaction calls the user's `on_acknowledged`.

    ========== ============== ================================== ===========
    state      input          action                             next state
    ========== ============== ================================== ===========
    proceeding INVITE         last provisional response again    proceeding
    proceeding 1xx to send    send                               proceeding
    proceeding 2xx to send    send, start timer L                accepted
    proceeding 300-699        send, start timers G and H         completed
    completed  INVITE         response again                     completed
    completed  timer G        response again, G doubled to T2    completed
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
        """Process a retransmission of the INVITE by the table of this class."""
        if self.state in {ServerState.PROCEEDING, ServerState.COMPLETED}:
            super().receive_again(now)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response to the INVITE."""
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

    "Both" are the states trying and proceeding.

    ========== ============== ================================= ===========
    state      input          action                            next state
    ========== ============== ================================= ===========
    trying     request        absorbed                          trying
    trying     1xx to send    send                              proceeding
    proceeding request        last provisional response again   proceeding
    both       200-699        send, start timer J               completed
    both       64*T1          (the client has timed out)        terminated
    completed  request        response again                    completed
    completed  timer J                                          terminated
    ========== ============== ================================= ===========
    """

    def start(self, now: float) -> None:
        """Start the wait for the application's response.

        The transaction terminates after 64*T1, because the client stops waiting then.
        """
        self._deadline = self._timers.at(now + self._timings.timeout, self._terminate)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response to the request."""
        self._last = data
        self._send(data)
        if status >= 200:
            duration = 0.0 if self._reliable else self._timings.timeout
            self._linger(ServerState.COMPLETED, duration, now)
        elif self.state is ServerState.TRYING:
            self._set_state(ServerState.PROCEEDING, now)
