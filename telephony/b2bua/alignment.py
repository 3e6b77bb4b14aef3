"""Offers of our own: telling a leg what its other party says, where that is not what it was told.

After a transfer, a join or a restart two parties talk who have never heard each other's SDP.
What one party offers by itself is carried across in exchange.py.
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
"""Told now, and whether the leg has agreed."""


def _nothing(_now: float, _agreed: bool) -> None:  # noqa: FBT001 - a callback's one fact
    """Nothing comes after."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What `leg` is to be told of `source`, and what comes after that."""

    leg: Leg
    source: Leg
    direction: Direction | None = None
    then: Then = _nothing


class Alignment:
    """At most one offer waits to be made again, after glare."""

    def __init__(self, core: CallCore, offers: Offers) -> None:
        """Nothing is under way."""
        self._core = core
        self._offers = offers
        self._allowed = core.settings.codecs
        self._again: tuple[_Wish, float] | None = None

    def align(self, leg: Leg, source: Leg, now: float) -> None:
        """Offer a leg what `source` last said, if that is not what it was told."""
        self._tell(_Wish(leg, source), now)

    def introduce(self, one: Leg, other: Leg, now: float) -> None:
        """Let two talk who are joined anew: each is told of the other, and then of its answer.

        Whoever had put them on hold is gone; only what they hold themselves stays held. What one
        of them answered somebody else may be one codec of many, which the other lacks: then it
        is the first to be asked, and so it is if the other refuses.
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
        """Whether what the two have said of codecs last has an audio codec in common."""
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
        """The offer, or None where it would say nothing new.

        Raises:
            SdpParseError: the source says nothing that we carry.
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
        """A leg ended: nobody waits for what it says."""
        if self._again is not None and leg in {self._again[0].leg, self._again[0].source}:
            self._again = None

    def next_timer(self) -> float | None:
        """When something is due."""
        return None if self._again is None else self._again[1]

    def timer(self, now: float) -> None:
        """Make the offer again that was refused for glare."""
        if self._again is not None and now >= self._again[1]:
            (wish, _), self._again = self._again, None
            self._tell(wish, now)


def _direction(source: Leg) -> Direction | None:
    return None if source.media.holding else Direction.SENDRECV
