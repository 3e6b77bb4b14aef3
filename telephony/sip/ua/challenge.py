"""Answers to 401 and 407 that the core gives by itself (RFC 3261 22.2, 22.3), and their limit.

The request goes out again under the same handle, with the next CSeq. The application receives a
challenge only if the core cannot answer it. The application's `Credentials` supply the password.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import HeaderList, merge
from telephony.sip.transport.address import Address

Credentials = Callable[[Request, Response, Address], tuple[str, str] | None]
"""Takes a request, its 401 or 407 and its destination; returns the missing header (name, value).
None if there is no password for the destination, or the password is wrong."""

MAX_CHALLENGES: Final = 4
"""Most challenges answered for one request: a proxy's, a server's, and a stale nonce of each."""


class ChallengeAnswers:
    """The credentials that one request has received so far."""

    def __init__(self) -> None:
        """Start without credentials."""
        self._given: HeaderList = ()
        self._challenges = 0

    def take(
        self,
        credentials: Credentials | None,
        request: Request,
        response: Response,
        destination: Address,
    ) -> HeaderList | None:
        """Return all credentials for the next try; None if the application must handle this.

        That is so if `response` is not a challenge, we lack credentials, or `MAX_CHALLENGES` is
        exceeded.
        """
        if response.status not in {401, 407} or credentials is None:
            return None
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            return None
        header = credentials(request, response, destination)
        if header is None:
            return None
        self._given = merge(self._given, (header,))
        return self._given

    def without(self, headers: HeaderList) -> HeaderList:
        """Return the application's own headers: our credentials fit only one request."""
        return tuple(row for row in headers if row not in self._given)
