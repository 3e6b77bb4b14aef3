"""Answers to 401 and 407 that the core gives by itself (RFC 3261 22.2, 22.3), and their limit.

The request goes out again under the same handle, with the next CSeq. The application receives a
challenge only if the core cannot answer it. The application's `Credentials` supply the password.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from telephony.sip.compose import HeaderList, merge
from telephony.sip.message import Request, Response

if TYPE_CHECKING:
    from telephony.sip.core import Core
    from telephony.sip.events import Address
    from telephony.sip.uac import ClientRequest

Credentials = Callable[[Request, Response, "Address"], tuple[str, str] | None]
"""Takes a request, its 401 or 407 and its destination; returns the missing header (name, value).
None if there is no password for the destination, or the password is wrong."""

MOST: Final = 4
"""Most challenges answered for one request: a proxy's, a server's, and a stale nonce of each."""


class Answers:
    """The credentials that one request has received so far."""

    def __init__(self) -> None:
        """Start without credentials."""
        self._given: HeaderList = ()
        self._challenges = 0

    def take(
        self, core: Core, request: Request, response: Response, destination: Address
    ) -> HeaderList | None:
        """Return all credentials for the next try; None if the application must handle this.

        That is so if `response` is not a challenge, we lack credentials, or `MOST` is exceeded.
        """
        if response.status not in {401, 407} or core.credentials is None:
            return None
        self._challenges += 1
        if self._challenges > MOST:
            return None
        header = core.credentials(request, response, destination)
        if header is None:
            return None
        self._given = merge(self._given, (header,))
        return self._given

    def without(self, headers: HeaderList) -> HeaderList:
        """Return the application's own headers: our credentials fit only one request."""
        return tuple(row for row in headers if row not in self._given)


class Turn:
    """One transaction of a request; a challenge starts the next one, which then replaces it."""

    def __init__(self, client: ClientRequest, request: Request) -> None:
        self._client = client
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Pass on the response unless another transaction has replaced this one."""
        if self._client.is_turn(self):
            self._client.on_response(response, now)

    def on_failure(self, status: int, now: float) -> None:
        """Pass on the failure unless another transaction has replaced this one."""
        if self._client.is_turn(self):
            self._client.on_failure(status, now)

    def on_terminated(self, now: float) -> None:
        """Forget the transaction; if it is the request's last one, the request is over."""
        self._client.end(self._request)
        if self._client.is_turn(self):
            self._client.on_terminated(now)
