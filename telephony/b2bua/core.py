"""The state that the components of a call share: all legs, the joined pair, and the events.

Only this module creates, joins and ends legs, and changes the state of a leg.

After the end of a call, a callee's 200 that crossed our CANCEL can still arrive. A peer can
repeat a request for half a minute. An `EndedCall` handles these messages: the legs then refer only
to it, so that everything else is freed.
"""

from __future__ import annotations

import contextlib
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import count

from telephony.b2bua.events import (
    CallEnded,
    CallEvent,
    IdentityChanged,
    Joined,
    LegEnded,
    LegRinging,
    MediaNegotiated,
    Side,
)
from telephony.b2bua.headers import HeaderFields, Trust, identity_key, identity_of
from telephony.b2bua.leg import CallLegs, Leg, LegOwner, LegState
from telephony.b2bua.leg_media import LegMedia, MediaPlane, RingbackPlane, check_media_address
from telephony.b2bua.session_timer import agree_to_response, request_fields
from telephony.b2bua.settings import CallSettings, PeerKind, Target
from telephony.errors import NoPortsError, ProtocolError, SdpParseError, SipParseError
from telephony.sdp import Origin, RemoteMedia, payload_map
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import DialogRequest, InviteAnswered, SipEvent
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.ua.server_request import ServerRequest
from telephony.sip.ua.uas import InviteServer

SDP_TYPE: HeaderFields = (("Content-Type", "application/sdp"),)


class EndCause(StrEnum):
    """The reason why a leg or a call ended."""

    REFUSED = "refused"
    CANCELLED = "cancelled"
    NO_PORTS = "no-ports"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    ANSWERED_ELSEWHERE = "answered-elsewhere"
    CALLER_HUNG_UP = "caller-hung-up"
    CALLEE_HUNG_UP = "advisor-hung-up"
    """The text says "advisor" and not "callee", because the logs of all earlier versions do so."""
    HUNG_UP = "hung-up"
    TRANSFERRED = "transferred"
    REPLACED = "replaced"
    RECALL_FAILED = "nobody-left"
    SESSION_EXPIRED = "session-expired"
    ACK_MISSING = "ack-missing"
    PEER_GONE = "peer-gone"
    NO_MEDIA = "no-common-media"
    FAULT = "fault"


