"""The state that all request handles of one endpoint share, such as dialogs and credentials.

The core sends a request again after a 401 or 407 (RFC 3261 sections 22.2 and 22.3) with the next
CSeq number, at most `MAX_CHALLENGES` times, under the same `ClientRequest`. The application
receives the 401 or 407 if `UserAgent.credentials` is None or returns None, if the INVITE was
cancelled, or after `MAX_CHALLENGES` times.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from telephony.sip.client_request import ClientRequest
from telephony.sip.compose import Draft, HeaderList, merge
from telephony.sip.dialog import CheckSource, Dialog, Dialogs
from telephony.sip.message.messages import Request, Response
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import Address
from telephony.sip.ua.reliable import AckKey, PrackKey, ReliableSequence, Repeated2xx

Credentials = Callable[[Request, Response, Address], tuple[str, str] | None]
"""Returns the credentials (header field) for a request, its 401 or 407, and its destination.

None if there is no password for the destination, or the destination has refused the password.
"""

MAX_CHALLENGES: Final = 4
"""One request is sent again after a challenge at most this many times.

A proxy and a server may each challenge twice, the second time for a stale nonce.
"""


class ChallengeAnswers:
    """All header fields with credentials that the core has added to one request."""

    def __init__(self) -> None:
        self._given: HeaderList = ()
        self._challenges = 0

    def take(
        self,
        credentials: Credentials | None,
        request: Request,
        response: Response,
        destination: Address,
    ) -> HeaderList | None:
        """Return the credentials, for proxy and server, with which to send `request` again.

        None if the application must process `response`: it is no challenge, we have no credentials,
        or the request was challenged more than `MAX_CHALLENGES` times.
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
        """Return `headers` without our credentials, which are valid only for one request."""
        return tuple(row for row in headers if row not in self._given)


class UserAgent:
    """The state of one user agent (RFC 3261 section 6): dialogs and unacknowledged responses.

    Attributes:
        credentials: Returns credentials for a 401 or 407. If None, the application gets each
            challenge.
        check_source: Decides about a request in a dialog from an unknown host. If it is None, the
            request is accepted.
        awaiting_ack: The objects that send each 2xx again until its ACK arrives.
        awaiting_prack: The objects that send each reliable provisional response again until its
            PRACK arrives.
    """

    def __init__(
        self, core: Core, open_request: Callable[[UserAgent, Dialog, Draft], ClientRequest]
    ) -> None:
        """Start without dialogs. `open_request` makes the handle of a request within a dialog."""
        self.core = core
        self.dialogs = Dialogs(core, partial(open_request, self))
        self.credentials: Credentials | None = None
        self.check_source: CheckSource | None = None
        self.awaiting_ack: dict[AckKey, Repeated2xx] = {}
        self.awaiting_prack: dict[PrackKey, ReliableSequence] = {}
