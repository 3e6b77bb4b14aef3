"""What a call's components share: its legs, who is joined, what is sent and what is told.

Legs are made, joined and ended here and nowhere else; so are their states.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

from telephony.b2bua.diversion import Ask
from telephony.b2bua.events import (
    CallEnded,
    CallEvent,
    IdentityChanged,
    LegEnded,
    MediaNegotiated,
    Side,
)
from telephony.b2bua.headers import Trust, identity_key, identity_of
from telephony.b2bua.leg import Errand, Leg, LegState
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.plane import MediaPlane, RingbackPlane
from telephony.b2bua.settings import CallSettings, Target
from telephony.errors import NoPortsError, ProtocolError
from telephony.sdp import Origin, payload_map
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.message import Request, Response
from telephony.sip.uac import ClientRequest, InviteClient
from telephony.sip.uas import InviteServer, ServerRequest

if TYPE_CHECKING:
    from telephony.b2bua.call import BackToBackCall

Fields = tuple[tuple[str, str], ...]
SDP_TYPE: Fields = (("Content-Type", "application/sdp"),)
MAX_ERRANDS = 64


class Cause(StrEnum):
    """Why a leg or a call ended."""

    REFUSED = "refused"
    CANCELLED = "cancelled"
    NO_PORTS = "no-ports"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    LOST = "answered-elsewhere"
    CALLER_HUNG_UP = "caller-hung-up"
    ADVISOR_HUNG_UP = "advisor-hung-up"
    HUNG_UP = "hung-up"
    TRANSFERRED = "transferred"
    REPLACED = "replaced"
    NOBODY_LEFT = "nobody-left"
    SESSION_EXPIRED = "session-expired"
    ACK_MISSING = "ack-missing"
    PEER_GONE = "peer-gone"
    NO_MEDIA = "no-common-media"
    FAULT = "fault"


class CallCore:
    """The state of one call."""

    def __init__(
        self, endpoint: Endpoint, plane: MediaPlane, settings: CallSettings, call_id: str
    ) -> None:
        """A call without legs."""
        self.endpoint = endpoint
        self.plane = plane
        self.settings = settings
        self.call_id = call_id
        self.legs: dict[str, Leg] = {}
        self.partner: Leg | None = None
        """The advisor-side leg that talks with the caller."""
        self.ended = False
        self.ringback = False
        self.events: deque[CallEvent] = deque()
        self.on_leg_ended: Callable[[Leg], None] = lambda _leg: None
        self.divert: Ask = lambda _contact, _now: ()
        self._numbers = count(1)

    @property
    def caller(self) -> Leg:
        """The leg that the call began with."""
        return next(iter(self.legs.values()))

    def emit(self, event: CallEvent) -> None:
        """Queue an event for the owner."""
        self.events.append(event)

    def trust(self, sender: Leg, receiver: Leg) -> Trust:
        """Whether identities may pass from one leg to the other."""
        return Trust(self.trusts(sender), self.trusts(receiver), self.pinned(receiver))

    def trusts(self, leg: Leg) -> bool:
        """Whether the leg's peer is inside the trust domain."""
        return leg.target.trust if leg.target else self.settings.trust_caller

    def pinned(self, leg: Leg) -> bool:
        """Whether the leg's peer is a phone of ours."""
        return leg.target.pinned if leg.target is not None else self.settings.pin_caller

    # --- legs -------------------------------------------------------------------------------

    def new_leg(
        self, call: BackToBackCall, side: Side, target: Target | None, *, ipv6: bool
    ) -> Leg:
        """Make a leg with ports of its own, of the family of its peer's media.

        Raises:
            NoPortsError: no ports, or too many legs.
        """
        if len(self.legs) >= self.settings.max_legs:
            raise NoPortsError("too many legs in one call")
        leg_id = f"{self.call_id}/{'a' if side is Side.CALLER else f'b{next(self._numbers)}'}"
        srtp = target.srtp if target is not None else self.settings.caller_srtp
        media = LegMedia(self.plane, leg_id, Origin(hash_of(leg_id), 0), srtp, ipv6=ipv6)
        return self._keep(Leg(call, leg_id, side, target, media))

    def restore_leg(
        self, call: BackToBackCall, side: Side, target: Target | None, media: LegMedia
    ) -> Leg:
        """Make a leg that an earlier life of the process had, with the ports that it had."""
        number = media.leg_id.rpartition("/b")[2]
        if number.isdigit():
            self._numbers = count(max(int(number) + 1, next(self._numbers)))
        return self._keep(Leg(call, media.leg_id, side, target, media))

    def _keep(self, leg: Leg) -> Leg:
        self.legs[leg.id] = leg
        return leg

    def other(self, leg: Leg) -> Leg | None:
        """Whom the leg is joined with."""
        if self.partner is None:
            return None
        if leg is self.partner:
            return self.caller
        return self.partner if leg is self.caller else None

    def connect(self, advisor: Leg) -> None:
        """Let media flow between the caller and an advisor-side leg, as far as both have any."""
        a, b = self.caller.media.remote, advisor.media.remote
        if a is not None and b is not None and self.caller.alive and advisor.alive:
            self.plane.join(
                self.caller.id,
                advisor.id,
                payload_map(a.payloads, b.accepts),
                payload_map(b.payloads, a.accepts),
            )

    def reconnect(self) -> None:
        """Connect anew after what one of the two agreed to has changed."""
        if self.partner is not None:
            self.connect(self.partner)

    def negotiated(self, leg: Leg) -> None:
        """Tell the owner what the leg's peer now sends."""
        self.emit(MediaNegotiated(leg.id, leg.side, leg.media.rows()))

    def set_ringback(self, *, wanted: bool) -> None:
        """Start or stop the tone that the caller hears while an advisor is rung again."""
        if wanted != self.ringback and isinstance(self.plane, RingbackPlane):
            act = self.plane.start_ringback if wanted else self.plane.stop_ringback
            act(self.caller.id)
        self.ringback = wanted

    @staticmethod
    def meet(leg: Leg, request: Request) -> None:
        """Learn what the caller's INVITE says; the owner has it and is told only of changes."""
        leg.learn(request.headers.get("Allow"))
        found = identity_of(request)
        if found is not None:
            leg.names_itself_by(found[1], identity_key(*found))

    def notice(self, leg: Leg, message: Request | Response) -> bool:
        """Learn what a message says of its sender: methods, identity.

        True if the sender has another name now; a Contact says where, and is none.
        """
        leg.learn(message.headers.get("Allow"))
        found = identity_of(message)
        if found is None or not leg.names_itself_by(found[1], identity_key(*found)):
            return False
        self.emit(IdentityChanged(leg.id, leg.side, found[0], found[1]))
        return found[1] != "Contact"

    def confirm(self, leg: Leg, dialog: Dialog) -> None:
        """The leg's INVITE is answered."""
        leg.dialog = dialog
        leg.state = LegState.TALKING
        if self.pinned(leg):
            dialog.send_to = dialog.peer

    # --- requests ---------------------------------------------------------------------------

    def queue(self, leg: Leg, errand: Errand, now: float) -> bool:
        """Send a non-INVITE when those before it are answered; False if too many wait."""
        if not leg.talking or len(leg.errands) >= MAX_ERRANDS:
            return False
        leg.errands.append(errand)
        self.send_next(leg, now)
        return True

    def send_next(self, leg: Leg, now: float) -> None:
        """Send the leg's next errand unless one is under way."""
        if leg.errand is not None or not leg.errands or leg.dialog is None or not leg.talking:
            return
        errand = leg.errands.popleft()
        try:
            client = leg.dialog.request(
                errand.method, headers=errand.headers, body=errand.body, now=now
            )
        except ProtocolError:  # the peer's BYE came, and waits to be handled
            errand.then(None, 481, now)
            return
        leg.errand = client
        leg.waiting[client] = errand.then

    def concluded(
        self, leg: Leg, client: ClientRequest, response: Response | None, status: int, now: float
    ) -> None:
        """A request of ours within a dialog came to its end."""
        then = leg.waiting.pop(client, None)
        if leg.errand is client:
            leg.errand = None
        if then is not None:
            then(response, status, now)
        self.send_next(leg, now)

    # --- ends -------------------------------------------------------------------------------

    def end_leg(self, leg: Leg, cause: str, now: float, headers: Fields = ()) -> None:
        """End a leg by what its state asks for; nothing of it is left but late answers."""
        if not leg.alive:
            return
        state, leg.state = leg.state, LegState.ENDED
        self._goodbye(leg, state, now, headers)
        if leg is self.partner:
            self.partner = None
        leg.media.close()
        self.on_leg_ended(leg)
        self._abandon(leg, now)
        self.emit(LegEnded(leg.id, leg.side, cause))

    @staticmethod
    def _goodbye(leg: Leg, state: LegState, now: float, headers: Fields) -> None:
        if state is LegState.TALKING:
            hang_up(leg, now, headers)
        elif leg.client is not None:
            leg.client.cancel(headers=headers, now=now)
        elif leg.invite is not None:
            answer(leg.invite, 480, now, headers=headers)

    @staticmethod
    def _abandon(leg: Leg, now: float) -> None:
        """Those who wait for the leg's answers are told that none will come."""
        waiting, leg.waiting = leg.waiting, {}
        errands, leg.errands = leg.errands, deque()
        leg.errand = None
        for client in waiting:
            if isinstance(client, InviteClient):
                client.cancel(now=now)  # else it might wait for a final answer for ever
        for then in [*waiting.values(), *(errand.then for errand in errands)]:
            then(None, 481, now)

    def end(self, cause: str, now: float, headers: Fields = (), status: int = 0) -> None:
        """End the call: every leg, then the last event. `status`: what the caller was told."""
        if self.ended:
            return
        self.ended = True
        self.set_ringback(wanted=False)
        for leg in list(self.legs.values()):
            self.end_leg(leg, cause, now, headers)
        self.emit(CallEnded(cause, status))


