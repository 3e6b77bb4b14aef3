"""The state that the handles of one endpoint share above its transactions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from telephony.sip.dialog.dialog import Dialog, Dialogs
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.request.compose import Draft
from telephony.sip.transaction.core import Core
from telephony.sip.ua.challenge import Credentials
from telephony.sip.ua.reliable import PrackKey, ReliableSequence
from telephony.sip.ua.repeated_2xx import AckKey, Repeated2xx


class UserAgent:
    """One user agent (RFC 3261 6): its core, its dialogs, and the responses that wait.

    Attributes:
        core: The state below the dialogs.
        dialogs: The early and confirmed dialogs.
        credentials: Answers challenges; None to leave each challenge to the application.
        awaiting_ack: The 2xx responses that wait for their ACK.
        awaiting_prack: The reliable provisional responses that wait for their PRACK.
    """

    def __init__(
        self, core: Core, open_request: Callable[[UserAgent, Dialog, Draft], ClientRequest]
    ) -> None:
        """Start without dialogs; `open_request` makes the handles of requests in a dialog."""
        self.core = core
        self.dialogs = Dialogs(core, partial(open_request, self))
        self.credentials: Credentials | None = None
        self.awaiting_ack: dict[AckKey, Repeated2xx] = {}
        self.awaiting_prack: dict[PrackKey, ReliableSequence] = {}
