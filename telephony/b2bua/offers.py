"""SDP offers that we send within a leg's dialog, by re-INVITE or UPDATE.

`Offers` sends them and handles the responses. `Alignment` decides which offers make the media of
joined legs compatible: after a transfer or a join, the parties have never received each other's
SDP, and a hold by the owner changes the direction. `exchange.py` handles an offer of a party.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg, OnResponse, QueuedRequest
from telephony.b2bua.session_timer import min_se
from telephony.errors import ParseError, ProtocolError
from telephony.sdp import Direction, SessionDescription
from telephony.sip.client_request import ClientRequest
from telephony.sip.message.messages import Response
from telephony.sip.ua.uac import InviteClient

OnAnswer = Callable[[SessionDescription | None, int, float], None]
"""Called with the peer's description, the status and the time, when our offer has a result.

Without a response, the status gives the reason, for example 408 (timeout). The description is None
after a failure, and after a 2xx without a readable description.
"""


class Offers:
    """Sends our offers. At most one INVITE is in progress on a leg."""

    def __init__(self, core: CallCore) -> None:
        self._core = core
        self._under_way: dict[str, ClientRequest] = {}
        """Our INVITEs within a dialog that have no final response yet, by leg id."""

    def offering(self, leg: Leg) -> bool:
        """Return whether our INVITE within the leg's dialog is still in progress."""
        return leg.id in self._under_way

    def busy(self, leg: Leg) -> bool:
        """Return True if no INVITE can be sent now: one is in progress, or there is no dialog."""
        return leg.id in self._under_way or leg.dialog is None or leg.dialog.invite_pending

    def offer(
        self,
        leg: Leg,
        session: SessionDescription | None,
        then: OnAnswer,
        now: float,
        *,
        headers: HeaderFields = (),
        by_update: bool = False,
    ) -> None:
        """Send the offer `session`; if it is None, ask for an offer by an INVITE without SDP.

        The 2xx to an INVITE without SDP has an offer: `leg.invite_to_ack` is set, and the calling
        component must send the ACK. With `by_update`, UPDATE is used if the peer supports it.

        `then` is called once: after the final response, or immediately with 491 (another INVITE is
        in progress), 481 (no confirmed dialog) or 500 (too many requests wait).
        """
        if not leg.talking or leg.dialog is None:
            then(None, 481, now)
        elif self.busy(leg):
            then(None, 491, now)
        elif by_update and session is not None and "UPDATE" in leg.allow:
            self._update(leg, session, then, headers, now)
        else:
            self._invite(leg, session, then, headers, now)

    def cancel(self, leg: Leg, now: float) -> None:
        """Cancel our INVITE within the leg's dialog, if one is in progress."""
        client = self._under_way.get(leg.id)
        if isinstance(client, InviteClient):
            client.cancel(now=now)

    def _fields(
        self, leg: Leg, session: SessionDescription | None, headers: HeaderFields
    ) -> HeaderFields:
        timer = self._core.timer_fields(leg)
        return (*headers, *timer, *(SDP_TYPE if session is not None else ()))

    def _update(
        self,
        leg: Leg,
        session: SessionDescription,
        then: OnAnswer,
        headers: HeaderFields,
        now: float,
    ) -> None:
        def done(response: Response | None, status: int, at: float) -> None:
            then(*self._read(leg, response, status, at), at)

        fields = self._fields(leg, session, headers)
        if not leg.requests.add(QueuedRequest("UPDATE", fields, bytes(session), done), now):
            then(None, 500, now)

    def _invite(
        self,
        leg: Leg,
        session: SessionDescription | None,
        then: OnAnswer,
        headers: HeaderFields,
        now: float,
    ) -> None:
        if leg.dialog is None:
            return
        try:
            client = leg.dialog.request(
                "INVITE",
                headers=self._fields(leg, session, headers),
                body=bytes(session) if session is not None else b"",
                now=now,
            )
        except ProtocolError:  # the peer's BYE has arrived but is not handled yet
            then(None, 481, now)
            return
        self._under_way[leg.id] = client
        leg.requests.expect(client, self._on_final(leg, client, session, then, headers))

    def _on_final(
        self,
        leg: Leg,
        client: ClientRequest,
        session: SessionDescription | None,
        then: OnAnswer,
        headers: HeaderFields,
    ) -> OnResponse:
        def done(response: Response | None, status: int, at: float) -> None:
            self._under_way.pop(leg.id, None)
            if status == 422 and response is not None and min_se(response) > leg.min_se:
                leg.min_se = min_se(response)
                self.offer(leg, session, then, at, headers=headers)
                return
            if response is not None and status < 300:
                self._acknowledge(leg, client, session, at)
            then(*self._read(leg, response, status, at), at)

        return done

    @staticmethod
    def _acknowledge(
        leg: Leg, client: ClientRequest, session: SessionDescription | None, now: float
    ) -> None:
        if leg.dialog is None or not isinstance(client, InviteClient):
            return
        if session is None:
            leg.invite_to_ack = client
        else:
            leg.dialog.ack(client, now=now)

    def _read(
        self, leg: Leg, response: Response | None, status: int, now: float
    ) -> tuple[SessionDescription | None, int]:
        if response is None or status >= 300:
            return None, status
        self._core.learn_from(leg, response)
        self._core.start_timer(leg, response, now)
        try:
            return description(response), status
        except ParseError:
            return None, status


