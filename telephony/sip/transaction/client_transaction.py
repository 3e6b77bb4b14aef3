"""Client transactions (RFC 3261 section 17.1, with the state Accepted of RFC 6026).

Over UDP, they retransmit an INVITE until any response arrives, and another request until a final
response arrives, or until the time is over. They absorb (drop without effect) repeated final
responses, except a 2xx to an INVITE, and send the ACK to a non-2xx. The "user", RFC 3261's
transaction user, receives the responses and does what depends on their meaning: dialogs, forks, the
ACK to a 2xx, and CANCEL.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Final, Protocol

from telephony.sip.message.headers import Headers
from telephony.sip.message.messages import Request, Response
from telephony.sip.transaction.timers import Timer, TimerQueue, Timings

logger = logging.getLogger(__name__)

Send = Callable[[bytes], None]


class ClientState(enum.Enum):
    """The states of both state machines (RFC 3261, figures 5 and 6; Accepted is of RFC 6026)."""

    CALLING = "calling"
    """The INVITE was sent. No response has arrived yet."""
    TRYING = "trying"
    """The non-INVITE request was sent. No response has arrived yet."""
    PROCEEDING = "proceeding"
    """A provisional response has arrived. An INVITE has no time limit in this state."""
    COMPLETED = "completed"
    """A final response has arrived; for an INVITE, a non-2xx. The user does not get copies."""
    ACCEPTED = "accepted"
    """A 2xx to an INVITE has arrived. Each further 2xx, of any fork, goes to the user too."""
    TERMINATED = "terminated"


class ClientUser(Protocol):
    """The transaction user of a client transaction: the object that receives the responses."""

    def on_response(self, response: Response, now: float) -> None:
        """Process a provisional response, the first final one, or a further 2xx to an INVITE."""

    def on_failure(self, status: int, now: float) -> None:
        """Process the failure of the request: no final response will arrive.

        `status` is 408 (timer B or F), 503 (the transport failed), or 487 (no final response even
        after our CANCEL).
        """

    def on_terminated(self, now: float) -> None:
        """Note that no further report follows. The transaction may still absorb responses."""


class IgnoringUser:
    """The user of a client or server transaction that ignores all reports.

    It is for example the user of a CANCEL. A transaction that has nothing more to report gets this
    user: if it and its former user referred to each other, only the garbage collector could free
    them.
    """

    def on_response(self, response: Response, now: float) -> None:
        """Do nothing."""

    def on_failure(self, status: int, now: float) -> None:
        """Do nothing."""

    def on_acknowledged(self, now: float) -> None:
        """Do nothing."""

    def on_terminated(self, now: float) -> None:
        """Do nothing."""


NO_USER: Final = IgnoringUser()


class ClientTransaction:
    """The base class of the INVITE and the non-INVITE client transaction."""

    _first_state = ClientState.TRYING

    def __init__(
        self,
        request: Request,
        user: ClientUser,
        *,
        send: Send,
        timers: TimerQueue,
        on_end: Callable[[], None],
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
        reliable: bool = False,
    ) -> None:
        """Prepare to send `request`. `on_end` is called when the transaction has terminated."""
        self.state = self._first_state
        self._request: Request | None = request
        """The request, from which the ACK to a non-2xx is made; None after the final response."""
        self._method = request.method
        self._on_end = on_end
        self._data = bytes(request)
        self._user: ClientUser = user
        self._send = send
        self._timers = timers
        self._timings = timings
        self._reliable = reliable
        self._repeated = False
        self._interval = timings.t1
        self._retransmission: Timer | None = None
        self._deadline: Timer | None = None

    def start(self, now: float) -> None:
        """Send the request. Start timers A and B (INVITE) or E and F. A and E run only over UDP."""
        self._send(self._data)
        self._deadline = self._timers.at(now + self._timings.timeout, self._timed_out)
        self._schedule_retransmission(now)

    def receive(self, response: Response, now: float) -> None:
        """Process a response that matches this transaction."""
        raise NotImplementedError

    def fail(self, status: int, now: float) -> None:
        """End the transaction with `status`, unless a final response has arrived."""
        if self.state in {ClientState.CALLING, ClientState.TRYING, ClientState.PROCEEDING}:
            self._user.on_failure(status, now)
            self._set_state(ClientState.TERMINATED, now)

    def unreachable(self, now: float) -> None:
        """If no response has come, fail with 503, because the transport cannot reach the peer."""
        if self.state in {ClientState.CALLING, ClientState.TRYING}:
            self.fail(503, now)

    def connection_lost(self, now: float) -> None:
        """Send the request once more over a new connection, unless a response has arrived.

        A peer that has received the request recognises the copy by the Via branch (RFC 3261 section
        17.2.3). If the new connection is lost too, the request fails with 503.
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
        logger.debug("transaction.state %s %s", self._method, state.value)
        self.state = state
        if state is ClientState.TERMINATED:
            self._stop_timers()
            self._on_end()
            user, self._user = self._user, NO_USER
            user.on_terminated(now)

    def _report_last(self, response: Response, now: float) -> None:
        user, self._user = self._user, NO_USER
        self._request, self._data = None, b""
        user.on_response(response, now)
        user.on_terminated(now)

    def _stop_timers(self) -> None:
        for timer in (self._retransmission, self._deadline):
            if timer is not None:
                timer.cancel()

    def _linger(self, state: ClientState, duration: float, now: float) -> None:
        self._stop_timers()
        self._set_state(state, now)
        self._deadline = self._timers.at(now + duration, self._terminate)

    def _terminate(self, now: float) -> None:
        self._set_state(ClientState.TERMINATED, now)


