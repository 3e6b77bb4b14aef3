"""The base class of a request that we send (RFC 3261 section 8.1): its message and transactions.

A request that is too long for a datagram is sent by TCP (RFC 3261 section 18.1.1). If the peer
refuses TCP, it is sent by UDP. The package `ua` decides what a response means. The package
`transaction` retransmits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final

from telephony.sip.compose import Draft, compose
from telephony.sip.message.messages import Request, Response
from telephony.sip.transaction.client_transaction import ClientTransaction
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import Address, address_of

LONGEST_DATAGRAM: Final = 1300
"""The most bytes of a request for UDP. A longer request is sent by TCP if possible."""


def over_tcp(core: Core, draft: Draft, request: Request, now: float) -> Draft | None:
    """Return the draft changed to TCP if the request is too long for UDP; else None.

    Return None also if we have no TCP address, if the peer has refused TCP in the last ten minutes,
    or if the peer's URI has another address: behind NAT, the peer accepts no connection from us.
    """
    destination = draft.destination
    if destination.reliable or core.tcp_refusals.has(destination, now):
        return None
    target = draft.routes[0].uri if draft.routes else draft.uri
    named = address_of(target)
    if named is not None and named != destination:
        return None
    by_tcp = destination._replace(transport="TCP")
    local = core.local_addresses.reaching(by_tcp, draft.local)
    if local is None or len(bytes(request)) <= LONGEST_DATAGRAM:
        return None
    return replace(draft, destination=by_tcp, local=local, fallback=None)


class ClientRequest(ABC):
    """A request that we send, of any method.

    Attributes:
        request: The request as most recently sent. It is composed again for TCP, for UDP after a
            refusal of TCP, and with credentials. `destination` and `local` are its addresses.
        response: The final response, or the first of several 2xx. None until it arrives.
        owner: An object of the application, for example the call.
    """

    def __init__(
        self, core: Core, draft: Draft, *, owner: object = None, sent: Request | None = None
    ) -> None:
        """Compose the request, or use `sent`, which an earlier process sent. Send nothing yet."""
        self.request: Request = sent or compose(core, draft)
        self.destination: Address = draft.destination
        self.local: Address = draft.local.address
        self.response: Response | None = None
        self.owner = owner
        self._core = core
        self._draft = draft
        self._as_datagram: Draft | None = None
        self._transaction: ClientTransaction | None = None

    def begin(self, now: float) -> None:
        """Send the request. To send it again, first compose it again, with a new Via branch."""
        longer = over_tcp(self._core, self._draft, self.request, now)
        if longer is not None:
            self._as_datagram = self._draft
            self._take(longer)
        attempt = _Attempt(self, self.request)
        self._transaction = self._core.transactions.start_client(
            self.request, attempt, self._draft.next_hop, now
        )

    def on_failure(self, status: int, now: float) -> None:
        """Report the failure (408, 487 or 503), or send by UDP if the peer refused TCP.

        We assume that the peer refused TCP if `status` is 503, and we used TCP only because of the
        request's length (RFC 3261 section 18.1.1).
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
        """Process a response that the most recent transaction of this request has received."""

    @abstractmethod
    def on_terminated(self, now: float) -> None:
        """Handle the end of this request's most recent transaction."""

    @abstractmethod
    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will arrive."""

    def _take(self, draft: Draft) -> None:
        """Compose the request again, with a new Via branch, for the draft's addresses."""
        self._draft = draft
        self.request = compose(self._core, draft)
        self.destination, self.local = draft.destination, draft.local.address

    def _begin_next(self, draft: Draft, now: float) -> None:
        self._as_datagram = None
        self._take(draft)
        self.begin(now)


class _Attempt:
    """One transaction of a request. A challenge or a refusal of TCP starts a new transaction."""

    def __init__(self, client: ClientRequest, request: Request) -> None:
        self._client = client
        self._request = request

    @property
    def _is_current(self) -> bool:
        """True until the request has a newer transaction. After that, results are ignored."""
        return self._client.request is self._request

    def on_response(self, response: Response, now: float) -> None:
        if self._is_current:
            self._client.on_response(response, now)

    def on_failure(self, status: int, now: float) -> None:
        if self._is_current:
            self._client.on_failure(status, now)

    def on_terminated(self, now: float) -> None:
        if self._is_current:
            self._client.on_terminated(now)
