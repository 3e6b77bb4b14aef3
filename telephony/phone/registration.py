"""Make, refresh and remove a phone's registration by REGISTER (RFC 3261 section 10.2)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from telephony.errors import ParseError
from telephony.phone.account import PhoneAccount
from telephony.phone.state import RegistrationError
from telephony.sip.events import Address, StandaloneResponse
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response
from telephony.sip.message.uri import Uri
from telephony.sip.ua.client import NonInviteClient

logger = structlog.get_logger(__name__)

EXPIRES: Final = 300
"""The lifetime of the registration that we request, in seconds."""
_RETRY: Final = 20.0
"""The seconds between a failed refresh of the registration and the next attempt."""
_TRIES: Final = 4


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
        self._last: NonInviteClient | None = None
        self._answer: asyncio.Future[tuple[Response | None, int]] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    async def start(self) -> None:
        """Register the phone, and refresh the registration in the background until `stop`.

        Raises:
            RegistrationError: The server refused the registration or did not answer.
        """
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

    def on_response(self, event: StandaloneResponse) -> None:
        """Handle the end of our REGISTER, with or without a response; ignore a provisional one."""
        final = event.response is None or event.status >= 200
        if final and self._answer is not None and not self._answer.done():
            self._answer.set_result((event.response, event.status))

    def on_lost(self) -> None:
        """Register again now: without its connection, the server cannot reach this phone."""
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
        """Send REGISTER, if asked with credentials; return the granted lifetime in seconds."""
        headers = [("Contact", str(self._contact)), ("Expires", str(expires))]
        response, status = None, 0
        for _ in range(_TRIES):
            response, status = await self._ask(headers)
            client = self._last
            if response is None or client is None:
                break
            if status < 300:
                return self._granted(response, expires)
            if status == 423:
                expires = _seconds(response.headers.get("Min-Expires"), expires)
                headers[1] = ("Expires", str(expires))
                continue
            answered = tuple(self._account.credentials(client, response))
            if not answered:
                break
            headers = [*headers[:2], *answered]
        raise RegistrationError(status, unreachable=response is None)

    async def _ask(self, headers: list[tuple[str, str]]) -> tuple[Response | None, int]:
        account, me = self._account, self._account.address
        self._answer = asyncio.get_running_loop().create_future()
        last = self._last.request if self._last is not None else None
        self._last = account.transport.endpoint.request(
            "REGISTER",
            account.domain,
            from_=last.from_ if last else me,
            to=me,
            destination=account.server,
            headers=headers,
            call_id=last.call_id if last else None,
            cseq=last.cseq.number + 1 if last else 1,
            owner=self,
            now=account.now,
        )
        account.transport.flush()
        return await self._answer

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
