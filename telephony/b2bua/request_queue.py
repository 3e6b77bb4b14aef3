"""A queue of the non-INVITE requests that we send within a leg's dialog, one at a time.

Our INVITEs within that dialog are sent without the queue, but it stores their callbacks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from telephony.b2bua.headers import HeaderFields
from telephony.errors import ProtocolError
from telephony.sip.client_request import ClientRequest
from telephony.sip.dialog import Dialog
from telephony.sip.message.messages import Response
from telephony.sip.ua.uac import InviteClient

OnResponse = Callable[[Response | None, int, float], None]
"""Called once with the final response, its status and the current time of a request we sent.

Without a final response, the response is None and the status gives the reason, for example 408.
"""
MAX_QUEUED: Final = 64
"""Requests that may wait in the queue of one leg."""


class Sender(Protocol):
    """The part of a leg that a queue uses: the dialog within which the requests are sent."""

    @property
    def dialog(self) -> Dialog | None:
        """The leg's dialog; None if the leg has no dialog."""

    @property
    def talking(self) -> bool:
        """True while the leg's dialog is confirmed and we may send requests within it."""


@dataclass(frozen=True, slots=True)
class _NoSender:
    """The `Sender` of a leg whose call has ended: it sends nothing."""

    dialog: None = None
    talking: bool = False


NO_SENDER: Final = _NoSender()


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A non-INVITE request in the queue; `then` is called when it has ended."""

    method: str
    headers: HeaderFields
    body: bytes
    then: OnResponse


class RequestQueue:
    """The requests that we send within the dialog of one leg."""

    def __init__(self, leg: Sender) -> None:
        """Create a queue without requests."""
        self._leg = leg
        self._waiting: deque[QueuedRequest] = deque()
        self._callbacks: dict[ClientRequest, OnResponse] = {}
        self._unanswered: ClientRequest | None = None
        """The request from this queue that was sent and has no final response yet, or None."""

    def add(self, request: QueuedRequest, now: float) -> bool:
        """Queue a non-INVITE request; return False without a dialog or beyond `MAX_QUEUED`."""
        if not self._leg.talking or len(self._waiting) >= MAX_QUEUED:
            return False
        self._waiting.append(request)
        self._send_next(now)
        return True

    def expect(self, client: ClientRequest, then: OnResponse) -> None:
        """Store the callback `then` of a request that was never in this queue, such as INVITE."""
        self._callbacks[client] = then

    def _send_next(self, now: float) -> None:
        """Send the next waiting request, if no request from this queue is still unanswered."""
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
        except ProtocolError:
            # We cannot send this request, because the peer's BYE has arrived and waits to be
            # handled.
            request.then(None, 481, now)
            return
        self._unanswered = client
        self._callbacks[client] = request.then

    def on_final_response(
        self, client: ClientRequest, response: Response | None, status: int, now: float
    ) -> None:
        """Call the callback of a request that has ended, and send the next waiting request."""
        then = self._callbacks.pop(client, None)
        if self._unanswered is client:
            self._unanswered = None
        if then is not None:
            then(response, status, now)
        self._send_next(now)

    def abandon(self, now: float) -> None:
        """Empty an ended leg's queue: call callbacks with 481, and cancel our open INVITEs."""
        callbacks, self._callbacks = self._callbacks, {}
        waiting, self._waiting = self._waiting, deque()
        self._unanswered = None
        for client in callbacks:
            if isinstance(client, InviteClient):
                # Without a CANCEL, this INVITE could wait for a final response for ever.
                client.cancel(now=now)
        for then in [*callbacks.values(), *(request.then for request in waiting)]:
            then(None, 481, now)
