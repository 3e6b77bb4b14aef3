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

Then = Callable[[float, bool], None]
"""A callback for the end of an offer: now, and whether the leg has agreed."""


def _nothing(_now: float, _agreed: bool) -> None:  # noqa: FBT001 - a callback's one fact
    """Do nothing after the offer."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """An offer to `leg` with the media of `source`; `then` is called after it."""

    leg: Leg
    source: Leg
    direction: Direction | None = None
    """The direction to offer; None takes the direction of the source's description."""
    then: Then = _nothing


class Alignment:
    """Makes these offers; at most one waits to be repeated after glare (a 491)."""

    def __init__(self, core: CallCore, offers: Offers) -> None:
        """Create the object; no offer is in progress."""
        self._core = core
        self._offers = offers
        self._allowed = core.settings.codecs
        self._again: tuple[_Wish, float] | None = None
        """The offer that waits after glare, and the time of its repetition."""

    def align(self, leg: Leg, source: Leg, now: float) -> None:
        """Offer a leg the last description of `source`, unless codecs and direction already fit."""
        self._tell(_Wish(leg, source), now)

    def introduce(self, one: Leg, other: Leg, now: float) -> None:
        """Bring the media of two newly joined legs together: make an offer to each, one by one.

        A hold by a former peer ends; a party that holds the other itself keeps it on hold. `one` is
        asked first, with the media of `other`. But a party's last answer to a former peer may hold
        only one of its many codecs, which the other lacks. So if their last descriptions share no
        audio codec, `other` is asked first. If the first leg refuses, the second is asked and then
        the first again.
        """
        if not self._share(one, other):
            one, other = other, one

        def turn(at: float, agreed: bool) -> None:  # noqa: FBT001 - see `Then`
            if agreed:
                self._tell(_Wish(other, one, _direction(one)), at)
            else:
                self._tell(_Wish(other, one, _direction(one), back), at)

        def back(at: float, agreed: bool) -> None:  # noqa: FBT001 - see `Then`
            if agreed:
                self._tell(_Wish(one, other, _direction(other)), at)

        self._tell(_Wish(one, other, _direction(other), turn), now)

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

    def _tell(self, wish: _Wish, now: float) -> None:
        leg = wish.leg
        if not leg.talking:
            return
        try:
            asked = self._asked(wish)
        except ParseError:
            wish.then(now, False)
            return
        if asked is None:
            wish.then(now, True)
            return

        def answered(theirs: SessionDescription | None, status: int, at: float) -> None:
            if status == 491 and leg.dialog is not None and leg.talking:
                self._again = wish, at + leg.dialog.glare_delay()
                return
            agreed = theirs is not None and leg.talking and self._agree(leg, asked, theirs)
            wish.then(at, agreed)

        self._offers.offer(leg, asked, answered, now)

    def _asked(self, wish: _Wish) -> SessionDescription | None:
        """Return the offer, or None if it would change nothing or the source has no description.

        Raises:
            SdpParseError: The source's description holds no stream that we can carry.
        """
        said, source, allowed = wish.source.media.theirs, wish.source.media, self._allowed
        if said is None or wish.leg.media.is_in_line(said, source, allowed, wish.direction):
            return None
        return wish.leg.media.pass_on(said, source, allowed, wish.direction)

    def _agree(self, leg: Leg, asked: SessionDescription, theirs: SessionDescription) -> bool:
        try:
            leg.media.agree(asked, theirs)
        except ParseError:
            return False
        self._core.reconnect()
        self._core.negotiated(leg)
        return True

    def gone(self, leg: Leg) -> None:
        """Forget the waiting offer if it concerns a leg that has ended."""
        if self._again is not None and leg in {self._again[0].leg, self._again[0].source}:
            self._again = None

    def next_timer(self) -> float | None:
        """Return the time at which the waiting offer is repeated; None if none waits."""
        return None if self._again is None else self._again[1]

    def timer(self, now: float) -> None:
        """Repeat the offer that was refused for glare, if its time has come."""
        if self._again is not None and now >= self._again[1]:
            (wish, _), self._again = self._again, None
            self._tell(wish, now)


def _direction(source: Leg) -> Direction | None:
    return None if source.media.holding else Direction.SENDRECV
