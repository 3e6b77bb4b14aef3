"""A phone's requests outside calls: REGISTER (RFC 3261 section 10.2) and OPTIONS (section 11)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

import structlog

from telephony.errors import ParseError
from telephony.phone.account import PhoneAccount
from telephony.phone.state import CallFailedError, RegistrationError
from telephony.sip.events import Address, StandaloneResponse
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri

logger = structlog.get_logger(__name__)

EXPIRES: Final = 300
"""The lifetime of the registration that we request, in seconds."""
_RETRY: Final = 20.0
"""The seconds between a failed refresh of the registration and the next attempt."""
_TRIES: Final = 4


class PhoneRequest:
    """A request to the phone's server outside calls.

    Attributes:
        client: The handle of the request. Its `owner` is this object.
        result: The final event. Its `response` is None if the server sent no final response.
    """

    def __init__(
        self,
        account: PhoneAccount,
        method: str,
        to: NameAddr,
        headers: Iterable[tuple[str, str]] = (),
        last: Request | None = None,
    ) -> None:
        """Send the request. With `last`, use its From and Call-ID, and the next CSeq."""
        self.result: asyncio.Future[StandaloneResponse]
        self.result = asyncio.get_running_loop().create_future()
        self.client = account.transport.endpoint.request(
            method,
            account.domain,
            from_=last.from_ if last else account.address,
            to=to,
            destination=account.server,
            headers=headers,
            call_id=last.call_id if last else None,
            cseq=last.cseq.number + 1 if last else 1,
            owner=self,
            now=account.now,
        )
        account.transport.flush()

    def on_response(self, event: StandaloneResponse) -> None:
        """Complete `result`, unless `event` has a provisional response."""
        if (event.response is None or event.status >= 200) and not self.result.done():
            self.result.set_result(event)


async def ping(account: PhoneAccount) -> int:
    """Send OPTIONS to the account's server; return the final status. Raises `CallFailedError`."""
    event = await PhoneRequest(account, "OPTIONS", NameAddr("", account.domain)).result
    if event.response is None:
        raise CallFailedError("no response to OPTIONS", event.status, unreachable=True)
    return event.status


class RegistrationClient:
    """The registration of one phone: one Call-ID, and a CSeq that grows by one each time."""

    def __init__(self, account: PhoneAccount, contact: Address) -> None:
        """Prepare the registration; `contact` is where the server sends calls for this phone."""
        self._account = account
        how = contact.transport.lower()
        parameters = (("transport", how),) if contact.reliable else ()
        self._contact = NameAddr(
            "", Uri("sip", account.username, None, contact.host, contact.port, parameters)
        )
        self._last: PhoneRequest | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    async def start(self) -> None:
        """Register, and renew in the background until `stop`. Raises `RegistrationError`."""
        granted = await self._register(EXPIRES)
        self._refresh = asyncio.create_task(self._keep(granted))

    async def stop(self) -> None:
        """Remove the registration from the server. If this fails, only a log entry is made."""
        if self._refresh is None:
            return
        self._refresh.cancel()
        self._refresh = None
        try:
            await self._register(0)
        except RegistrationError as error:
            logger.info("phone.not_unregistered", status=error.status)

    def on_lost(self) -> None:
        """Register again, because the connection by which the server reaches this phone is lost."""
        self._lost.set()

    async def _keep(self, granted: int) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), granted / 2)
            granted = 0
            while not granted:
                self._lost.clear()
                try:
                    granted = await self._register(EXPIRES)
                except RegistrationError as error:
                    logger.warning("phone.registration_lost", status=error.status)
                    await asyncio.sleep(_RETRY)

    async def _register(self, expires: int) -> int:
        """Send REGISTER, and again after a 423; return the granted lifetime in seconds."""
        account = self._account
        for _ in range(_TRIES):
            headers = (("Contact", str(self._contact)), ("Expires", str(expires)))
            last = self._last.client.request if self._last is not None else None
            self._last = PhoneRequest(account, "REGISTER", account.address, headers, last)
            event = await self._last.result
            response, status = event.response, event.status
            if response is not None and status < 300:
                return self._granted(response, expires)
            if response is None or status != 423:
                break
            expires = _seconds(response.headers.get("Min-Expires"), expires)
        raise RegistrationError(status, unreachable=response is None)

    def _granted(self, response: Response, asked: int) -> int:
        try:
            contacts = response.contacts
        except ParseError:
            contacts = []
        ours = (c for c in contacts if c.uri.equivalent(self._contact.uri))
        given = next((c.parameter("expires") for c in ours), None)
        return max(1, _seconds(given or response.headers.get("Expires"), asked))


def _seconds(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else otherwise
