"""The requests that a phone sends within a call's dialog, such as INFO, re-INVITE and REFER.

`DialogRequests.send` waits for the final response. `VoIPCall` sends BYE itself, without waiting. A
REFER (RFC 3515) asks the peer to call another party. The peer reports the progress by NOTIFY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from telephony.errors import ProtocolError
from telephony.phone.account import PhoneAccount
from telephony.phone.state import CallFailedError, Changes, InvalidStateError
from telephony.sip.client_request import ClientRequest
from telephony.sip.dialog import Dialog
from telephony.sip.events import DialogRequestFailed, DialogResponse
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.ua.uac import InviteClient

_PREFIX: Final = b"SIP/2.0 "


class DialogRequests:
    """Sends requests in the dialog of one call, and wakes each `send` at its final response."""

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
        """Send a request in `dialog`, and wait for the final response.

        Return the last request sent (we may retry with credentials) and the final response. Raises
        `InvalidStateError` if the dialog has ended, or if it has an open INVITE and this is another
        INVITE. Raises `CallFailedError` without a response.
        """
        try:
            client = dialog.request(method, headers=headers, body=body, now=self._account.now)
        except ProtocolError as error:
            raise InvalidStateError(str(error)) from None
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[client] = future
        self._account.transport.flush()
        try:
            response = await future
        finally:
            self._waiting.pop(client, None)
        return client.request, response

    def on_event(self, event: DialogResponse | DialogRequestFailed) -> None:
        """Wake the `send` that waits for a final response. Send the ACK to a re-INVITE's 2xx."""
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


class ReferSent:
    """A REFER that we send, and the progress that the peer reports by NOTIFY."""

    def __init__(self, requests: DialogRequests, changes: Changes) -> None:
        self.statuses: list[int] = []
        """The statuses of the peer's call to the target, as reported by NOTIFY, oldest first."""
        self._requests = requests
        self._changes = changes

    @property
    def final(self) -> int | None:
        """The final status of the peer's call to the target; None while it is not known."""
        return next((status for status in self.statuses if status >= 200), None)

    async def send(self, dialog: Dialog, by: NameAddr, uri: Uri) -> int:
        """Ask the peer by REFER to call `uri`; return the final status of the peer's call.

        If the peer refuses the REFER, return the status of its response. `by` is our address for
        Referred-By. Raises `InvalidStateError` after the dialog's end, `CallFailedError` without a
        final status.
        """
        headers = (("Refer-To", f"<{uri}>"), ("Referred-By", str(by)))
        _, response = await self._requests.send(dialog, "REFER", headers)
        if response.status >= 300:
            return response.status
        await self._changes.until(lambda: self.final is not None or self._requests.ended)
        if self.final is None:
            raise CallFailedError("the call ended before the transfer's outcome was reported")
        return self.final

    def on_notify(self, request: Request) -> None:
        """Read the SIP status in the body of a NOTIFY. A body without a status line is ignored."""
        line = request.body.partition(b"\r\n")[0]
        digits = line[len(_PREFIX) : len(_PREFIX) + 3]
        if line.startswith(_PREFIX) and len(digits) == 3 and digits.isdigit():
            self.statuses.append(int(digits))
