"""Client transactions (RFC 3261 17.1, with the Accepted state of RFC 6026).

They retransmit requests, absorb repeated responses, time out, and send the ACK to a non-2xx.
Their user handles the meaning of a response: dialogs, forks, the ACK to a 2xx, CANCEL. "User" here
is RFC 3261's transaction user: the object that receives the responses.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Protocol

from telephony.sip.message.messages import Headers, Request, Response
from telephony.sip.transaction.timers import Timer, TimerQueue, Timings

logger = logging.getLogger(__name__)

Send = Callable[[bytes], None]


class ClientState(enum.Enum):
    """The states of both client state machines (figure 5 as amended by RFC 6026, and figure 6)."""

    CALLING = "calling"
    """INVITE sent, no response yet."""
    TRYING = "trying"
    """Non-INVITE sent, no response yet."""
    PROCEEDING = "proceeding"
    """A provisional response came. For INVITE this state has no timer: it may ring for ever."""
    COMPLETED = "completed"
    """A final response came (INVITE: a non-2xx); its copies are absorbed."""
    ACCEPTED = "accepted"
    """INVITE: a 2xx came; further 2xx, from this fork or others, go to the user."""
    TERMINATED = "terminated"


class ClientUser(Protocol):
    """The transaction user of a client transaction."""

    def on_response(self, response: Response, now: float) -> None:
        """Take a response that is not a retransmission, or any 2xx to INVITE."""

    def on_failure(self, status: int, now: float) -> None:
        """Note that no final response will come: 408 (timer B or F) or 503 (transport)."""

    def on_terminated(self, now: float) -> None:
        """Note that the transaction is terminated; always the last call."""


class ClientTransaction:
    """The common base of both client state machines: one request, its retransmission, its end."""

    _first_state = ClientState.TRYING

    def __init__(
        self,
        request: Request,
        user: ClientUser,
        *,
        send: Send,
        timers: TimerQueue,
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
        reliable: bool = False,
    ) -> None:
        self.request = request
        self.state = self._first_state
        self._data = bytes(request)
        self._user = user
        self._send = send
        self._timers = timers
        self._timings = timings
        self._reliable = reliable
        self._repeated = False
        self._interval = timings.t1
        self._retransmission: Timer | None = None
        self._deadline: Timer | None = None

    def start(self, now: float) -> None:
        """Send the request; start timers A and B, or E and F."""
        self._send(self._data)
        self._deadline = self._timers.at(now + self._timings.timeout, self._timed_out)
        self._schedule_retransmission(now)

    def receive(self, response: Response, now: float) -> None:
        """Process a response that matches this transaction."""
        raise NotImplementedError

    def fail(self, status: int, now: float) -> None:
        """End the transaction with `status` (transport error, CANCEL unanswered).

        After a final response this does nothing.
        """
        if self.state in {ClientState.CALLING, ClientState.TRYING, ClientState.PROCEEDING}:
            self._user.on_failure(status, now)
            self._set_state(ClientState.TERMINATED, now)

    def unreachable(self, now: float) -> None:
        """End with 503, as the transport has failed; do nothing if a response has come."""
        if self.state in {ClientState.CALLING, ClientState.TRYING}:
            self.fail(503, now)

    def connection_lost(self, now: float) -> None:
        """Handle that the connection is lost over which the request, perhaps, never arrived.

        Without a response, send the request once more over another connection: the peer recognises
        a copy by its branch (RFC 3261 17.2.3). If that is lost too, the request fails with 503.
        """
        if self._repeated or self.state not in {ClientState.CALLING, ClientState.TRYING}:
            self.unreachable(now)
        else:
            self._repeated = True
            self._send(self._data)

    def _timed_out(self, now: float) -> None:
        self.fail(408, now)

    def _schedule_retransmission(self, now: float) -> None:
        if not self._reliable:
            self._retransmission = self._timers.at(now + self._interval, self._retransmit)

    def _retransmit(self, now: float) -> None:
        raise NotImplementedError

    def _set_state(self, state: ClientState, now: float) -> None:
        logger.debug("transaction.state %s %s", self.request.method, state.value)
        self.state = state
        if state is ClientState.TERMINATED:
            self._stop_timers()
            self._user.on_terminated(now)

    def _stop_timers(self) -> None:
        for timer in (self._retransmission, self._deadline):
            if timer is not None:
                timer.cancel()

    def _linger(self, state: ClientState, duration: float, now: float) -> None:
        """Enter a state that absorbs retransmissions for `duration` seconds, then terminate."""
        self._stop_timers()
        self._set_state(state, now)
        self._deadline = self._timers.at(now + duration, self._terminate)

    def _terminate(self, now: float) -> None:
        self._set_state(ClientState.TERMINATED, now)


class InviteClientTransaction(ClientTransaction):
    """The INVITE client transaction (RFC 3261 17.1.1, RFC 6026 7.2).

    ========== ============== ============================== ============
    state      input          action                         next
    ========== ============== ============================== ============
    calling    timer A        INVITE again, A doubled        calling
    calling    timer B        failure 408                    terminated
    calling    1xx            to the user                    proceeding
    proceeding 1xx            to the user                    proceeding
    both       2xx            to the user, timer M           accepted
    both       300-699        ACK, to the user, timer D      completed
    accepted   2xx            to the user                    accepted
    accepted   timer M                                       terminated
    completed  300-699        ACK again                      completed
    completed  timer D                                       terminated
    ========== ============== ============================== ============
    """

    _first_state = ClientState.CALLING
    _ack: bytes = b""

    def receive(self, response: Response, now: float) -> None:
        """Process a response by the table above; drop a response that the table does not name."""
        open_ = self.state in {ClientState.CALLING, ClientState.PROCEEDING}
        if open_ and response.status < 200:
            if self.state is ClientState.CALLING:
                self._stop_timers()
                self._set_state(ClientState.PROCEEDING, now)
            self._user.on_response(response, now)
        elif open_ and response.status < 300:
            self._linger(ClientState.ACCEPTED, self._timings.timeout, now)
            self._user.on_response(response, now)
        elif open_:
            self._ack = bytes(ack_to_failure(self.request, response))
            self._send(self._ack)
            duration = 0.0 if self._reliable else self._timings.timeout
            self._linger(ClientState.COMPLETED, duration, now)
            self._user.on_response(response, now)
        elif self.state is ClientState.ACCEPTED and 200 <= response.status < 300:
            self._user.on_response(response, now)
        elif self.state is ClientState.COMPLETED and response.status >= 300:
            self._send(self._ack)

    def _retransmit(self, now: float) -> None:
        self._send(self._data)
        self._interval *= 2
        self._schedule_retransmission(now)


class NonInviteClientTransaction(ClientTransaction):
    """The non-INVITE client transaction (RFC 3261 17.1.2).

    ========== ============== ================================ ==========
    state      input          action                           next
    ========== ============== ================================ ==========
    trying     timer E        again, E doubled up to T2        trying
    proceeding timer E        again, E = T2                    proceeding
    both       timer F        failure 408                      terminated
    both       1xx            to the user                      proceeding
    both       200-699        to the user, timer K             completed
    completed  any response   absorbed                         completed
    completed  timer K                                         terminated
    ========== ============== ================================ ==========
    """

    def receive(self, response: Response, now: float) -> None:
        """Process a response by the table above."""
        if self.state not in {ClientState.TRYING, ClientState.PROCEEDING}:
            return
        if response.status < 200:
            if self.state is ClientState.TRYING:
                self._set_state(ClientState.PROCEEDING, now)
        else:
            duration = 0.0 if self._reliable else self._timings.t4
            self._linger(ClientState.COMPLETED, duration, now)
        self._user.on_response(response, now)

    def _retransmit(self, now: float) -> None:
        self._send(self._data)
        trying = self.state is ClientState.TRYING
        self._interval = min(2 * self._interval, self._timings.t2) if trying else self._timings.t2
        self._schedule_retransmission(now)


def ack_to_failure(invite: Request, response: Response) -> Request:
    """Return the ACK to a non-2xx: same branch and route as the INVITE (RFC 3261 17.1.1.3)."""
    headers = Headers()
    headers.add("Via", str(invite.via))
    for route in invite.headers.get_all("Route"):
        headers.add("Route", route)
    headers.add("Max-Forwards", invite.headers.get("Max-Forwards") or "70")
    headers.add("From", invite.headers.get("From") or "")
    headers.add("To", response.headers.get("To") or "")
    headers.add("Call-ID", invite.call_id)
    headers.add("CSeq", f"{invite.cseq.number} ACK")
    return Request("ACK", invite.uri, headers)
