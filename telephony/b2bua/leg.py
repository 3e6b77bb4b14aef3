"""One leg of a call: a peer, the dialog with this peer, its media and its session timer.

A leg also has the queue of the non-INVITE requests that we send within its dialog, and the names
that its peer gave before the answer. `leg_of` finds the leg of an endpoint event.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from telephony.b2bua.events import Side
from telephony.b2bua.headers import ANONYMOUS, HeaderFields, identity_of
from telephony.b2bua.leg_media import LegMedia
from telephony.b2bua.session_timer import SessionTimer
from telephony.b2bua.settings import Target
from telephony.errors import ProtocolError, SipParseError
from telephony.sip.client_request import ClientRequest
from telephony.sip.dialog import Dialog
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    Address,
    DialogEnded,
    DialogRequest,
    DialogRequestFailed,
    DialogResponse,
    InviteAnswered,
    InviteCancelled,
    InviteFailed,
    InviteProgress,
    PrackMissing,
    SipEvent,
)
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.ua.uac import InviteClient
from telephony.sip.ua.uas import InviteServer

OnResponse = Callable[[Response | None, int, float], None]
"""Called once with the final response to a request that we sent, its status and the time.

Without a final response, the response is None and the status gives the reason, for example 408.
"""
MAX_QUEUED: Final = 64
"""The most requests that may wait in the queue of one leg."""


class Sender(Protocol):
    """The part of a leg that a queue uses: the dialog within which the requests are sent."""

    @property
    def dialog(self) -> Dialog | None:
        """The leg's dialog; None if the leg has no dialog."""

    @property
    def talking(self) -> bool:
        """True while the leg's dialog is confirmed and we may send requests within it."""


@dataclass(frozen=True, slots=True)
class _NoSender:
    """The `Sender` of a leg whose call has ended: it sends nothing."""

    dialog: None = None
    talking: bool = False


NO_SENDER: Final = _NoSender()


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A non-INVITE request in the queue; `then` gets its final response, or the lack of one."""

    method: str
    headers: HeaderFields
    body: bytes
    then: OnResponse


class RequestQueue:
    """Sends a leg's queued requests, one at a time, and calls the callback of each."""

    def __init__(self, leg: Sender) -> None:
        self._leg = leg
        self._waiting: deque[QueuedRequest] = deque()
        self._callbacks: dict[ClientRequest, OnResponse] = {}
        self._unanswered: ClientRequest | None = None
        """The request from this queue that was sent and has no final response yet, or None."""

    def add(self, request: QueuedRequest, now: float) -> bool:
        """Queue a non-INVITE request; return False if the leg cannot send or the queue is full."""
        if not self._leg.talking or len(self._waiting) >= MAX_QUEUED:
            return False
        self._waiting.append(request)
        self._send_next(now)
        return True

    def expect(self, client: ClientRequest, then: OnResponse) -> None:
        """Store the callback of a request that was never in this queue, such as an INVITE."""
        self._callbacks[client] = then

    def _send_next(self, now: float) -> None:
        """Send the next waiting request, if no request from this queue is still unanswered."""
        dialog = self._leg.dialog
        if self._unanswered is not None or not self._waiting:
            return
        if dialog is None or not self._leg.talking:
            return
        request = self._waiting.popleft()
        try:
            client = dialog.request(
                request.method, headers=request.headers, body=request.body, now=now
            )
        except ProtocolError:
            # We cannot send this request, because the peer's BYE has arrived and waits to be
            # handled.
            request.then(None, 481, now)
            return
        self._unanswered = client
        self._callbacks[client] = request.then

    def on_final_response(
        self, client: ClientRequest, response: Response | None, status: int, now: float
    ) -> None:
        """Call the callback of a request that has ended, and send the next waiting request."""
        then = self._callbacks.pop(client, None)
        if self._unanswered is client:
            self._unanswered = None
        if then is not None:
            then(response, status, now)
        self._send_next(now)

    def abandon(self, now: float) -> None:
        """Empty an ended leg's queue: call callbacks with 481, and cancel our open INVITEs."""
        callbacks, self._callbacks = self._callbacks, {}
        waiting, self._waiting = self._waiting, deque()
        self._unanswered = None
        for client in callbacks:
            if isinstance(client, InviteClient):
                # Without a CANCEL, this INVITE could wait for a final response for ever.
                client.cancel(now=now)
        for then in [*callbacks.values(), *(request.then for request in waiting)]:
            then(None, 481, now)


FORWARDED: Final = 181
"""The status "Call Is Being Forwarded": from now on, the call rings at another party."""


@dataclass(frozen=True, slots=True)
class StatedName:
    """A name that a message states for its sender, with the fields of `IdentityChanged`."""

    identity: NameAddr
    source: str
    message: Request | Response

    @property
    def asserted(self) -> bool:
        """False if the name is only the address in a Contact, which does not identify a person."""
        return self.source != "Contact"

    @property
    def user(self) -> str:
        """The user part of the name."""
        return self.identity.uri.dialled


