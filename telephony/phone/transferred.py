"""A phone that is transferred, by a REFER (RFC 3515) or an INVITE with Replaces (RFC 3891)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from telephony.errors import SipParseError
from telephony.phone.call import VoIPCall
from telephony.phone.state import CallFailedError, CallState, InvalidStateError
from telephony.sip.dialog import Dialog
from telephony.sip.endpoint import Endpoint
from telephony.sip.message.grammar import REASONS
from telephony.sip.message.header_values import NameAddr, Replaces
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri

_FRAGMENT: Final = ("Content-Type", "message/sipfrag;version=2.0")
_EXPIRES: Final = 180
"""The lifetime, in seconds, that our NOTIFYs state for the subscription of a REFER."""


def target_of(request: Request, to: NameAddr) -> tuple[Uri, tuple[tuple[str, str], ...]]:
    """Return the URI that a REFER asks us to call, and header fields for our INVITE.

    The header fields are Referred-By, and Replaces if the Refer-To (`to`) contains a Replaces.
    """
    by = request.headers.get("Referred-By") or str(request.from_.with_tag(None))
    replaces = to.uri.header("Replaces")
    headers = (("Referred-By", by), *((("Replaces", replaces),) if replaces else ()))
    parameters = tuple(pair for pair in to.uri.parameters if pair[0].lower() != "method")
    return replace(to.uri, headers=(), parameters=parameters), headers


async def notify_progress(call: VoIPCall, dialog: Dialog, request: Request, new: VoIPCall) -> None:
    """Report the progress of `new` by NOTIFY, and end `call` when `new` is answered."""
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
        return  # The call of the REFER has ended, or a NOTIFY got no response.
    if status < 300:
        call.send_hangup()


async def _next_status(new: VoIPCall, status: int, asked_in: VoIPCall) -> int:
    """Wait until the status of `new` differs from `status`, and return the new status.

    If `asked_in`, the call of the REFER, ends during the wait, return the current status.
    """
    await new.changes.until(lambda: _status(new) != status or asked_in.state is CallState.ENDED)
    return _status(new)


def _status(new: VoIPCall) -> int:
    """Return 100, 180 (ringing), 200 (answered) or the final status (487 if there is none)."""
    if new.state is CallState.ENDED:
        return new.status if new.status >= 200 else 487
    return {CallState.RINGING: 180, CallState.ANSWERED: 200}.get(new.state, 100)


def replaced_call(endpoint: Endpoint, request: Request) -> VoIPCall | None:
    """Return the call that a received INVITE asks to replace; None without a Replaces.

    Raises `SipParseError`: 400 if the Replaces is not valid; 481 if it names no call of this phone,
    or a received call that still rings; 486 if it has `early-only` and its call is answered.
    """
    values = request.headers.get_all("Replaces")
    if not values:
        return None
    if len(values) > 1:
        raise SipParseError("the INVITE has more than one Replaces")
    named = Replaces.parse(values[0])
    dialog = endpoint.find_dialog(named.call_id, named.to_tag, named.from_tag)
    call = dialog.owner if dialog is not None else None
    if not isinstance(call, VoIPCall) or call.state is CallState.ENDED:
        raise SipParseError("no call matches the Replaces", status=481)
    if call.state is CallState.ANSWERED and named.early_only:
        raise SipParseError("Replaces has early-only, but its call is already answered", status=486)
    if call.state is not CallState.ANSWERED and call.invite is not None:
        raise SipParseError("Replaces names a call that is still ringing here", status=481)
    return call
