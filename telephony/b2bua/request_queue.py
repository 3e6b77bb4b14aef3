"""Our non-INVITE requests on a leg, sent in order and one at a time.

The queue also knows the callbacks of all our requests within the leg's dialog, INVITEs included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from telephony.b2bua.headers import HeaderFields
from telephony.errors import ProtocolError
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.message.messages import Response
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.ua.uac import InviteClient

OnResponse = Callable[[Response | None, int, float], None]
"""A callback for the end of a request: the final response (None: none came), its status, and now.
"""
MAX_QUEUED: Final = 64
"""The most requests that may wait on one leg."""


class Sender(Protocol):
    """The leg that the requests are sent on."""

    @property
    def dialog(self) -> Dialog | None:
        """The leg's dialog, or None."""

    @property
    def talking(self) -> bool:
        """True while the leg's dialog is confirmed and takes requests."""


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A non-INVITE request that waits for its turn on a leg."""

    method: str
    headers: HeaderFields
    body: bytes
    then: OnResponse


class RequestQueue:
    """The requests of one leg."""

    def __init__(self, leg: Sender) -> None:
        """Create a queue without requests."""
        self._leg = leg
        self._waiting: deque[QueuedRequest] = deque()
        self._callbacks: dict[ClientRequest, OnResponse] = {}
        self._unanswered: ClientRequest | None = None
        """The one queued request that is sent and unanswered."""

    def add(self, request: QueuedRequest, now: float) -> bool:
        """Send a non-INVITE request as soon as the earlier ones are answered.

        Return False if the leg is not talking, or if `MAX_QUEUED` requests already wait.
        """
        if not self._leg.talking or len(self._waiting) >= MAX_QUEUED:
            return False
        self._waiting.append(request)
        self._send_next(now)
        return True

    def expect(self, client: ClientRequest, then: OnResponse) -> None:
        """Call `then` at the end of a request that was sent outside the queue."""
        self._callbacks[client] = then

    def _send_next(self, now: float) -> None:
        """Send the next request, unless one is still unanswered."""
        dialog = self._leg.dialog
        if self._unanswered is not None or not self._waiting:
            return
        if dialog is None or not self._leg.talking:
            return
        request = self._waiting.popleft()
        try:
            client = dialog.request(
                request.method, headers=request.headers, body=request.body, now=now
            )
        except ProtocolError:  # the peer's BYE has arrived and waits to be handled
            request.then(None, 481, now)
            return
        self._unanswered = client
        self._callbacks[client] = request.then

    def on_final_response(
        self, client: ClientRequest, response: Response | None, status: int, now: float
    ) -> None:
        """Handle the end of one of our requests within the dialog, and call its callback."""
        then = self._callbacks.pop(client, None)
        if self._unanswered is client:
            self._unanswered = None
        if then is not None:
            then(response, status, now)
        self._send_next(now)

    def abandon(self, now: float) -> None:
        """Report status 481 to each callback that still waits for a response."""
        callbacks, self._callbacks = self._callbacks, {}
        waiting, self._waiting = self._waiting, deque()
        self._unanswered = None
        for client in callbacks:
            if isinstance(client, InviteClient):
                client.cancel(now=now)  # otherwise it could wait for a final response for ever
        for then in [*callbacks.values(), *(request.then for request in waiting)]:
            then(None, 481, now)