class EarlyNames:
    """The newest name in each early dialog of one leg, and the parties that diverted the call."""

    __slots__ = ("_diverted", "_names")

    def __init__(self) -> None:
        self._names: dict[str, StatedName] = {}
        """The newest name by the peer's tag; a Contact does not replace an asserted name."""
        self._diverted: set[str] = set()
        """The user parts of the parties that have diverted the call."""

    def forget(self) -> None:
        """Forget all names: another address is rung, the leg has answered, or the call is over."""
        self._names.clear()
        self._diverted.clear()

    def learn(self, message: Request | Response) -> None:
        """Store the name in a response to the leg's INVITE, or in a request of an early dialog."""
        sender = message.from_ if isinstance(message, Request) else message.to
        tag = sender.tag or ""
        self._diverted |= diverted_from(message)
        before = self._names.get(tag)
        if isinstance(message, Response) and message.status == FORWARDED:
            self._names.pop(tag, None)
            if before is not None and before.asserted:
                self._diverted.add(before.user)
            return
        found = identity_of(message)
        if found is None:
            return
        name = StatedName(*found, message)
        if name.asserted or before is None or not before.asserted:
            self._names[tag] = name

    def at_answer(self, response: Response) -> StatedName | None:
        """Return the name of the party that sent a 2xx; None if no name was given.

        If the answering party has no asserted name of its own, but another party was named or
        diverted the call before, the name is anonymous. Its `source` is then "".
        """
        self.learn(response)
        own = self._names.get(response.to.tag or "")
        if own is not None and own.asserted and own.user not in self._diverted:
            return own
        if self._diverted or any(name.asserted for name in self._names.values()):
            return StatedName(ANONYMOUS, "", response)
        return own


def diverted_from(message: Request | Response) -> frozenset[str]:
    """Return the user parts of the parties from whom a call was diverted.

    They are in Diversion (RFC 5806), and in History-Info entries with a Reason (RFC 7044).
    """
    found = set()
    for header in ("Diversion", "History-Info"):
        for value in message.headers.get_all(header):
            try:
                uris = [entry.uri for entry in NameAddr.parse_list(value)]
            except SipParseError:
                continue
            found |= {
                uri.dialled
                for uri in uris
                if header == "Diversion" or any(key.lower() == "reason" for key, _ in uri.headers)
            }
    return frozenset(found)


logger = logging.getLogger(__name__)


class LegState(StrEnum):
    """The state of a leg, from its INVITE to its end."""

    CALLING = "calling"
    """The leg's INVITE has no final response. A callee has sent no response above 100 yet."""
    RINGING = "ringing"
    """The callee has sent a provisional response above 100."""
    TALKING = "talking"
    """The INVITE of the leg was answered with a 2xx."""
    ENDED = "ended"


_FOLLOWING: Final = {
    LegState.CALLING: frozenset({LegState.RINGING, LegState.TALKING, LegState.ENDED}),
    LegState.RINGING: frozenset({LegState.TALKING, LegState.ENDED}),
    LegState.TALKING: frozenset({LegState.ENDED}),
    LegState.ENDED: frozenset[LegState](),
}
"""Maps each state of a leg to the states that may follow it."""


_NO_REQUESTS: Final = RequestQueue(NO_SENDER)
"""The queue of all legs whose call has ended. It takes no requests."""


class CallLegs(Protocol):
    """The legs of a call (`CallCore`), with the methods that other calls may use."""

    @property
    def callee(self) -> Leg | None:
        """The callee leg that is joined with the caller's leg; None if no callee is joined."""

    def other(self, leg: Leg) -> Leg | None:
        """Return the leg that `leg` is joined with; None if it is joined with no leg."""

    def remove_moved_leg(self, leg: Leg) -> None:
        """Remove a leg that moves to another call and stays alive."""

    def end_leg(self, leg: Leg, cause: str, now: float) -> None:
        """End a leg and free its ports."""

    def end(self, cause: str, now: float) -> None:
        """End the call and all its legs."""


class LegOwner(Protocol):
    """The call that a leg belongs to: a `BackToBackCall`, or its `EndedCall` after the end."""

    @property
    def call_id(self) -> str:
        """The id of the call."""

    @property
    def core(self) -> CallLegs:
        """The legs of the call."""

    @property
    def transferring(self) -> bool:
        """True while the targets of a transfer or of a recall are rung."""

    def add_moved_leg(self, leg: Leg, target: Target, now: float) -> None:
        """Add a leg of another call to this call and join it with the caller."""