class CallCore:
    """The state of one call. Only its methods change the state of a leg."""

    def __init__(
        self,
        call: LegOwner,
        endpoint: Endpoint,
        plane: MediaPlane,
        settings: CallSettings,
        call_id: str,
    ) -> None:
        self._call = call
        self.endpoint = endpoint
        self.plane = plane
        self.settings = settings
        self.call_id = call_id
        self.legs: dict[str, Leg] = {}
        self.caller: Leg
        """The caller's leg, which is the first leg of the call. Not set before it exists."""
        self._callee: Leg | None = None
        self.ended = False
        self.ringback = False
        self.owner_holds = False
        """True while the call's owner holds the call: no party hears the other."""
        self.events: deque[CallEvent] = deque()
        self.on_leg_ended: Callable[[Leg], None] = _ignore_leg
        self._numbers = count(1)

    @property
    def callee(self) -> Leg | None:
        """The callee leg that is joined with the caller's leg; None if no callee is joined."""
        return self._callee

    def emit(self, event: CallEvent) -> None:
        """Put an event into the queue from which the call's owner takes events."""
        self.events.append(event)

    def trust_between(self, sender: Leg, receiver: Leg) -> Trust:
        """Return the rules for what we pass on to `receiver` from the messages of `sender`."""
        grants = sender.target.grants if sender.target else self.settings.caller_grants
        account = self._account(sender, receiver) if self.is_phone(sender) else None
        return Trust(self.kind_of(sender), self.kind_of(receiver), grants, account)

    def kind_of(self, leg: Leg) -> PeerKind:
        """Return the kind of the leg's peer."""
        if self.is_phone(leg):
            return PeerKind.PHONE
        trusted = leg.target.trust if leg.target else self.settings.trust_caller
        return PeerKind.TRUSTED if trusted else PeerKind.OUTSIDE

    def _account(self, phone: Leg, receiver: Leg) -> NameAddr | None:
        """Return the address by which `receiver` sees a phone; None if it cannot be made.

        The user part is the phone's extension, which must be known. The host is that of our Contact
        for `receiver`. A receiver outside the trust domain gets no display name.
        """
        target, settings = phone.target, self.settings
        extension = target.name if target else settings.caller_extension
        user = target.user if target else settings.caller_user
        peer = receiver.address
        if not extension or peer is None:
            return None
        try:
            own = NameAddr.parse(self.endpoint.contact(extension, peer)).uri
        except (ProtocolError, SipParseError):
            return None
        name = "" if self.kind_of(receiver) is PeerKind.OUTSIDE else user
        return NameAddr(name, Uri(user=own.user, host=own.host))

    def is_phone(self, leg: Leg) -> bool:
        """Return whether the leg's peer is one of our own phones, which may be behind NAT."""
        return leg.target.is_phone if leg.target is not None else self.settings.caller_is_phone

    # --- legs -------------------------------------------------------------------------------

    def new_leg(self, side: Side, target: Target | None, *, ipv6: bool) -> Leg:
        """Create a leg with its own ports; `ipv6` is for media over IPv6.

        Raises `NoPortsError` without a free port, or after `max_legs` legs, ended ones included.
        """
        if len(self.legs) >= self.settings.max_legs:
            raise NoPortsError("too many legs in one call")
        leg_id = f"{self.call_id}/{'a' if side is Side.CALLER else f'b{next(self._numbers)}'}"
        srtp = target.srtp if target is not None else self.settings.caller_srtp
        origin, urgent = Origin(session_id_of(leg_id), 0), self.settings.urgent
        media = LegMedia(self.plane, leg_id, origin, srtp, ipv6=ipv6, urgent=urgent)
        return self._keep(Leg(self._call, leg_id, side, target, media))

    def restore_leg(self, side: Side, target: Target | None, media: LegMedia) -> Leg:
        """Add a leg with a confirmed dialog from before the restart; `media` has its old ports."""
        number = media.leg_id.rpartition("/b")[2]
        if number.isdigit():
            self._numbers = count(max(int(number) + 1, next(self._numbers)))
        leg = self._keep(Leg(self._call, media.leg_id, side, target, media))
        leg.move_to(LegState.TALKING)
        return leg

    def _keep(self, leg: Leg) -> Leg:
        if not self.legs:
            self.caller = leg
        self.legs[leg.id] = leg
        leg.media.check_remote = partial(self._check_remote, leg)
        return leg

    def _check_remote(self, leg: Leg, remote: RemoteMedia) -> RemoteMedia:
        """Check the addresses in the SDP of the leg's peer.

        A trusted PBX may name the media port of another of our legs, because it may connect two of
        its calls with us. A separate RTCP address that is not allowed is removed. Raises
        `SdpParseError` (488) if media must not be sent to the address.
        """
        own = leg.media.local
        check_media_address(remote.host, leg.signalling_host, own.host)
        is_pbx = self.kind_of(leg) is PeerKind.TRUSTED
        if self.plane.is_own_port(remote.host, remote.rtp_port) and (
            not is_pbx or remote.rtp_port == own.port
        ):
            raise SdpParseError("the peer's media address is one of our own media ports", 488)
        if not remote.rtcp_host:
            return remote
        try:
            check_media_address(remote.rtcp_host, leg.signalling_host, own.host)
        except SdpParseError:
            return replace(remote, rtcp_host="")
        return remote

    def add_moved_leg(self, leg: Leg, target: Target) -> None:
        """Add a leg of another call and join it with the caller's leg; `target` is its party."""
        leg.call, leg.side, leg.target = self._call, Side.CALLEE, target
        self._keep(leg)
        self.set_ringback(wanted=False)
        self.join(leg)
        self.emit(Joined(leg.id, target))
        self.emit_media(self.caller)
        self.emit_media(leg)

    def timer_fields(self, leg: Leg) -> HeaderFields:
        """Return the header fields about the leg's session timer in our INVITE or UPDATE."""
        return request_fields(leg.timer, self.settings.session, leg.min_se)

    def start_timer(self, leg: Leg, response: Response, now: float) -> None:
        """Start the leg's session timer after a 2xx to our INVITE or UPDATE."""
        leg.timer = agree_to_response(response, self.settings.session, leg.min_se, now)

    def set_owner_hold(self, *, held: bool) -> None:
        """Begin or end a hold by the call's owner, in which no party gets media of the other."""
        self.owner_holds = held
        for leg in (self.caller, self._callee):
            if leg is not None:
                leg.media.mute(muted=held)

    def remove_moved_leg(self, leg: Leg) -> None:
        """Remove a leg that moves to another call and stays alive. End a hold by the owner."""
        self.set_owner_hold(held=False)
        self._callee = None
        del self.legs[leg.id]
        self.caller = next(iter(self.legs.values()), leg)
        self.on_leg_ended(leg)

    def join(self, leg: Leg) -> None:
        """Join a callee leg with the caller's leg, and relay media if it is agreed on both legs.

        A hold by the call's owner ends. Raises `ProtocolError` if `leg` is the caller's leg.
        """
        if leg.side is Side.CALLER:
            raise ProtocolError("only a callee can be joined with the caller")
        self.set_owner_hold(held=False)
        self._callee = leg
        self.connect(leg)

    def forget_legs(self) -> None:
        """Delete all legs and all waiting events. No peer gets a message."""
        self._callee = None
        for leg in self.legs.values():
            leg.media.close()
            if leg.dialog is not None:
                leg.dialog.owner = None
                leg.dialog.drop("not restored")
        self.legs.clear()
        self.events.clear()

    def other(self, leg: Leg) -> Leg | None:
        """Return the leg that `leg` is joined with; None if it is joined with no leg."""
        if self._callee is None:
            return None
        if leg is self._callee:
            return self.caller
        return self._callee if leg is self.caller else None

    def connect(self, callee: Leg) -> None:
        """Relay media between the caller's leg and `callee`, if media is agreed on both legs."""
        a, b = self.caller.media.remote, callee.media.remote
        if a is not None and b is not None and self.caller.alive and callee.alive:
            self.plane.join(
                self.caller.id,
                callee.id,
                payload_map(a.payloads, b.accepts),
                payload_map(b.payloads, a.accepts),
            )

    def reconnect(self) -> None:
        """Configure the media relay again, after new media was agreed on one of the joined legs."""
        if self._callee is not None:
            self.connect(self._callee)

    def emit_media(self, leg: Leg) -> None:
        """Emit `MediaNegotiated` with the payload types that the leg's peer may now send."""
        self.emit(MediaNegotiated(leg.id, leg.side, leg.media.rows()))

    def set_ringback(self, *, wanted: bool) -> None:
        """Start or stop the ringing tone of a waiting caller, if the media plane can play it."""
        if wanted != self.ringback and isinstance(self.plane, RingbackPlane):
            act = self.plane.start_ringback if wanted else self.plane.stop_ringback
            act(self.caller.id)
        self.ringback = wanted

    @staticmethod
    def learn_from_invite(leg: Leg, request: Request) -> None:
        """Store identity and methods from the INVITE that created the leg; emit no event."""
        leg.learn(request.headers.get("Allow"))
        found = identity_of(request)
        if found is not None:
            leg.set_identity(found[1], identity_key(*found))

    def learn_from(self, leg: Leg, message: Request | Response) -> bool:
        """Store the sender's identity and methods; return whether the sender has a new name.

        An identity that a phone writes is ignored, because its account gives its identity. A new
        identity of another peer emits `IdentityChanged`. For a Contact, the result is False: it is
        an address and not a name.
        """
        leg.learn(message.headers.get("Allow"))
        found = None if self.is_phone(leg) else identity_of(message)
        return found is not None and self._set_identity(leg, *found, message)

    def learn_early(self, leg: Leg, message: Request | Response) -> None:
        """Store the methods and the name of a peer that rings (see `EarlyNames`); emit no event."""
        leg.learn(message.headers.get("Allow"))
        if not self.is_phone(leg):
            leg.early_names.learn(message)

    def learn_at_answer(self, leg: Leg, response: Response) -> None:
        """Store a callee's methods and name from its 2xx; emit `IdentityChanged` if it is new."""
        leg.learn(response.headers.get("Allow"))
        name = None if self.is_phone(leg) else leg.early_names.at_answer(response)
        leg.early_names.forget()
        if name is not None:
            self._set_identity(leg, name.identity, name.source, name.message)

    def _set_identity(
        self, leg: Leg, identity: NameAddr, source: str, message: Request | Response
    ) -> bool:
        if not leg.set_identity(source, identity_key(identity, source)):
            return False
        self.emit(IdentityChanged(leg.id, leg.side, identity, source, message))
        return source != "Contact"

    def set_ringing(self, leg: Leg) -> None:
        """Change the state of a callee leg to ringing; emit `LegRinging` the first time."""
        if leg.state is LegState.CALLING and leg.target is not None:
            leg.move_to(LegState.RINGING)
            self.emit(LegRinging(leg.id, leg.target))

    def set_confirmed(self, leg: Leg, dialog: Dialog) -> None:
        """Store the dialog that a 2xx has created, and change the state of the leg to talking.

        From now on, requests to a phone go to the address from which its messages come.
        """
        leg.dialog = dialog
        leg.move_to(LegState.TALKING)
        if self.is_phone(leg):
            dialog.send_to = dialog.peer

    # --- the end of a leg and of the call ---------------------------------------------------

    def end_leg(self, leg: Leg, cause: str, now: float, headers: HeaderFields = ()) -> None:
        """End a leg and free its ports. Responses for it may still arrive afterwards.

        A confirmed dialog gets a BYE, our INVITE a CANCEL, and the peer's unanswered INVITE 480.
        """
        if not leg.alive:
            return
        state = leg.state
        leg.move_to(LegState.ENDED)
        self._goodbye(leg, state, now, headers)
        if leg is self._callee:
            self._callee = None
        leg.media.close()
        self.on_leg_ended(leg)
        leg.requests.abandon(now)
        self.emit(LegEnded(leg.id, leg.side, cause))

    @staticmethod
    def _goodbye(leg: Leg, state: LegState, now: float, headers: HeaderFields) -> None:
        if state is LegState.TALKING:
            hang_up(leg, now, headers)
        elif leg.client_invite is not None:
            leg.client_invite.cancel(headers=headers, now=now)
        elif leg.server_invite is not None:
            answer(leg.server_invite, 480, now, headers=headers)

    def end(self, cause: str, now: float, headers: HeaderFields = (), status: int = 0) -> None:
        """End every leg, then emit `CallEnded`; `status` is as in this event."""
        if self.ended:
            return
        self.ended = True
        self.set_ringback(wanted=False)
        for leg in list(self.legs.values()):
            self.end_leg(leg, cause, now, headers)
        self.emit(CallEnded(cause, status))

    def release(self, ended: LegOwner) -> None:
        """Remove the references that lead back to this object; `ended` now owns the legs."""
        self._call, self.on_leg_ended = ended, _ignore_leg
        for leg in self.legs.values():
            leg.release(ended)


