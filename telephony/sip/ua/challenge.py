"""The core's own answers to 401 and 407 (RFC 3261 sections 22.2 and 22.3), and their limit.

To answer, the core sends the request again under the same handle, with credentials and the next
CSeq. The application's `Credentials` compute the credentials from the password. The application
receives only a challenge that the core cannot answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import HeaderList, merge
from telephony.sip.transport.address import Address

Credentials = Callable[[Request, Response, Address], tuple[str, str] | None]
"""A function of the application that takes a request, the 401 or 407 to it, and its destination. It
returns the credentials header (name, value) to add, or None if there is no password for the
destination or the password is wrong."""

MAX_CHALLENGES: Final = 4
"""The maximum number of challenges that are answered for one request: one of a proxy, one of a
server, and one more of each for a stale nonce."""


class ChallengeAnswers:
    """The credentials headers that were added to one request so far."""

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
        """Return all credentials headers for the next try of `request`.

        Return None if the application must process `response`: it is not a challenge, we have no
        credentials for it, or there were more than `MAX_CHALLENGES` challenges.
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
        """Return `headers` without the credentials that we added.

        The credentials are left out because they fit only the request for which they were computed.
        """
        return tuple(row for row in headers if row not in self._given)
