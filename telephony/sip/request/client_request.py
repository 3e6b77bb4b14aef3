"""The base class of a request that we send (RFC 3261 section 8.1): its message and transactions.

The package `ua` decides what a response means. The package `transaction` does the retransmission.
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
    """A request that we send, INVITE or not.

    Attributes:
        request: The request as it was sent.
        destination: The address to which the request was sent.
        local: The address of the socket that sent the request.
        response: The final response; None until it arrives. If there are several 2xx responses, the
            first one.
        owner: The application's own object for this request; the core only stores it.
    """

    def __init__(
        self, core: Core, draft: Draft, *, owner: object = None, sent: Request | None = None
    ) -> None:
        """Compose the request from the draft.

        `sent` is the request if an earlier process has sent it; then nothing is composed.
        """
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
        """Send the request. The core calls this once."""
        longer = over_tcp(self._core, self._draft, self.request, now)
        if longer is not None:
            self._as_datagram = self._draft
            self._take(longer)
        self._attempt = attempt = _Attempt(self, self._core, self.request)
        self._transaction = self._core.transactions.start_client(
            self.request, attempt, self._draft.next_hop, now
        )

    def is_current(self, attempt: _Attempt) -> bool:
        """Return whether `attempt` is the last transaction of this request.

        Only the results of the last transaction are used.
        """
        return self._attempt is attempt

    def on_failure(self, status: int, now: float) -> None:
        """Report that no final response will arrive, with the status 408, 487 or 503.

        If a peer has refused TCP for a long request, send the request by UDP instead (RFC 3261
        section 18.1.1).
        """
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
        """Process a response that the last transaction has received."""

    @abstractmethod
    def on_terminated(self, now: float) -> None:
        """Note that the last transaction of this request is terminated."""

    @abstractmethod
    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will arrive; `status` is the reason."""

    def _take(self, draft: Draft) -> None:
        """Use another draft and its next hop; compose the request with a new Via branch."""
        self._draft = draft
        self.request = compose(self._core, draft)
        self.destination, self.local = draft.destination, draft.local.address

    def _begin_next(self, draft: Draft, now: float) -> None:
        """Compose the request again from another draft, and send it under this handle."""
        self._as_datagram = None
        self._take(draft)
        self.begin(now)


class IgnoringUser:
    """A transaction user that ignores the response, for a request whose response changes nothing.

    It is used for CANCEL and PRACK (for a PRACK, `_Prack` adds answers to challenges). If a PRACK
    is lost, the callee stops waiting after a time. A cancelled INVITE has its own deadline.
    """

    def __init__(self, core: Core, request: Request) -> None:
        self._core = core
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Ignore the response."""

    def on_failure(self, status: int, now: float) -> None:
        """Ignore that no response will arrive."""

    def on_terminated(self, now: float) -> None:
        """Remove the terminated transaction from the core's transactions."""
        del now
        self._core.transactions.end_client(self._request)


class _Attempt:
    """One transaction of a request. After a challenge, a new transaction replaces it."""

    def __init__(self, client: ClientRequest, core: Core, request: Request) -> None:
        self._client = client
        self._core = core
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Pass the response to the request, unless another transaction has replaced this one."""
        if self._client.is_current(self):
            self._client.on_response(response, now)

    def on_failure(self, status: int, now: float) -> None:
        """Pass the failure to the request, unless another transaction has replaced this one."""
        if self._client.is_current(self):
            self._client.on_failure(status, now)

    def on_terminated(self, now: float) -> None:
        """Remove the transaction from the core's transactions.

        Notify the request if this was its last transaction.
        """
        self._core.transactions.end_client(self._request)
        if self._client.is_current(self):
            self._client.on_terminated(now)
