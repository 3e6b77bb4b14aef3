"""A transfer that a phone requests by a REFER (RFC 3515), and the NOTIFYs about its progress."""

from __future__ import annotations

from typing import Final

from telephony.phone.changes import Changes
from telephony.phone.dialog_requests import DialogRequests
from telephony.phone.state import CallFailedError
from telephony.sip.dialog import Dialog
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

_PREFIX: Final = b"SIP/2.0 "


class ReferSent:
    """A REFER that we send, and the progress that the peer reports by NOTIFY."""

    def __init__(self, requests: DialogRequests, changes: Changes) -> None:
        self.statuses: list[int] = []
        """The statuses of the peer's call to the target, from each NOTIFY, the oldest first."""
        self._requests = requests
        self._changes = changes

    @property
    def final(self) -> int | None:
        """The final status of the peer's call to the target; None while it is not known."""
        return next((status for status in self.statuses if status >= 200), None)

    async def send(self, dialog: Dialog, by: NameAddr, uri: Uri) -> int:
        """Send a REFER to `uri`, referred by `by`, and return the final status or the refusal's.

        Raises:
            InvalidStateError: The dialog has ended.
            CallFailedError: The call with the peer ended before the final status was reported.
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
