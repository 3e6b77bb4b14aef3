"""The state that all request handles of one endpoint share, such as dialogs and credentials."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from telephony.sip.dialog.dialog import CheckSource, Dialog, Dialogs
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.request.compose import Draft
from telephony.sip.transaction.core import Core
from telephony.sip.ua.challenge import Credentials
from telephony.sip.ua.reliable import PrackKey, ReliableSequence
from telephony.sip.ua.repeated_2xx import AckKey, Repeated2xx


class UserAgent:
    """The state of one user agent (RFC 3261 section 6): dialogs and unacknowledged responses.

    Attributes:
        credentials: Returns credentials for a 401 or 407. If None, the application gets each
            challenge.
        check_source: Decides about a request in a dialog from an unknown host. None accepts it.
        awaiting_ack: What repeats each 2xx that waits for its ACK.
        awaiting_prack: What repeats each reliable provisional response that waits for its PRACK.
    """

    def __init__(
        self, core: Core, open_request: Callable[[UserAgent, Dialog, Draft], ClientRequest]
    ) -> None:
        """Start without dialogs; `open_request` makes the handle of a request within a dialog."""
        self.core = core
        self.dialogs = Dialogs(core, partial(open_request, self))
        self.credentials: Credentials | None = None
        self.check_source: CheckSource | None = None
        self.awaiting_ack: dict[AckKey, Repeated2xx] = {}
        self.awaiting_prack: dict[PrackKey, ReliableSequence] = {}
