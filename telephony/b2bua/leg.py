"""One leg of a call: a peer, the dialog with this peer, its media and its session timer.

The components of the call decide. Only `core.py` changes the state of a leg.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final, Protocol

from telephony.b2bua.early_names import EarlyNames
from telephony.b2bua.events import Side
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.request_queue import NO_SENDER, RequestQueue
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.settings import Target
from telephony.errors import ProtocolError
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.events import Address
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

logger = logging.getLogger(__name__)


class LegState(StrEnum):
    """The state of a leg, from its INVITE to its end."""

    CALLING = "calling"
    """The leg's INVITE was sent, but has no response yet, or only a response 100."""
    RINGING = "ringing"
    """The callee has sent a provisional response above 100."""
    TALKING = "talking"
    """The INVITE of the leg was answered with a 2xx."""
    ENDED = "ended"


_FOLLOWING: Final = {
    LegState.CALLING: frozenset({LegState.RINGING, LegState.TALKING, LegState.ENDED}),
    LegState.RINGING: frozenset({LegState.TALKING, LegState.ENDED}),
    LegState.TALKING: frozenset({LegState.ENDED}),
    LegState.ENDED: frozenset[LegState](),
}
"""Maps each state of a leg to the states that may follow it."""


_NO_REQUESTS: Final = RequestQueue(NO_SENDER)
"""For all legs whose call has ended. It takes no requests."""


class CallLegs(Protocol):
    """The legs of a call (`CallCore`), with the methods that other calls may use."""

    @property
    def callee(self) -> Leg | None:
        """The callee leg that is joined with the caller's leg; None if no callee is joined."""

    def other(self, leg: Leg) -> Leg | None:
        """Return the leg that `leg` is joined with; None if it is joined with no leg."""

    def remove_moved_leg(self, leg: Leg) -> None:
        """Remove a leg, unchanged, that moves to another call."""

    def end_leg(self, leg: Leg, cause: str, now: float) -> None:
        """End a leg and free its ports."""

    def end(self, cause: str, now: float) -> None:
        """End the call and all its legs."""


class LegOwner(Protocol):
    """The call that a leg belongs to (`BackToBackCall`)."""

    @property
    def call_id(self) -> str:
        """The id of the call."""

    @property
    def core(self) -> CallLegs:
        """The legs of the call."""

    @property
    def transferring(self) -> bool:
        """True while a transfer's target rings, or a callee rings again after a failed transfer."""

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Add a leg of another call to this call and join it with the caller."""


class Leg:
    """One leg of a call: our connection with one peer."""

    def __init__(
        self, call: LegOwner, leg_id: str, side: Side, target: Target | None, media: LegMedia
    ) -> None:
        """Create a leg without a dialog; `target` is None for the caller's leg."""
        self.call = call
        self.id = leg_id
        self.side = side
        self.target = target
        self.media = media
        self._state = LegState.CALLING
        self.server_invite: InviteServer | None = None
        """The INVITE that the peer sent to create this leg; None if we sent it."""
        self.client_invite: InviteClient | None = None
        """The INVITE that we sent to create this leg; None if the peer sent it."""
        self.dialog: Dialog | None = None
        self.invite_to_ack: InviteClient | None = None
        """Our INVITE without SDP whose 2xx has no ACK yet, or None.

        The 2xx has the peer's offer. Our ACK with the answer waits for the SDP of the other leg's
        party.
        """
        self.timer: SessionTimer | None = None
        self.min_se = 90
        """The shortest session interval in seconds; the peer's Min-SE raises it (RFC 4028)."""
        self.allow: frozenset[str] = frozenset()
        """The methods in the peer's most recent Allow header field, in upper case."""
        self.ringing_dialog: Dialog | None = None
        """The early dialog of a ringing callee that can be asked to answer ("talk"); else None."""
        self.identity: tuple[str, str] | None = None
        """Header field and identity (`identity_key`) of the peer; None while unknown."""
        self.early_names = EarlyNames()
        """Not used after the answer."""
        self.requests = RequestQueue(self)
        """The requests that we send within the leg's dialog."""

    @property
    def state(self) -> LegState:
        """The state of the leg. Only `CallCore` changes it."""
        return self._state

    def move_to(self, state: LegState) -> None:
        """Change the state of the leg and log the change. Only `CallCore` calls this method.

        Raises:
            ProtocolError: A leg cannot change from its present state to `state`.
        """
        if state not in _FOLLOWING[self._state]:
            raise ProtocolError(f"a leg cannot change from {self._state} to {state}")
        self._state = state
        logger.debug("leg.state %s %s", self.id, state)

    def release(self, ended: LegOwner) -> None:
        """Forget what refers back to this leg; `ended` handles the late events of its call."""
        self.call = ended
        if self.client_invite is not None:
            self.client_invite.forget_content()
        self.dialog = self.client_invite = self.server_invite = self.invite_to_ack = None
        self.ringing_dialog = self.timer = self.target = None
        self.early_names.forget()
        self.requests, self.allow = _NO_REQUESTS, frozenset()
        self.media.release()

    @property
    def signalling_host(self) -> str:
        """The host with which we exchange the SIP messages of this leg; "" if it is not known."""
        if self.dialog is not None:
            return self.dialog.peer.host
        if self.server_invite is not None:
            return self.server_invite.source.host
        return "" if self.client_invite is None else self.client_invite.destination.host

    @property
    def alive(self) -> bool:
        """True until the leg ends."""
        return self._state is not LegState.ENDED

    @property
    def talking(self) -> bool:
        """True while the leg's dialog is confirmed and accepts requests."""
        return self._state is LegState.TALKING

    @property
    def address(self) -> Address | None:
        """The address of the peer; None before its first message, if we have not rung the peer."""
        if self.target is not None:
            return self.target.destination
        if self.dialog is not None:
            return self.dialog.peer
        return None if self.server_invite is None else self.server_invite.source

    def learn(self, allow: str | None) -> None:
        """Store the methods that an Allow header field lists; None changes nothing."""
        if allow is not None:
            self.allow = frozenset(word.strip().upper() for word in allow.split(","))

    def learn_events(self, dialog: Dialog | None, allow_events: str | None) -> None:
        """Store the early dialog if Allow-Events (RFC 6665) lets us ask the phone to answer."""
        known = {word.strip().lower() for word in (allow_events or "").split(",")}
        if dialog is not None and "talk" in known:
            self.ringing_dialog = dialog

    def set_identity(self, header: str, key: str) -> bool:
        """Store the peer's identity (`identity_key`); return whether it is new.

        A Contact is only an address, so it does not replace a name from P-Asserted-Identity or
        Remote-Party-ID.
        """
        before = self.identity
        if before is not None and header == "Contact" != before[0]:
            return False
        self.identity = header, key
        return before is None or before[1] != key

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.side} {self.state}>"
