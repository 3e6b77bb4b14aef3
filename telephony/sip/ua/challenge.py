"""The credentials with which the core sends a request again after a 401 or 407.

See RFC 3261 sections 22.2 and 22.3. The core sends the challenged request again with credentials
and the next CSeq number, at most `MAX_CHALLENGES` times. The `ClientRequest` object stays the
same. The application's function `Credentials` makes the credentials from the password. The
application receives the 401 or 407 only if there is no such function, if the function returns None,
or after `MAX_CHALLENGES` attempts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from telephony.sip.message.messages import Request, Response
from telephony.sip.request.compose import HeaderList, merge
from telephony.sip.transport.address import Address

Credentials = Callable[[Request, Response, Address], tuple[str, str] | None]
"""A function of the application. It receives a request, the 401 or 407 response, and the request's
destination. It returns the header field (name, value) with the credentials. It returns None if the
application has no password for the destination, or if the destination has refused the password."""

MAX_CHALLENGES: Final = 4
"""The maximum number of times that one request is sent again after a challenge.

A proxy and a server may each challenge the request twice: the second time because the nonce was
stale.
"""


class ChallengeAnswers:
    """All header fields with credentials that the core has added to one request."""

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
        """Return the credentials (header fields) with which `request` must be sent again.

        If both a proxy and a server have challenged the request, the result has both header fields,
        Proxy-Authorization and Authorization. Return None if `response` is not a challenge, if we
        have no credentials for it, or if there were more than `MAX_CHALLENGES` challenges. In
        these cases, the application must process `response`.
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
        """Return the header fields `headers` of the request without the credentials that we added.

        Credentials are valid only for the one request for which they were made.
        """
        return tuple(row for row in headers if row not in self._given)