class Leg:
    """One leg of a call: our connection with one peer."""

    def __init__(
        self, call: LegOwner, leg_id: str, side: Side, target: Target | None, media: LegMedia
    ) -> None:
        """Create a leg without a dialog; `target` is None for the caller's leg."""
        self.call = call
        self.id = leg_id
        self.side = side
        self.target = target
        self.media = media
        self._state = LegState.CALLING
        self.server_invite: InviteServer | None = None
        """The peer's INVITE that created this leg; None if we sent it, or after a restart."""
        self.client_invite: InviteClient | None = None
        """Our INVITE that created this leg; None if the peer sent it, or after a restart."""
        self.dialog: Dialog | None = None
        self.invite_to_ack: InviteClient | None = None
        """Our INVITE without SDP whose 2xx has no ACK yet, or None.

        The 2xx has the peer's offer. Our ACK with the answer waits for the SDP of the other leg's
        party.
        """
        self.timer: SessionTimer | None = None
        self.min_se = 90
        """The shortest session interval in seconds; the peer's Min-SE raises it (RFC 4028)."""
        self.allow: frozenset[str] = frozenset()
        """The methods in the peer's newest Allow, in upper case, without a refused UPDATE."""
        self.ringing_dialog: Dialog | None = None
        """The early dialog of a ringing callee that can be asked to answer ("talk"); else None."""
        self.identity: tuple[str, str] | None = None
        """The header field that names the peer, and the name's `identity_key`; None if unknown."""
        self.early_names = EarlyNames()
        """The names that the peer gave before its answer. At the answer, they are forgotten."""
        self.requests = RequestQueue(self)

    @property
    def state(self) -> LegState:
        """The state of the leg. Only `CallCore` changes it."""
        return self._state

    def move_to(self, state: LegState) -> None:
        """Change and log the state, for `CallCore` only; raise ProtocolError if not allowed."""
        if state not in _FOLLOWING[self._state]:
            raise ProtocolError(f"a leg cannot change from {self._state} to {state}")
        self._state = state
        logger.debug("leg.state %s %s", self.id, state)

    def release(self, ended: LegOwner) -> None:
        """Drop the leg's references at the end of its call; `ended` then handles late events."""
        self.call = ended
        if self.client_invite is not None:
            self.client_invite.forget_content()
        self.dialog = self.client_invite = self.server_invite = self.invite_to_ack = None
        self.ringing_dialog = self.timer = self.target = None
        self.early_names.forget()
        self.requests, self.allow = _NO_REQUESTS, frozenset()
        self.media.release()

    @property
    def signalling_host(self) -> str:
        """The host with which we exchange the SIP messages of this leg; "" if it is not known."""
        if self.dialog is not None:
            return self.dialog.peer.host
        if self.server_invite is not None:
            return self.server_invite.source.host
        return "" if self.client_invite is None else self.client_invite.destination.host

    @property
    def alive(self) -> bool:
        """True until the leg ends."""
        return self._state is not LegState.ENDED

    @property
    def talking(self) -> bool:
        """True from the 2xx to the leg's INVITE until the leg ends."""
        return self._state is LegState.TALKING

    @property
    def address(self) -> Address | None:
        """The peer's address; None for the caller of a placed call before the caller's 2xx."""
        if self.target is not None:
            return self.target.destination
        if self.dialog is not None:
            return self.dialog.peer
        return None if self.server_invite is None else self.server_invite.source

    def learn(self, allow: str | None) -> None:
        """Store the methods that an Allow header field lists; None changes nothing."""
        if allow is not None:
            self.allow = frozenset(word.strip().upper() for word in allow.split(","))

    def learn_events(self, dialog: Dialog | None, allow_events: str | None) -> None:
        """Store the early dialog if Allow-Events (RFC 6665) has "talk", a request to answer."""
        known = {word.strip().lower() for word in (allow_events or "").split(",")}
        if dialog is not None and "talk" in known:
            self.ringing_dialog = dialog

    def set_identity(self, header: str, key: str) -> bool:
        """Store the peer's identity (`identity_key`); return whether it is new.

        A Contact is only an address, so it does not replace a name from P-Asserted-Identity or
        Remote-Party-ID.
        """
        before = self.identity
        if before is not None and header == "Contact" != before[0]:
            return False
        self.identity = header, key
        return before is None or before[1] != key

    def __repr__(self) -> str:
        return f"<Leg {self.id} {self.side} {self.state}>"


_OF_A_SERVER = (InviteCancelled, PrackMissing)
_OF_A_CLIENT = (InviteProgress, InviteAnswered, InviteFailed)
_OF_A_DIALOG = (
    AckReceived,
    AckMissing,
    DialogRequest,
    DialogResponse,
    DialogRequestFailed,
    DialogEnded,
)


def leg_of(event: SipEvent) -> Leg | None:
    """Return the leg of an endpoint event; None if there is none."""
    owner: object = None
    if isinstance(event, _OF_A_SERVER):
        dialog = event.invite.dialog
        owner = event.invite.owner or (dialog.owner if dialog is not None else None)
    elif isinstance(event, _OF_A_CLIENT):
        owner = event.client.owner
    elif isinstance(event, _OF_A_DIALOG):
        owner = event.dialog.owner
    return owner if isinstance(owner, Leg) else None
