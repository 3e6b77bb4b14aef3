"""Send session refreshes, and end a call whose session has expired (RFC 4028).

A call also ends if a refresh gets 408 or 481, or no response in time: the peer is gone. A refresh
can also send the peer the new name of the party on the other leg (RFC 4916).
"""

from __future__ import annotations

from telephony.b2bua.core import CallCore, EndCause
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg, QueuedRequest
from telephony.b2bua.offers import Offers
from telephony.b2bua.session_timer import (
    SessionTimer,
    min_se,
)
from telephony.errors import ParseError
from telephony.sdp import SessionDescription
from telephony.sip.message.messages import Response

_REASON = (("Reason", 'SIP;cause=408;text="Session expired"'),)
_DEAD = frozenset({408, 481})
_UNKNOWN_METHOD = frozenset({405, 501})
_LATER = frozenset({422, 491, 500, 503})
_BUSY_WAIT = 2.0


class Refresh:
    """Refreshes sessions, and ends the call if a session has expired or a peer is gone."""

    def __init__(self, core: CallCore, offers: Offers) -> None:
        self._core = core
        self._offers = offers
        self._tried_at: dict[str, tuple[SessionTimer, float]] = {}
        """The session timer of a leg and the monotonic seconds of its next refresh, by leg id.

        An entry exists after the first refresh was tried. It is ignored once the leg has another
        session timer, because a new timer itself gives the time of its first refresh.
        """
        self._pending_fields: dict[str, HeaderFields] = {}
        """Extra header fields for the leg's next refresh, by leg id."""

    def send_fields(self, leg: Leg, fields: HeaderFields, now: float) -> None:
        """Send these fields in a refresh. Send them again later after a 422, 491, 500 or 503."""
        self._pending_fields[leg.id] = fields
        self._refresh(leg, now)

    def next_timer(self) -> float | None:
        """Return the time at which to call the method `timer`; None if no session timer runs."""
        return min(map(self._due, self._legs()), default=None)

    def _legs(self) -> list[Leg]:
        return [leg for leg in self._core.legs.values() if leg.talking and leg.timer is not None]

    def _due(self, leg: Leg) -> float:
        if leg.timer is None:
            return float("inf")
        if not leg.timer.we_refresh and leg.id not in self._pending_fields:
            return leg.timer.expires_at
        timer, tried_at = self._tried_at.get(leg.id, (None, 0.0))
        refresh_at = tried_at if timer is leg.timer else leg.timer.refresh_at
        return min(refresh_at, leg.timer.expires_at)

    def _try_at(self, leg: Leg, at: float) -> None:
        if leg.timer is not None:
            self._tried_at[leg.id] = leg.timer, at

    def timer(self, now: float) -> None:
        """Send the refreshes that are due, or end the call if a session has expired."""
        for leg in self._legs():
            if leg.timer is None or not leg.talking or now < self._due(leg):
                continue
            if now >= leg.timer.expires_at:
                self._core.end(EndCause.SESSION_EXPIRED, now, _REASON)
                return
            self._refresh(leg, now)

    def _refresh(self, leg: Leg, now: float) -> None:
        if leg.timer is None or leg.dialog is None:
            return
        # While no response to this refresh has arrived, send no other refresh.
        self._try_at(leg, leg.timer.expires_at)
        if "UPDATE" in leg.allow:
            self._update(leg, now)
        elif self._offers.busy(leg) or (ours := leg.media.current()) is None:
            self._try_at(leg, now + _BUSY_WAIT)
        else:
            self._reinvite(leg, ours, now)

    def _update(self, leg: Leg, now: float) -> None:
        extra = self._pending_fields.get(leg.id, ())

        def then(response: Response | None, status: int, at: float) -> None:
            if response is not None and 200 <= status < 300:
                self._sent(leg, extra)
                self._core.start_timer(leg, response, at)
            elif status in _UNKNOWN_METHOD:
                leg.allow -= {"UPDATE"}
                self._try_at(leg, at)
            else:
                self._failed(leg, response, status, at)

        fields = (*extra, *self._core.timer_fields(leg))
        if not leg.requests.add(QueuedRequest("UPDATE", fields, b"", then), now):
            self._try_at(leg, now + _BUSY_WAIT)

    def _reinvite(self, leg: Leg, ours: SessionDescription, now: float) -> None:
        extra = self._pending_fields.get(leg.id, ())

        def then(theirs: SessionDescription | None, status: int, at: float) -> None:
            if status >= 300:
                self._failed(leg, None, status, at)
                return
            self._sent(leg, extra)
            if theirs is not None:
                try:
                    leg.media.agree(ours, theirs)
                except ParseError:
                    return  # the refresh has succeeded; its unusable SDP answer is ignored
                if leg is self._core.caller or leg is self._core.callee:
                    self._core.reconnect()

        self._offers.offer(leg, ours, then, now, headers=extra)

    def _sent(self, leg: Leg, fields: HeaderFields) -> None:
        if fields and self._pending_fields.get(leg.id) == fields:
            del self._pending_fields[leg.id]

    def _failed(self, leg: Leg, response: Response | None, status: int, now: float) -> None:
        if not leg.talking or leg.dialog is None:
            return
        if status not in _LATER:
            # The peer does not accept these header fields, so do not send them again.
            self._pending_fields.pop(leg.id, None)
        if status in _DEAD:
            self._core.end(EndCause.PEER_GONE, now, _REASON)
        elif status == 422 and response is not None:
            leg.min_se = max(leg.min_se, min_se(response))
            self._try_at(leg, now + _BUSY_WAIT)
        else:
            self._try_at(leg, now + max(_BUSY_WAIT, leg.dialog.glare_delay()))