def hang_up(leg: Leg, now: float, headers: Fields) -> None:
    """BYE, unless the peer's own came first."""
    dialog, client = leg.dialog, leg.unacked
    if dialog is None or dialog.state is not DialogState.CONFIRMED:
        return
    if client is not None:
        leg.unacked = None
        dialog.ack(client, now=now)
    dialog.request("BYE", headers=headers, now=now)


def answer(
    transaction: ServerRequest,
    status: int,
    now: float,
    *,
    reason: str | None = None,
    headers: Fields = (),
    body: bytes = b"",
    to_tag: str | None = None,
    reliable: bool = False,
) -> Dialog | None:
    """Answer a request unless it was answered: by us, or by the core after a CANCEL or BYE.

    `reliable`: a provisional response to an INVITE, until its PRACK (RFC 3262).
    """
    if transaction.answered:
        return None
    try:
        if reliable and isinstance(transaction, InviteServer):
            return transaction.respond(
                status,
                reason,
                headers=headers,
                body=body,
                to_tag=to_tag,
                reliable=True,
                now=now,
            )
        return transaction.respond(
            status, reason, headers=headers, body=body, to_tag=to_tag, now=now
        )
    except ProtocolError:
        return None  # its dialog ended between the question and the answer


def hash_of(text: str) -> int:
    """A session id for an o= line: unique to the leg, below 2**31, the same in every run."""
    return zlib.crc32(text.encode()) & 0x7FFF_FFFF
