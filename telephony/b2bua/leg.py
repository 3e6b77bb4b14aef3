"""One leg of a call: a peer, the dialog with it, its media and its session timer.

A leg decides nothing; the call's components act on it. Its state changes in `core.py` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from telephony.b2bua.events import Side
from telephony.b2bua.headers import IDENTITY_HEADERS
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.settings import Target
from telephony.sip.dialog import Dialog
from telephony.sip.message import Response
from telephony.sip.uac import ClientRequest, InviteClient
from telephony.sip.uas import InviteServer

if TYPE_CHECKING:
    from telephony.b2bua.call import BackToBackCall

Then = Callable[[Response | None, int, float], None]
"""Told a final response (None: there was none), its status, and now."""


class LegState(StrEnum):
    """How far a leg has come."""

    CALLING = "calling"
    RINGING = "ringing"
    TALKING = "talking"
    """Its INVITE is answered with a 2xx."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Errand:
    """A non-INVITE request that waits for its turn on a leg."""

    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    then: Then


class Leg:
    """One peer of a call."""

    def __init__(
        self, call: BackToBackCall, leg_id: str, side: Side, target: Target | None, media: LegMedia
    ) -> None:
        """A leg without a dialog yet; `target` is None for the caller."""
        self.call = call
        self.id = leg_id
        self.side = side
        self.target = target
        self.media = media
        self.state = LegState.CALLING
        self.invite: InviteServer | None = None
        self.client: InviteClient | None = None
        self.dialog: Dialog | None = None
        self.unacked: InviteClient | None = None
        """An answered INVITE of ours whose ACK waits for the other party's answer."""
        self.timer: SessionTimer | None = None
        self.min_se = 90
        self.allow: frozenset[str] = frozenset()
        self.identity: tuple[str, str] | None = None
        """The header that the peer named itself in, and the name's essence."""
        self.errands: deque[Errand] = deque()
        self.waiting: dict[ClientRequest, Then] = {}
        self.errand: ClientRequest | None = None
        """The one non-INVITE that is under way, BYE excepted."""

    @property
    def alive(self) -> bool:
        """Whether the leg is not over."""
        return self.state is not LegState.ENDED

    @property
    def talking(self) -> bool:
        """Whether its dialog is confirmed and takes requests."""
        return self.state is LegState.TALKING

    def learn(self, allow: str | None) -> None:
        """Take the methods that the peer's Allow header names."""
        if allow is not None:
            self.allow = frozenset(word.strip().upper() for word in allow.split(","))

    def names_itself_by(self, header: str, key: str) -> bool:
        """Take an identity; False if it is the same, or of less weight than one before.

        A message that holds but a Contact does not undo a P-Asserted-Identity.
        """
        before = self.identity
        weight = IDENTITY_HEADERS.index(header)
        if before is not None and weight > IDENTITY_HEADERS.index(before[0]):
            return False
        self.identity = header, key
        return before is None or before[1] != key

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.side} {self.state}>"
