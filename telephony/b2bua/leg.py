"""One leg of a call: a peer, the dialog with it, its media and its session timer.

A leg decides nothing; the call's components act on it. Its state changes in `core.py` only.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final, Protocol

from telephony.b2bua.events import Side
from telephony.b2bua.headers import IDENTITY_HEADERS
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.request_queue import RequestQueue
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.settings import Target
from telephony.errors import ProtocolError
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

logger = logging.getLogger(__name__)


class LegState(StrEnum):
    """The state of a leg."""

    CALLING = "calling"
    """The leg's INVITE has no final response yet, and no provisional one above 100."""
    RINGING = "ringing"
    """The callee has sent a provisional response above 100."""
    TALKING = "talking"
    """The leg's INVITE was answered with a 2xx."""
    ENDED = "ended"


_FOLLOWING: Final = {
    LegState.CALLING: frozenset({LegState.RINGING, LegState.TALKING, LegState.ENDED}),
    LegState.RINGING: frozenset({LegState.TALKING, LegState.ENDED}),
    LegState.TALKING: frozenset({LegState.ENDED}),
    LegState.ENDED: frozenset[LegState](),
}
"""The states that may follow each state."""


class CallLegs(Protocol):
    """The legs of a call, as far as another call may use them (in full: `CallCore`)."""

    @property
    def callee(self) -> Leg | None:
        """The callee leg that is joined with the caller's leg, or None."""

    def other(self, leg: Leg) -> Leg | None:
        """Return the leg that this leg is joined with; None if it is joined with none."""

    def remove_moved_leg(self, leg: Leg) -> None:
        """Remove a leg that moves to another call."""

    def end_leg(self, leg: Leg, cause: str, now: float) -> None:
        """End a leg and free its ports."""

    def end(self, cause: str, now: float) -> None:
        """End the call."""


class LegOwner(Protocol):
    """The call that a leg belongs to, for code that knows the leg (in full: `BackToBackCall`)."""

    @property
    def call_id(self) -> str:
        """The id of the call."""

    @property
    def core(self) -> CallLegs:
        """The legs of the call."""

    @property
    def transferring(self) -> bool:
        """True while a transfer's target is being rung, or a callee after a failed transfer."""

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Take a leg of another call into this call and join it with the caller."""


class Leg:
    """One leg of a call."""

    def __init__(
        self, call: LegOwner, leg_id: str, side: Side, target: Target | None, media: LegMedia
    ) -> None:
        """Create a leg that has no dialog yet; the caller's leg has no `target`."""
        self.call = call
        self.id = leg_id
        self.side = side
        self.target = target
        self.media = media
        self._state = LegState.CALLING
        self.server_invite: InviteServer | None = None
        """The INVITE that the peer sent; None if we sent it."""
        self.client_invite: InviteClient | None = None
        """The INVITE that we sent; None if the peer sent it."""
        self.dialog: Dialog | None = None
        self.invite_to_ack: InviteClient | None = None
        """Our INVITE that has a 2xx, but gets its ACK only when the other party has answered."""
        self.timer: SessionTimer | None = None
        self.min_se = 90
        """The largest Min-SE that the peer asked for, in seconds (RFC 4028)."""
        self.allow: frozenset[str] = frozenset()
        """The methods in the peer's Allow header, in upper case."""
        self.identity: tuple[str, str] | None = None
        """The header field in which the peer named itself, and its `identity_key`."""
        self.requests = RequestQueue(self)
        """Our requests within the dialog."""

    @property
    def state(self) -> LegState:
        """The state of the leg; only `CallCore` changes it."""
        return self._state

    def move_to(self, state: LegState) -> None:
        """Change the state and log the change; only `CallCore` calls this.

        Raises:
            ProtocolError: This state cannot follow the present one.
        """
        if state not in _FOLLOWING[self._state]:
            raise ProtocolError(f"a leg cannot change from {self._state} to {state}")
        self._state = state
        logger.debug("leg.state %s %s", self.id, state.value)

    @property
    def alive(self) -> bool:
        """True until the leg ends."""
        return self.state is not LegState.ENDED

    @property
    def talking(self) -> bool:
        """True while the leg's dialog is confirmed and takes requests."""
        return self.state is LegState.TALKING

    def learn(self, allow: str | None) -> None:
        """Store the methods in the peer's Allow header; None (no such header) changes nothing."""
        if allow is not None:
            self.allow = frozenset(word.strip().upper() for word in allow.split(","))

    def set_identity(self, header: str, key: str) -> bool:
        """Store the peer's identity and return whether it is new.

        A header of less weight than the stored one changes nothing: a message that holds only a
        Contact does not replace a P-Asserted-Identity.
        """
        before = self.identity
        weight = IDENTITY_HEADERS.index(header)
        if before is not None and weight > IDENTITY_HEADERS.index(before[0]):
            return False
        self.identity = header, key
        return before is None or before[1] != key

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.side} {self.state}>"
