"""Server transactions (RFC 3261 17.2, with the Accepted state of RFC 6026).

They absorb repeated requests and repeat the last response. Their user, not this module, repeats a
2xx until its ACK comes (RFC 3261 13.3.1.4). The "user" here is RFC 3261's transaction user: the
object that responds to the request.
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
    """The states of both server state machines (figure 7 as amended by RFC 6026, and figure 8)."""

    TRYING = "trying"
    """A non-INVITE came, nothing sent yet."""
    PROCEEDING = "proceeding"
    """A provisional response was sent (INVITE: or will be sent soon)."""
    COMPLETED = "completed"
    """A final response was sent (INVITE: a non-2xx, repeated until its ACK)."""
    CONFIRMED = "confirmed"
    """INVITE: the ACK to our non-2xx came; its copies are absorbed."""
    ACCEPTED = "accepted"
    """INVITE: a 2xx was sent; copies of the INVITE are absorbed."""
    TERMINATED = "terminated"


class ServerUser(Protocol):
    """The transaction user of a server transaction."""

    def on_acknowledged(self, now: float) -> None:
        """Note that the ACK to our non-2xx to an INVITE came, or that timer H gave up on it."""

    def on_terminated(self, now: float) -> None:
        """Note that the transaction is terminated; always the last call."""


class ServerTransaction:
    """The common base of both server state machines: the last response, repeated on demand."""

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
        """Process a retransmission of the request: repeat the last response, if any."""
        del now
        self.repeat()

    def repeat(self) -> None:
        """Send the last response again, if there is one."""
        if self._last:
            self._send(self._last)

    def answer_once(self, data: bytes, now: float) -> None:
        """Send a final response and terminate at once (RFC 3261 8.2.7)."""
        self._send(data)
        self._terminate(now)

    def send_again(self, data: bytes) -> None:
        """Repeat an earlier provisional response, unless a final response was sent."""
        if not self.answered:
            self._send(data)

    def respond(self, status: int, data: bytes, now: float) -> None:
        """Send a response; the caller of this method sends none after a final one."""
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
        """Enter a state that absorbs retransmissions for `duration` seconds, then terminate."""
        self._stop_timers()
        self._set_state(state, now)
        self._deadline = self._timers.at(now + duration, self._terminate)

    def _terminate(self, now: float) -> None:
        self._set_state(ServerState.TERMINATED, now)


class InviteServerTransaction(ServerTransaction):
    """The INVITE server transaction (RFC 3261 17.2.1, RFC 6026 7.1).

    ========== ============== ================================== ===========
    state      input          action                             next
    ========== ============== ================================== ===========
    proceeding INVITE         last provisional again             proceeding
    proceeding 1xx to send    send                               proceeding
    proceeding 2xx to send    send, timer L                      accepted
    proceeding 300-699        send, timers G and H               completed
    completed  INVITE         response again                     completed
    completed  timer G        response again, G doubled to T2    completed
    completed  timer H        acknowledged (given up)            terminated
    completed  ACK            acknowledged, timer I              confirmed
    confirmed  INVITE, ACK    absorbed                           confirmed
    confirmed  timer I                                           terminated
    accepted   INVITE         absorbed (the user repeats 2xx)    accepted
    accepted   timer L                                           terminated
    ========== ============== ================================== ===========
    """

    _first_state = ServerState.PROCEEDING
    _repeat: Timer | None = None

    def receive_again(self, now: float) -> None:
        """Process a retransmission of the INVITE."""
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
        """Process a matching ACK: it belongs to a non-2xx."""
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
    """The non-INVITE server transaction (RFC 3261 17.2.2).

    ========== ============== =========================== ===========
    state      input          action                      next
    ========== ============== =========================== ===========
    trying     request        absorbed                    trying
    trying     1xx to send    send                        proceeding
    proceeding request        last provisional again      proceeding
    both       200-699        send, timer J               completed
    both       64*T1          (the client gives up)       terminated
    completed  request        response again              completed
    completed  timer J                                    terminated
    ========== ============== =========================== ===========
    """

    def start(self, now: float) -> None:
        """Wait for the application's response; terminate after 64*T1, when the client gives up."""
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
