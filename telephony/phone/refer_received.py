"""A REFER that we accepted (RFC 3515): the call that it asks for, and our NOTIFYs about it."""

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
"""Seconds that the subscription lasts at most."""


def wanted(request: Request, to: NameAddr) -> tuple[Uri, tuple[tuple[str, str], ...]]:
    """Return the URI that the REFER asks us to call, and the headers that our INVITE then has."""
    by = request.headers.get("Referred-By") or str(request.from_.with_tag(None))
    replaces = to.uri.header("Replaces")
    headers = (("Referred-By", by), *((("Replaces", replaces),) if replaces else ()))
    parameters = tuple(pair for pair in to.uri.parameters if pair[0].lower() != "method")
    return replace(to.uri, headers=(), parameters=parameters), headers


async def tell(call: VoIPCall, dialog: Dialog, request: Request, new: VoIPCall) -> None:
    """Report each status of `new` to the REFER's sender in `call`; after a success, end `call`."""
    event = ("Event", f"refer;id={request.cseq.number}")
    told = 0
    try:
        while told < 200:
            told = await _next(new, told, call)
            last = told >= 200
            state = "terminated;reason=noresource" if last else f"active;expires={_EXPIRES}"
            headers = (event, ("Subscription-State", state), _FRAGMENT)
            body = f"SIP/2.0 {told} {REASONS.get(told, 'Unknown')}\r\n".encode()
            await call.errands.send(dialog, "NOTIFY", headers, body)
    except (CallFailedError, InvalidStateError):
        return  # the sender of the REFER has gone
    if told < 300:
        call.part()


async def _next(new: VoIPCall, told: int, asked_in: VoIPCall) -> int:
    """Return the call's next status; any status, once `asked_in` has ended."""
    await new.changes.until(lambda: _status(new) != told or asked_in.state is CallState.ENDED)
    return _status(new)


def _status(new: VoIPCall) -> int:
    """Return the call's progress as a SIP status: 100 until something better is known."""
    if new.state is CallState.ENDED:
        return new.status if new.status >= 200 else 487
    return {CallState.RINGING: 180, CallState.ANSWERED: 200}.get(new.state, 100)
