"""A phone's OPTIONS request, which checks that the server answers (RFC 3261 section 11)."""

from __future__ import annotations

import asyncio

from telephony.phone.account import PhoneAccount
from telephony.phone.state import CallFailedError
from telephony.sip.events import StandaloneResponse
from telephony.sip.message.header_values import NameAddr


class Ping:
    """An OPTIONS request that we have sent and that has no final response yet."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[StandaloneResponse]
        self.answer = asyncio.get_running_loop().create_future()

    def on_response(self, event: StandaloneResponse) -> None:
        """Handle a final response or the lack of one; ignore a provisional response."""
        if (event.response is None or event.status >= 200) and not self.answer.done():
            self.answer.set_result(event)


async def ping(account: PhoneAccount) -> int:
    """Send OPTIONS to the account's server, and return the final status.

    Raises:
        CallFailedError: The server does not answer.
    """
    waiting = Ping()
    account.transport.endpoint.request(
        "OPTIONS",
        account.domain,
        from_=account.address,
        to=NameAddr("", account.domain),
        destination=account.server,
        owner=waiting,
        now=account.now,
    )
    account.transport.flush()
    event = await waiting.answer
    if event.response is None:
        raise CallFailedError("no response to OPTIONS", event.status, unreachable=True)
    return event.status
