"""A REFER that a phone accepted (RFC 3515): the target to call, and our NOTIFY requests.

The REFER asks us to call the target. The NOTIFY requests report the progress of that call.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from telephony.phone.state import CallFailedError, CallState, InvalidStateError
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.message.grammar import REASONS
from telephony.sip.message.messages import Request
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import Uri

if TYPE_CHECKING:
    from telephony.phone.call import VoIPCall

_FRAGMENT: Final = ("Content-Type", "message/sipfrag;version=2.0")
_EXPIRES: Final = 180
"""The longest lifetime of the subscription that the REFER creates, in seconds."""


def target_of(request: Request, to: NameAddr) -> tuple[Uri, tuple[tuple[str, str], ...]]:
    """Return the URI that a received REFER asks us to call, and header fields for our INVITE.

    `request` is the REFER, and `to` is its Refer-To. The header fields are Referred-By, and
    Replaces if the Refer-To contains a Replaces.
    """
    by = request.headers.get("Referred-By") or str(request.from_.with_tag(None))
    replaces = to.uri.header("Replaces")
    headers = (("Referred-By", by), *((("Replaces", replaces),) if replaces else ()))
    parameters = tuple(pair for pair in to.uri.parameters if pair[0].lower() != "method")
    return replace(to.uri, headers=(), parameters=parameters), headers


async def notify_progress(call: VoIPCall, dialog: Dialog, request: Request, new: VoIPCall) -> None:
    """Report the progress of the new call `new` to the sender of a REFER.

    Each new status of `new` is sent in a NOTIFY. When `new` is answered, `call` is ended.

    Args:
        call: The call in which the REFER was received.
        dialog: The dialog of `call`.
        request: The REFER.
        new: The call that the REFER asked us to place.
    """
    event = ("Event", f"refer;id={request.cseq.number}")
    status = 0
    try:
        while status < 200:
            status = await _next_status(new, status, call)
            last = status >= 200
            state = "terminated;reason=noresource" if last else f"active;expires={_EXPIRES}"
            headers = (event, ("Subscription-State", state), _FRAGMENT)
            body = f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode()
            await call.requests.send(dialog, "NOTIFY", headers, body)
    except (CallFailedError, InvalidStateError):
        return  # The call with the REFER's sender has ended, so we can report no further progress.
    if status < 300:
        call.send_hangup()


async def _next_status(new: VoIPCall, status: int, asked_in: VoIPCall) -> int:
    """Wait until the status of `new` differs from `status`, and return the new status.

    `asked_in` is the call in which the REFER was received. If it ends during the wait, return the
    current status of `new`, even if this is still `status`.
    """
    await new.changes.until(lambda: _status(new) != status or asked_in.state is CallState.ENDED)
    return _status(new)


def _status(new: VoIPCall) -> int:
    """Return the progress of a call as a SIP status.

    The status is 200 for an answered call, 180 for a ringing call, and 100 before the call rings.
    For an ended call, it is the status with which the call ended, or 487 if the call has no final
    status.
    """
    if new.state is CallState.ENDED:
        return new.status if new.status >= 200 else 487
    return {CallState.RINGING: 180, CallState.ANSWERED: 200}.get(new.state, 100)