OnAligned = Callable[[float, bool], None]
"""Called with the current time and `agreed` when the exchange for one of our offers has ended.

`agreed` is also True if no offer was needed.
"""


def _nothing(_now: float, _agreed: bool) -> None:  # noqa: FBT001 - a callback's one fact
    """Do nothing. This is the default for `_OwnOffer.then`."""


@dataclass(frozen=True, slots=True)
class _OwnOffer:
    """An offer to `leg`, built from the newest description of the peer of `source`.

    `then` is called when the offer is accepted or refused, or at once if no offer is needed or
    possible. If `leg` ends, `then` may never be called.
    """

    leg: Leg
    source: Leg
    direction: Direction | None = None
    """The direction to offer; None means that of `source`.

    During the owner's hold, the offer is inactive instead.
    """
    then: OnAligned = _nothing


class Alignment:
    """Sends the offers that make the media of two joined legs compatible.

    A 491 means that the peer has sent an offer at the same time. We then send ours again later. At
    most one offer waits. A newer offer replaces the waiting offer.
    """

    def __init__(self, core: CallCore, offers: Offers) -> None:
        self._core = core
        self._offers = offers
        self._allowed = core.settings.codecs
        self._again: tuple[_OwnOffer, float] | None = None
        """The offer to send again after a 491 response, and the time at which to send it."""

    def align(self, leg: Leg, source: Leg, now: float) -> None:
        """Send `leg` an offer with the newest session description of the peer of `source`.

        Send nothing if the codecs and the direction of this description are already agreed with
        `leg`, or if there is no description yet.
        """
        self._offer(_OwnOffer(leg, source), now)

    def align_both(self, one: Leg, other: Leg, now: float) -> None:
        """Send each of two joined legs an offer with the other's newest session description.

        A hold by one of these two peers continues. A hold by an earlier peer ends. `one` gets its
        offer first. If the two descriptions share no audio codec, `other` is first, because its
        peer may support codecs that it has not named yet. The second leg gets its offer even if the
        first refuses. If only the second agrees, the first gets a new offer.
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
        """Return whether the newest descriptions share an audio codec; True if one is missing."""
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

        held = self._core.owner_holds

        def answered(theirs: SessionDescription | None, status: int, at: float) -> None:
            if status == 491 and leg.dialog is not None and leg.talking:
                self._again = wanted, at + leg.dialog.glare_delay()
                return
            agreed = theirs is not None and leg.talking and self._agree(leg, asked, theirs)
            if held != self._core.owner_holds:
                self._offer(wanted, at)  # a hold by the owner has begun or ended meanwhile
            else:
                wanted.then(at, agreed)

        self._offers.offer(leg, asked, answered, now)

    def _asked(self, wanted: _OwnOffer) -> SessionDescription | None:
        """Return the offer `wanted`; None if already agreed, or without a description of `source`.

        Raises `SdpParseError` if the source's description has no media stream that we support.
        """
        source, allowed = wanted.source.media, self._allowed
        said = source.remote_description
        direction = Direction.INACTIVE if self._core.owner_holds else wanted.direction
        if said is None or wanted.leg.media.matches(said, source, allowed, direction):
            return None
        return wanted.leg.media.pass_on(said, source, allowed, direction)

    def _agree(self, leg: Leg, asked: SessionDescription, theirs: SessionDescription) -> bool:
        try:
            leg.media.agree(asked, theirs)
        except ParseError:
            return False
        self._core.reconnect()
        self._core.emit_media(leg)
        return True

    def on_leg_ended(self, leg: Leg) -> None:
        """Delete the waiting offer if it is to `leg`, or built from this leg's description."""
        if self._again is not None and leg in {self._again[0].leg, self._again[0].source}:
            self._again = None

    def next_timer(self) -> float | None:
        """Return the time at which the waiting offer is sent again; None if no offer waits."""
        return None if self._again is None else self._again[1]

    def timer(self, now: float) -> None:
        """Send the waiting offer again if it is due."""
        if self._again is not None and now >= self._again[1]:
            (wanted, _), self._again = self._again, None
            self._offer(wanted, now)


def _direction(source: Leg) -> Direction | None:
    return None if source.media.holds_other else Direction.SENDRECV
