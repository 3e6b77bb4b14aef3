"""The core's own responses to 401 and 407 (RFC 3261 sections 22.2 and 22.3), and their limit.

The core sends the challenged request again with credentials and the next CSeq number. The request
has the same handle as before. The application's function `Credentials` makes the credentials from
the password. The application receives a challenge only if the core has no credentials for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import HeaderList, merge
from telephony.sip.transport.address import Address

Credentials = Callable[[Request, Response, Address], tuple[str, str] | None]
"""A function of the application. It receives a request, the 401 or 407 response, and the request's
destination. It returns the header field (name, value) with the credentials. It returns None if
there is no password for the destination, or if the password is wrong."""

MAX_CHALLENGES: Final = 4
"""The maximum number of challenges for which one request is sent again: one of a proxy, one of a
server, and one more of each because of a stale nonce."""


class ChallengeAnswers:
    """All header fields with credentials that were added to one request."""

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
        """Return all header fields with credentials with which to send `request` again.

        Return None if the application must process `response`. This is so if `response` is not a
        challenge, if we have no credentials for it, or if there were more than `MAX_CHALLENGES`
        challenges.
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

        Credentials are valid only for the one request for which they were made.
        """
        return tuple(row for row in headers if row not in self._given)
