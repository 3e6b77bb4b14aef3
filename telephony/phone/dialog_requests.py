"""The requests that a phone sends within a call's dialog, such as BYE, INFO and re-INVITE.

Each is sent with credentials if the server asks for a password, and waits for the final response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from telephony.errors import ProtocolError
from telephony.phone.account import PhoneAccount
from telephony.phone.state import CallFailedError, InvalidStateError
from telephony.sip.client_request import ClientRequest
from telephony.sip.dialog import Dialog
from telephony.sip.events import DialogRequestFailed, DialogResponse
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.uac import InviteClient


class DialogRequests:
    """The requests that we have sent in one dialog and that have no final response yet."""

    def __init__(self, account: PhoneAccount) -> None:
        self._account = account
        self.ended = False
        self._waiting: dict[ClientRequest, asyncio.Future[Response]] = {}

    async def send(
        self,
        dialog: Dialog,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> tuple[Request, Response]:
        """Send a request in `dialog`, again with credentials after a 401 or 407, and wait.

        Returns:
            The request, as sent last, and its final response.

        Raises:
            InvalidStateError: The dialog has ended, or another INVITE in it has no final response.
            CallFailedError: No response came, or the dialog ended before the response.
        """
        try:
            return await self._send(dialog, method, tuple(headers), body)
        except ProtocolError as error:
            raise InvalidStateError(str(error)) from None

    async def _send(
        self, dialog: Dialog, method: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[Request, Response]:
        account = self._account
        client = dialog.request(method, headers=headers, body=body, now=account.now)
        response = await self._answer(client)
        answered = tuple(account.credentials(client, response))
        if not answered:
            return client.request, response
        if isinstance(client, InviteClient):
            client = client.retry(headers=answered, now=account.now)
        else:
            both = (*headers, *answered)
            client = dialog.request(method, headers=both, body=body, now=account.now)
        response = await self._answer(client)
        return client.request, response

    async def _answer(self, client: ClientRequest) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[client] = future
        self._account.transport.flush()
        try:
            return await future
        finally:
            self._waiting.pop(client, None)

    def on_event(self, event: DialogResponse | DialogRequestFailed) -> None:
        """Give the `send` that waits its final response; acknowledge a 2xx to a re-INVITE."""
        client = event.transaction
        future = self._waiting.get(client)
        if isinstance(event, DialogRequestFailed):
            if future is not None and not future.done():
                what = f"{client.request.method} was not answered"
                future.set_exception(CallFailedError(what, event.status))
            return
        if event.response.status < 200:
            return
        if isinstance(client, InviteClient) and event.response.status < 300:
            event.dialog.ack(client, now=self._account.now)
        if future is not None and not future.done():
            future.set_result(event.response)

    def end(self) -> None:
        """End all waiting `send` calls with CallFailedError, because the dialog has ended."""
        self.ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(CallFailedError("the call ended"))
