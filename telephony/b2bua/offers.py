"""Send our offers within a leg's dialog (re-INVITE or UPDATE), and handle the responses."""

from __future__ import annotations

from collections.abc import Callable

from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg
from telephony.b2bua.request_queue import OnResponse, QueuedRequest
from telephony.b2bua.session_timer import agree_to_response, min_se, request_fields
from telephony.errors import ParseError, ProtocolError
from telephony.sdp import SessionDescription
from telephony.sip.client_request import ClientRequest
from telephony.sip.message.messages import Response
from telephony.sip.ua.uac import InviteClient

OnAnswer = Callable[[SessionDescription | None, int, float], None]
"""Called with the peer's description, the status and the current time after one of our offers.

Without a response, the status gives the reason, for example 408 (timeout). The description is None
after a failure, and after a 2xx without a readable one.
"""


class Offers:
    """Sends our offers. At most one INVITE is in progress on a leg."""

    def __init__(self, core: CallCore) -> None:
        """Create the object without any offer in progress."""
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
        """Send the offer `session`, or ask for one (None) by an INVITE without SDP.

        The 2xx to such an INVITE has an offer: `leg.invite_to_ack` is set, and the calling
        component must send the ACK. With `by_update`, UPDATE is used if the peer supports it.

        `then` is called once, at the final response, or at once with 491 (another INVITE is in
        progress), 481 (no confirmed dialog) or 500 (too many requests wait).
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
        leg.timer = agree_to_response(response, self._core.settings, leg.min_se, now)
        try:
            return description(response), status
        except ParseError:
            return None, status
