"""Offers to one leg within its dialog: re-INVITE or UPDATE, their answers and their ACKs."""

from __future__ import annotations

from collections.abc import Callable

from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg
from telephony.b2bua.request_queue import OnResponse, QueuedRequest
from telephony.b2bua.session_timer import SessionTimer, agree_to_response, min_se, request_fields
from telephony.errors import ParseError, ProtocolError
from telephony.sdp import SessionDescription
from telephony.sip.message.messages import Response
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.ua.uac import InviteClient

OnAnswer = Callable[[SessionDescription | None, int, float], None]
"""A callback for the end of an offer: the peer's description or None, the status, and now.

There is no description after a failure, or after a 2xx without a readable one.
"""


class Offers:
    """Sends our offers; at most one INVITE is in progress on a leg."""

    def __init__(self, core: CallCore) -> None:
        """Create the object; the call sets `start_timer`, which starts a leg's session timer."""
        self._core = core
        self._under_way: dict[str, ClientRequest] = {}
        """Our unanswered INVITEs within a dialog, by leg id."""
        self.start_timer: Callable[[Leg, SessionTimer], None] = lambda _leg, _timer: None

    def offering(self, leg: Leg) -> bool:
        """Return whether our INVITE is in progress on the leg."""
        return leg.id in self._under_way

    def busy(self, leg: Leg) -> bool:
        """Return whether an INVITE to or from the leg is in progress, or it has no dialog."""
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
        """Send an offer to the leg, or (`session` None) an INVITE that asks for its offer.

        With `by_update`, use UPDATE if the peer allows it. `then` gets 491 at once if another offer
        is in progress, and 481 if the leg is not talking. After a 2xx to an INVITE without an
        offer, no ACK is sent: `leg.invite_to_ack` is set.
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
        """Cancel our INVITE to the leg, if one is in progress."""
        client = self._under_way.get(leg.id)
        if isinstance(client, InviteClient):
            client.cancel(now=now)

    def _fields(
        self, leg: Leg, session: SessionDescription | None, headers: HeaderFields
    ) -> HeaderFields:
        timer = request_fields(leg.timer, self._core.settings, leg.min_se)
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
        except ProtocolError:  # the peer's BYE has arrived and waits to be handled
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
        self.start_timer(leg, agree_to_response(response, self._core.settings, leg.min_se, now))
        try:
            return description(response), status
        except ParseError:
            return None, status
