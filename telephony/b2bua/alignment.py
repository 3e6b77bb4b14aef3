"""Offers that we start ourselves, so that a leg's media fits the party that it now talks with.

After a transfer, a join or a restart, two parties are joined that have never received each other's
SDP. Offers that a party makes itself are passed on in `exchange.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from telephony.b2bua.core import CallCore
from telephony.b2bua.leg import Leg
from telephony.b2bua.offers import Offers
from telephony.errors import ParseError
from telephony.sdp import Direction, SessionDescription

OnAligned = Callable[[float, bool], None]
"""A callback for the end of an offer: now, and whether the leg has agreed."""


def _nothing(_now: float, _agreed: bool) -> None:  # noqa: FBT001 - a callback's one fact
    """Do nothing after the offer."""


@dataclass(frozen=True, slots=True)
class _OwnOffer:
    """An offer to `leg` with the media of `source`; `then` is called after it."""

    leg: Leg
    source: Leg
    direction: Direction | None = None
    """The direction to offer; None takes the direction of the source's description."""
    then: OnAligned = _nothing


class Alignment:
    """Makes these offers; at most one waits to be repeated after glare (a 491)."""

    def __init__(self, core: CallCore, offers: Offers) -> None:
        """Create the object; no offer is in progress."""
        self._core = core
        self._offers = offers
        self._allowed = core.settings.codecs
        self._again: tuple[_OwnOffer, float] | None = None
        """The offer that waits after glare, and the time of its repetition."""

    def align(self, leg: Leg, source: Leg, now: float) -> None:
        """Offer a leg the last description of `source`, unless codecs and direction already fit."""
        self._offer(_OwnOffer(leg, source), now)

    def align_both(self, one: Leg, other: Leg, now: float) -> None:
        """Bring the media of two newly joined legs together: make an offer to each, one by one.

        A hold by a former peer ends; a party that holds the other itself keeps it on hold. `one` is
        asked first, with the media of `other`. But a party's last answer to a former peer may hold
        only one of its many codecs, which the other lacks. So if their last descriptions share no
        audio codec, `other` is asked first. If the first leg refuses, the second is asked and then
        the first again.
        """
        if not self._share(one, other):
            one, other = other, one

        def turn(at: float, agreed: bool) -> None:  # noqa: FBT001 - see `OnAligned`
            if agreed:
                self._offer(_OwnOffer(other, one, _direction(one)), at)
            else:
                self._offer(_OwnOffer(other, one, _direction(one), back), at)

        def back(at: float, agreed: bool) -> None:  # noqa: FBT001 - see `OnAligned`
            if agreed:
                self._offer(_OwnOffer(one, other, _direction(other)), at)

        self._offer(_OwnOffer(one, other, _direction(other), turn), now)

    @staticmethod
    def _share(one: Leg, other: Leg) -> bool:
        """Return whether the last descriptions of the two have an audio codec in common.

        True if one of them has no description yet.
        """
        spoken = [
            {codec.identity for codec in leg.media.remote.accepts.values() if codec.is_audio}
            for leg in (one, other)
            if leg.media.remote is not None
        ]
        return len(spoken) < 2 or bool(spoken[0] & spoken[1])

    def _offer(self, wanted: _OwnOffer, now: float) -> None:
        leg = wanted.leg
        if not leg.talking:
            return
        try:
            asked = self._asked(wanted)
        except ParseError:
            wanted.then(now, False)
            return
        if asked is None:
            wanted.then(now, True)
            return

        def answered(theirs: SessionDescription | None, status: int, at: float) -> None:
            if status == 491 and leg.dialog is not None and leg.talking:
                self._again = wanted, at + leg.dialog.glare_delay()
                return
            agreed = theirs is not None and leg.talking and self._agree(leg, asked, theirs)
            wanted.then(at, agreed)

        self._offers.offer(leg, asked, answered, now)

    def _asked(self, wanted: _OwnOffer) -> SessionDescription | None:
        """Return the offer, or None if it would change nothing or the source has no description.

        Raises:
            SdpParseError: The source's description holds no stream that we can carry.
        """
        source, allowed = wanted.source.media, self._allowed
        said = source.remote_description
        if said is None or wanted.leg.media.matches(said, source, allowed, wanted.direction):
            return None
        return wanted.leg.media.pass_on(said, source, allowed, wanted.direction)

    def _agree(self, leg: Leg, asked: SessionDescription, theirs: SessionDescription) -> bool:
        try:
            leg.media.agree(asked, theirs)
        except ParseError:
            return False
        self._core.reconnect()
        self._core.emit_media(leg)
        return True

    def on_leg_ended(self, leg: Leg) -> None:
        """Forget the waiting offer if it concerns a leg that has ended."""
        if self._again is not None and leg in {self._again[0].leg, self._again[0].source}:
            self._again = None

    def next_timer(self) -> float | None:
        """Return the time at which the waiting offer is repeated; None if none waits."""
        return None if self._again is None else self._again[1]

    def timer(self, now: float) -> None:
        """Repeat the offer that was refused for glare, if its time has come."""
        if self._again is not None and now >= self._again[1]:
            (wanted, _), self._again = self._again, None
            self._offer(wanted, now)


def _direction(source: Leg) -> Direction | None:
    return None if source.media.holds_other else Direction.SENDRECV
