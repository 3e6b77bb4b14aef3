"""Answering 401 and 407 in the user's stead (RFC 3261 22.2, 22.3): with what, how often.

The request goes out once more under the same handle, with the next CSeq; the user hears of a
challenge only if it cannot be answered. Whose password it is, the user's `Credentials` know.
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
"""From a request, its 401 or 407 and where it went, to the header (name, value) that it lacked;
None if there is no password for there, or a wrong one."""

MOST: Final = 4
"""Challenges to one request: a proxy's, a server's, and each of them with a stale nonce."""


class Answers:
    """What one request has been asked for so far."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._given: HeaderList = ()
        self._challenges = 0

    def take(
        self, core: Core, request: Request, response: Response, destination: Address
    ) -> HeaderList | None:
        """All credentials that the request wants now; None if the challenge is the user's."""
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
        """The headers that the user gave: a nonce is not for another request."""
        return tuple(row for row in headers if row not in self._given)


class Turn:
    """One transaction of a request: after a challenge there is another, and this is over."""

    def __init__(self, client: ClientRequest, request: Request) -> None:
        self._client = client
        self._request = request

    def on_response(self, response: Response, now: float) -> None:
        """Hand on what still counts."""
        if self._client.is_turn(self):
            self._client.on_response(response, now)

    def on_failure(self, status: int, now: float) -> None:
        """Likewise."""
        if self._client.is_turn(self):
            self._client.on_failure(status, now)

    def on_terminated(self, now: float) -> None:
        """Forget the transaction; the request is over with its last."""
        self._client.end(self._request)
        if self._client.is_turn(self):
            self._client.on_terminated(now)
