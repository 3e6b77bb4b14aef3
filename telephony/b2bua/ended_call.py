"""The rest of a call that has ended: it handles the late events of the call's dialogs.

A callee's 200 can cross our CANCEL, and a peer can repeat its request for half a minute. The leg of
such an event then refers only to an `EndedCall`, so everything else is freed.
"""

from __future__ import annotations

import contextlib

from telephony.b2bua.attempt import decline
from telephony.b2bua.core import answer
from telephony.b2bua.leg import CallLegs, Leg
from telephony.b2bua.settings import Target
from telephony.errors import ProtocolError
from telephony.sip.events import DialogRequest, InviteAnswered, SipEvent


class EndedCall:
    """The owner of the legs of a call that has ended."""

    def __init__(self, call_id: str) -> None:
        """`call_id` is the id that the call had."""
        self.call_id = call_id

    @property
    def core(self) -> CallLegs:
        """Raise ProtocolError, because the call has no legs any more."""
        raise ProtocolError("the call has ended")

    @property
    def transferring(self) -> bool:
        """False, because a call that has ended has no transfer."""
        return False

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Raise ProtocolError, because no leg can move to a call that has ended."""
        del leg, target, now
        raise ProtocolError("the call has ended")

    def handle(self, event: SipEvent, now: float) -> None:
        """Handle an endpoint event that arrives after the end of the call."""
        handle_late(event, now)


def handle_late(event: SipEvent, now: float) -> None:
    """Send ACK and BYE for a late 2xx, and a response to a request within a dialog."""
    match event:
        case InviteAnswered():
            # The peer may have hung up already.
            with contextlib.suppress(ProtocolError):
                decline(event, now)
        case DialogRequest(_, transaction, request):
            answer(transaction, 200 if request.method == "BYE" else 481, now)
        case _:
            pass