class InviteClientTransaction(ClientTransaction):
    """The INVITE client transaction (RFC 3261 section 17.1.1, RFC 6026 section 7.2).

    "Both" means calling and proceeding, "to the user" that the response is passed to it, and "A
    doubled" that the duration of timer A is doubled.

    ========== ============== ============================== ============
    state      input          action                         next state
    ========== ============== ============================== ============
    calling    timer A        INVITE again, A doubled        calling
    calling    timer B        failure 408                    terminated
    calling    1xx            to the user                    proceeding
    proceeding 1xx            to the user                    proceeding
    both       2xx            to the user, start timer M     accepted
    both       300-699        ACK, to the user, timer D      completed
    accepted   2xx            to the user                    accepted
    accepted   timer M                                       terminated
    completed  300-699        ACK again                      completed
    completed  timer D                                       terminated
    ========== ============== ============================== ============
    """

    _first_state = ClientState.CALLING

    _ack = b""

    def receive(self, response: Response, now: float) -> None:
        """Process a response by this class's table, or drop it if it is not in the table."""
        open_ = self.state in {ClientState.CALLING, ClientState.PROCEEDING}
        if open_ and response.status < 200:
            if self.state is ClientState.CALLING:
                self._stop_timers()
                self._set_state(ClientState.PROCEEDING, now)
            self._user.on_response(response, now)
        elif open_ and response.status < 300:
            self._request, self._data = None, b""
            self._linger(ClientState.ACCEPTED, self._timings.timeout, now)
            self._user.on_response(response, now)
        elif open_ and self._request is not None:
            self._ack = bytes(ack_to_failure(self._request, response))
            self._send(self._ack)
            duration = 0.0 if self._reliable else self._timings.timeout
            self._linger(ClientState.COMPLETED, duration, now)
            self._report_last(response, now)
        elif self.state is ClientState.ACCEPTED and 200 <= response.status < 300:
            self._user.on_response(response, now)
        elif self.state is ClientState.COMPLETED and response.status >= 300:
            self._send(self._ack)

    def _retransmit(self, now: float) -> None:
        self._send(self._data)
        self._interval *= 2
        self._schedule_retransmission(now)


class NonInviteClientTransaction(ClientTransaction):
    """The non-INVITE client transaction (RFC 3261 section 17.1.2).

    "Both" means trying and proceeding, "to the user" that the response is passed to it, "absorbed"
    that it is dropped, and "E doubled" that the duration of timer E is doubled, to at most T2.

    ========== ============== ================================ ==========
    state      input          action                           next state
    ========== ============== ================================ ==========
    trying     timer E        request again, E doubled         trying
    proceeding timer E        request again, E = T2            proceeding
    both       timer F        failure 408                      terminated
    both       1xx            to the user                      proceeding
    both       200-699        to the user, start timer K       completed
    completed  any response   absorbed                         completed
    completed  timer K                                         terminated
    ========== ============== ================================ ==========
    """

    def receive(self, response: Response, now: float) -> None:
        """Process a response as the table of this class shows."""
        if self.state not in {ClientState.TRYING, ClientState.PROCEEDING}:
            return
        if response.status < 200:
            if self.state is ClientState.TRYING:
                self._set_state(ClientState.PROCEEDING, now)
            self._user.on_response(response, now)
        else:
            duration = 0.0 if self._reliable else self._timings.t4
            self._linger(ClientState.COMPLETED, duration, now)
            self._report_last(response, now)

    def _retransmit(self, now: float) -> None:
        self._send(self._data)
        trying = self.state is ClientState.TRYING
        self._interval = min(2 * self._interval, self._timings.t2) if trying else self._timings.t2
        self._schedule_retransmission(now)


def ack_to_failure(invite: Request, response: Response) -> Request:
    """Return the ACK to a non-2xx, with the INVITE's branch and Route (RFC 3261 17.1.1.3)."""
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
