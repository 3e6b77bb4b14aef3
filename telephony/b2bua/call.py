"""`BackToBackCall`: the face of a call, and the dispatcher of what its legs say."""

from collections.abc import Mapping, Sequence

from telephony.b2bua.events import CallEvent
from telephony.b2bua.leg import Leg
from telephony.b2bua.plane import MediaPlane
from telephony.b2bua.settings import CallSettings, Target
from telephony.sip.endpoint import Endpoint, InviteServer
from telephony.sip.events import Event


class BackToBackCall:
    """One caller's leg, any number of advisor-side legs, at most one pair of them joined.

    The owner's loop, for each event of the endpoint that the call `owns`:
    `handle(event, now)`, then `next_event()` until None, then flush the endpoint.
    The same after `handle_timer` and after every other method.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        media: MediaPlane,
        invite: InviteServer,
        settings: CallSettings,
        *,
        call_id: str,
        now: float,
    ) -> None:
        """Take over an incoming INVITE: it is checked here and may be refused at once.

        Refused with 420 (unknown Require), 421, 482 (loop), 483 (Max-Forwards), 481 (Replaces),
        488 (no common codec), 422 (session interval): then `CallEnded` is already waiting.
        """
        raise NotImplementedError

    call_id: str
    legs: Mapping[str, Leg]
    """By leg id; ended legs stay, with `state` ENDED."""

    @property
    def joined(self) -> tuple[str, str] | None:
        """The caller's leg id and the advisor's, while they talk."""
        raise NotImplementedError

    @property
    def ended(self) -> bool:
        """Nothing is left; `CallEnded` was emitted."""
        raise NotImplementedError

    def owns(self, event: Event) -> bool:
        """Whether the event belongs to one of this call's legs (see also `CallTable`)."""
        raise NotImplementedError

    def dial(self, targets: Sequence[Target], now: float) -> None:
        """Ring one target, or several at once. Without a free port: 503 and the call ends."""
        raise NotImplementedError

    def reject(self, status: int, now: float, reason: str | None = None) -> None:
        """Answer the caller's INVITE with a failure; ends the call. Once answered: `hangup`."""
        raise NotImplementedError

    def hangup(self, now: float, reason: str | None = None) -> None:
        """End every leg by whatever its state asks for (CANCEL, BYE, 480); `reason` = Reason header."""
        raise NotImplementedError

    def accept_transfer(self, request_id: int, targets: Sequence[Target], now: float) -> None:
        """Answer the REFER with 202 and ring its targets with the caller's media."""
        raise NotImplementedError

    def refuse_transfer(self, request_id: int, status: int, now: float) -> None:
        """Answer the REFER with a failure; nothing else changes."""
        raise NotImplementedError

    def ring_again(self, targets: Sequence[Target], now: float) -> None:
        """After `TransferFailed(advisor_gone=True)`: ring these for `recall_timeout`."""
        raise NotImplementedError

    def handle(self, event: Event, now: float) -> None:
        """Take an endpoint event that this call `owns`. Never raises on what a peer did."""
        raise NotImplementedError

    def next_timer(self) -> float | None:
        """When `handle_timer` next wants to be called."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Do what is due: ring time-outs, session refreshes, dead peers."""
        raise NotImplementedError

    def next_event(self) -> CallEvent | None:
        """The oldest event not yet taken, or None."""
        raise NotImplementedError

    def checkpoint(self) -> dict[str, object]:
        """Every live dialog, in JSON-able form, enough for `bye_from_checkpoint`."""
        raise NotImplementedError


