"""A request that we sent (RFC 3261 8.1): its composition, its transport and its transactions.

The meaning of the responses is in the room `ua`, retransmission in the room `transaction`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import Draft, compose
from telephony.sip.request.transport_choice import over_tcp
from telephony.sip.transaction.client import ClientTransaction
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import Address


class ClientRequest(ABC):
    """A request that we sent, INVITE or not.

    Attributes:
        request: The request as sent.
        destination: The address to which it was sent.
        local: The address of the socket that sent it.
        response: The final response, once there is one (of several 2xx the first).
        owner: The application's own object for this request; the core only stores it.
    """

    def __init__(
        self, core: Core, draft: Draft, *, owner: object = None, sent: Request | None = None
    ) -> None:
        """Make a request from the draft; `sent` is the request if an earlier process sent it."""
        self.request: Request = sent or compose(core, draft)
        self.destination: Address = draft.destination
        self.local: Address = draft.local.address
        self.response: Response | None = None
        self.owner = owner
        self._core = core
        self._draft = draft
        self._as_datagram: Draft | None = None
        self._transaction: ClientTransaction | None = None
        self._attempt: _Attempt | None = None

    def begin(self, now: float) -> None:
        """Send the request; the core calls this once."""
        longer = over_tcp(self._core, self._draft, self.request, now)
        if longer is not None:
            self._as_datagram = self._draft
            self._take(longer)
        self._attempt = attempt = _Attempt(self, self._core, self.request)
        self._transaction = self._core.transactions.start_client(
            self.request, attempt, self._draft.next_hop, now
        )

    def is_current(self, attempt: _Attempt) -> bool:
        """Return whether `attempt` is the last transaction, the only one that counts."""
        return self._attempt is attempt

    def on_failure(self, status: int, now: float) -> None:
        """Report that no final response will come, or try UDP after a refused TCP (18.1.1)."""
        draft, self._as_datagram = self._as_datagram, None
        if status != 503 or draft is None:
            self._failed(status, now)
            return

        def begin_again(now: float) -> None:
            self._take(draft)
            self.begin(now)

        self._core.tcp_refusals.add(draft.destination, now)
        self._core.timers.at(now, begin_again)

    @abstractmethod
    def on_response(self, response: Response, now: float) -> None:
        """Process a response from the transaction."""

    @abstractmethod
    def on_terminated(self, now: float) -> None:
        """Note that the last transaction is terminated."""

    @abstractmethod
    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will come."""

    def _take(self, draft: Draft) -> None:
        """Take another draft with its own next hop; the request gets a new Via and transaction."""
        self._draft = draft
        self.request = compose(self._core, draft)
        self.destination, self.local = draft.destination, draft.local.address

    def _begin_next(self, draft: Draft, now: float) -> None:
        """Send another version of the request, under this handle."""
        self._as_datagram = None
        self._take(draft)
        self.begin(now)


class IgnoringUser:
    """A transaction user that ignores the answer: for a CANCEL and, except challenges, a PRACK.

    Without a PRACK the callee gives up by itself; a cancelled INVITE has a deadline of its own.
    """

    def __init__(self, core: Core, request: Request) -> None:
        self._core = core
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Ignore the response."""

    def on_failure(self, status: int, now: float) -> None:
        """Ignore that no response will come."""

    def on_terminated(self, now: float) -> None:
        """Remove the terminated transaction."""
        del now
        self._core.transactions.end_client(self._request)


class _Attempt:
    """One transaction of a request; a challenge starts the next one, which then replaces it."""

    def __init__(self, client: ClientRequest, core: Core, request: Request) -> None:
        self._client = client
        self._core = core
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Pass on the response unless another transaction has replaced this one."""
        if self._client.is_current(self):
            self._client.on_response(response, now)

    def on_failure(self, status: int, now: float) -> None:
        """Pass on the failure unless another transaction has replaced this one."""
        if self._client.is_current(self):
            self._client.on_failure(status, now)

    def on_terminated(self, now: float) -> None:
        """Remove the transaction; if it is the request's last one, the request is over."""
        self._core.transactions.end_client(self._request)
        if self._client.is_current(self):
            self._client.on_terminated(now)
