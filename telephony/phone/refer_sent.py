"""A transfer as its sender sees it: a REFER and its NOTIFYs (RFC 3515)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from telephony.phone.state import CallFailedError, CallState
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

if TYPE_CHECKING:
    from telephony.phone.call import VoIPCall

_PREFIX: Final = b"SIP/2.0 "


class Referral:
    """The reported progress of a transfer that we requested."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        """The statuses from the NOTIFYs, in order."""

    @property
    def final(self) -> int | None:
        """The target's final status; None while it is not known."""
        return next((status for status in self.statuses if status >= 200), None)

    def on_notify(self, request: Request) -> None:
        """Read a NOTIFY's status line; ignore other bodies."""
        line = request.body.partition(b"\r\n")[0]
        digits = line[len(_PREFIX) : len(_PREFIX) + 3]
        if line.startswith(_PREFIX) and len(digits) == 3 and digits.isdigit():
            self.statuses.append(int(digits))


async def refer(call: VoIPCall, dialog: Dialog, by: NameAddr, uri: Uri) -> int:
    """Send a REFER to `uri` and return its outcome, as described at `VoIPCall.transfer`.

    After a success we end the call (RFC 5589 6.1), unless the other side ends it first.
    """
    referral = call.referral = Referral()
    headers = (("Refer-To", f"<{uri}>"), ("Referred-By", str(by)))
    _, response = await call.errands.send(dialog, "REFER", headers)
    if response.status >= 300:
        return response.status
    await call.changes.until(lambda: referral.final is not None or call.state is CallState.ENDED)
    if referral.final is None:
        raise CallFailedError("the call ended before the transfer's outcome was told")
    if referral.final < 300:
        call.part()
    return referral.final