def _ignore_leg(leg: Leg) -> None:
    """Do nothing at the end of a leg."""


def hang_up(leg: Leg, now: float, headers: HeaderFields) -> None:
    """Send a BYE, unless the dialog has ended. If an ACK is still due, send it before the BYE."""
    dialog, client = leg.dialog, leg.invite_to_ack
    if dialog is None or dialog.state is not DialogState.CONFIRMED:
        return
    if client is not None:
        leg.invite_to_ack = None
        dialog.ack(client, now=now)
    dialog.request("BYE", headers=headers, now=now)


def answer(
    transaction: ServerRequest,
    status: int,
    now: float,
    *,
    reason: str | None = None,
    headers: HeaderFields = (),
    body: bytes = b"",
    to_tag: str | None = None,
    reliable: bool = False,
) -> Dialog | None:
    """Send a response, unless the request already has a final one, for example after a CANCEL.

    Return the dialog that the response creates; None if it creates none or was not sent. `reason`
    None means the usual phrase, and `to_tag` None a tag that the endpoint chooses. A `reliable`
    provisional response to an INVITE is sent again until its PRACK arrives (RFC 3262).
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
        return None  # the dialog ended after the request had arrived


def decline(event: InviteAnswered, now: float) -> None:
    """Acknowledge a 2xx that we do not use, then send a BYE (RFC 3261 13.2.2.4, 15)."""
    event.dialog.ack(event.client, now=now)
    event.dialog.request("BYE", now=now)


def session_id_of(text: str) -> int:
    """Return the session id of a leg's o= line: below 2**31, the same in every process."""
    return zlib.crc32(text.encode()) & 0x7FFF_FFFF


class EndedCall:
    """The owner of the legs of a call that has ended."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id

    @property
    def core(self) -> CallLegs:
        """Raise ProtocolError, because the call has no legs any more."""
        raise ProtocolError("the call has ended")

    @property
    def transferring(self) -> bool:
        """False, because a call that has ended has no transfer."""
        return False

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Raise ProtocolError, because no leg can move to a call that has ended."""
        del leg, target, now
        raise ProtocolError("the call has ended")

    def handle(self, event: SipEvent, now: float) -> None:
        """Handle an endpoint event that arrives after the end of the call."""
        handle_late(event, now)


def handle_late(event: SipEvent, now: float) -> None:
    """Send ACK and BYE for a late 2xx, and a response to a request within a dialog."""
    match event:
        case InviteAnswered():
            # The peer may have hung up already.
            with contextlib.suppress(ProtocolError):
                decline(event, now)
        case DialogRequest(_, transaction, request):
            answer(transaction, 200 if request.method == "BYE" else 481, now)
        case _:
            pass
