"""A dialog (RFC 3261 section 12): its state, its sequence numbers and the requests in it.

The core holds a confirmed dialog until BYE, and an early one until its INVITE is answered or fails.
This module decides which requests are allowed in a dialog, and when. addresses.py finds their
next hop; transactions send them.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from telephony.errors import ProtocolError
from telephony.sip.dialog.addresses import DialogAddresses, DialogId
from telephony.sip.dialog.route_set import recorded_routes, target_of
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.request.compose import Draft, HeaderList, compose
from telephony.sip.transaction.core import Core
from telephony.sip.transaction.timers import Timer
from telephony.sip.transport.address import Address
from telephony.sip.transport.events import SipEvent
from telephony.sip.transport.local_addresses import LocalAddress
from telephony.sip.transport.outgoing import OutgoingMessage

_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_SURVIVES_481 = {"NOTIFY", "REFER", "PRACK"}
"""A 481 to one of these may concern only the subscription or response: the dialog continues."""

_KEPT_ACKS = 4
"""The number of ACKs that are kept, to be repeated: the peer may repeat an older 2xx after a newer
INVITE was answered."""


class DialogState(enum.Enum):
    """RFC 3261 12: early (after 1xx), confirmed (after 2xx), terminated."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogEnded(SipEvent):
    """A confirmed dialog has ended; the last event of each such dialog, and sent exactly once."""

    dialog: Dialog
    reason: str
    """`bye received`, `bye sent`, `unknown to the peer` (481), or another fixed phrase."""


class DialogRefusal(NamedTuple):
    """The response that the core itself gives to a request within a dialog."""

    status: int
    headers: HeaderList = ()


class SentInvite(Protocol):
    """An INVITE that we sent in the dialog, from the dialog's point of view."""

    def start_deadline(self, now: float) -> None:
        """Give the final response 64*T1 to arrive, as the dialog has ended."""


class ReceivedUpdate(Protocol):
    """An UPDATE that we received in the dialog, from the dialog's point of view."""

    @property
    def answered(self) -> bool:
        """True once a final response was given."""


class ReceivedInvite(ReceivedUpdate, Protocol):
    """An INVITE that we received, from the point of view of its dialog."""

    @property
    def ack_due(self) -> bool:
        """True from our 2xx until its ACK."""

    def on_cancel(self, request: Request, now: float) -> None:
        """Answer 487 after the caller's CANCEL or BYE."""

    def end_with_dialog(self, now: float) -> None:
        """Answer with 487 if it is still open, as its dialog has ended."""

    def stop_repeating(self) -> None:
        """Stop repeating the 2xx."""


OpenRequest = Callable[["Dialog", Draft], ClientRequest]
"""Makes the handle of a request that the application sends in a dialog, without sending it."""


class Dialogs:
    """The early and confirmed dialogs of one endpoint, by their identifiers.

    Attributes:
        core: The state below the dialogs.
        open_request: Makes the handles of the requests in them.
    """

    def __init__(self, core: Core, open_request: OpenRequest) -> None:
        """Start without a dialog."""
        self.core = core
        self.open_request = open_request
        self._by_id: dict[DialogId, Dialog] = {}
        self._call_ids: Counter[str] = Counter()
        """The number of dialogs with each Call-ID."""

    def add(self, dialog: Dialog) -> None:
        """Add a dialog; it replaces one with the same identifiers."""
        if dialog.id not in self._by_id:
            self._call_ids[dialog.call_id] += 1
        self._by_id[dialog.id] = dialog

    def remove(self, dialog: Dialog) -> None:
        """Remove a dialog, if it is here."""
        if self._by_id.pop(dialog.id, None) is None:
            return
        self._call_ids[dialog.call_id] -= 1
        if not self._call_ids[dialog.call_id]:
            del self._call_ids[dialog.call_id]

    def get(self, dialog_id: DialogId) -> Dialog | None:
        """Return the dialog with these identifiers; None if there is none."""
        return self._by_id.get(dialog_id)

    def has_call_id(self, call_id: str) -> bool:
        """Return whether a dialog has this Call-ID."""
        return call_id in self._call_ids

    def __contains__(self, dialog_id: DialogId) -> bool:
        return dialog_id in self._by_id

    def __iter__(self) -> Iterator[Dialog]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class Dialog(DialogAddresses):
    """One dialog, created by the core and never by the application.

    Attributes, in addition to those of `DialogAddresses`:
        state: Early, confirmed or terminated.
        caller: True if we sent the INVITE that created it.
        owner: The application's own object, inherited from the INVITE; the core only stores it.
    """

    def __init__(
        self,
        dialogs: Dialogs,
        *,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        remote_target: Uri,
        routes: Iterable[NameAddr],
        local_cseq: int,
        remote_cseq: int | None,
        caller: bool,
        local_address: LocalAddress,
        peer: Address,
        contact: str,
        owner: object = None,
    ) -> None:
        super().__init__(
            dialogs.core,
            call_id=call_id,
            local=local,
            remote=remote,
            remote_target=remote_target,
            routes=routes,
            local_address=local_address,
            peer=peer,
            contact=contact,
        )
        self.state = DialogState.EARLY
        self.caller = caller
        self.owner = owner
        self._local_cseq = local_cseq
        self._remote_cseq = remote_cseq
        self._acks: dict[int, OutgoingMessage | None] = {}
        """By our INVITE's CSeq number: None while its 2xx waits for `ack`, then the ACK as sent."""
        self._invite_sent: SentInvite | None = None
        self._invite_received: ReceivedInvite | None = None
        self._update_received: ReceivedUpdate | None = None
        self._established = caller
        """False at the callee until the first ACK: it may not send BYE before (RFC 3261 15)."""
        self._waiting_bye: ClientRequest | None = None
        self._bye: ClientRequest | None = None
        self._challenged: Timer | None = None
        self._dialogs = dialogs
        dialogs.add(self)

    @property
    def invite_pending(self) -> bool:
        """True while an INVITE is under way in either direction; we may not send another (14.1)."""
        return (
            self.state is DialogState.EARLY
            or self._invite_sent is not None
            or self._invite_received is not None
            or None in self._acks.values()
        )

    @property
    def ack_due(self) -> bool:
        """True while our 2xx to the peer's INVITE waits for its ACK (event: `AckReceived`)."""
        return self._invite_received is not None and self._invite_received.ack_due

    # For the application.

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> ClientRequest:
        """Send a request in the dialog; return its handle, an `InviteClient` if it is an INVITE.

        `headers` follow those of the dialog (Via, Route, From, To, Call-ID, CSeq, Max-Forwards,
        Contact). If there is a body, they must include its Content-Type. Answers arrive as
        `DialogResponse` or `DialogRequestFailed`; after a BYE, `DialogEnded` follows. The callee's
        BYE waits until the ACK to its 2xx arrives or is given up (RFC 3261 15).

        Raises:
            ProtocolError: The method is ACK or CANCEL; the dialog is terminated or our BYE is on
                the way; or the method is INVITE while `invite_pending`.
        """
        draft = self.draft(method, tuple(headers), body)
        client = self._dialogs.open_request(self, draft)
        if method == "BYE" and not self._established and self.state is DialogState.CONFIRMED:
            self._waiting_bye = client
        else:
            client.begin(now)
        return client

    def ack(
        self,
        client: ClientRequest,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> None:
        """Acknowledge the 2xx to `client`'s INVITE; the core repeats the ACK for each repeated 2xx.

        Raises:
            ProtocolError: No 2xx to that INVITE was received in this dialog.
        """
        del now  # the ACK has no timer of its own
        number = client.request.cseq.number
        if number not in self._acks:
            raise ProtocolError("no 2xx to that INVITE came in this dialog")
        if self._acks[number] is None:
            credentials = (
                (name, value)
                for name in _CREDENTIALS
                for value in client.request.headers.get_all(name)
            )
            draft = self._draft("ACK", number, (*credentials, *headers), body)
            self._acks[number] = draft.next_hop.message(bytes(compose(self._core, draft)))
            sent = [old for old, ack in self._acks.items() if ack is not None]
            for old in sent[:-_KEPT_ACKS]:
                del self._acks[old]
        self.repeat_ack(number)

    def glare_delay(self) -> float:
        """Return a random number of seconds to wait after a 491 before a retry (RFC 3261 14.1).

        2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other side, in steps of 10 ms.
        """
        low, high = (210, 400) if self.caller else (0, 200)
        return self._core.rng.randint(low, high) / 100

    def drop(self, reason: str) -> None:
        """Drop the dialog without notifying the peer; emit `DialogEnded` if it was confirmed."""
        if self.state is DialogState.TERMINATED:
            return
        confirmed = self.state is DialogState.CONFIRMED
        self.state = DialogState.TERMINATED
        self._dialogs.remove(self)
        if self._challenged is not None:
            self._challenged.cancel()
        if self._invite_received is not None and confirmed:
            self._invite_received.stop_repeating()
        if confirmed:
            self._core.emit(DialogEnded(self, reason))

    def checkpoint(self) -> dict[str, object]:
        """Return the dialog as plain values (msgpack-able) that survive a restart.

        `Endpoint.restore_dialog` restores the dialog from them.
        """
        return {
            "version": 2,
            "call_id": self.id.call_id,
            "local": str(self.local),
            "remote": str(self.remote),
            "remote_target": str(self.remote_target),
            "routes": [str(route) for route in self.routes],
            "local_cseq": self._local_cseq,
            "remote_cseq": self._remote_cseq,
            "caller": self.caller,
            "local_address": list(self.local_address),
            "peer": list(self.peer),
            "send_to": list(self.send_to) if self.send_to else None,
            "contact": self.contact,
        }

    def restore(self, send_to: Address | None) -> None:
        """Mark the restored dialog as confirmed; `send_to` None leaves its destination open."""
        self.state = DialogState.CONFIRMED
        self.send_to = send_to
        self._established = True

    # For the core's client side.

    @property
    def is_ending(self) -> bool:
        """True if the dialog is over or our BYE is on the way: `request` then raises."""
        return self.state is DialogState.TERMINATED or self._bye is not None

    def draft(self, method: str, headers: HeaderList, body: bytes) -> Draft:
        """Return the draft of our next request, with the next CSeq number.

        Raises:
            ProtocolError: See `request`.
        """
        if method in {"ACK", "CANCEL"}:
            raise ProtocolError("ACK is sent by ack(), CANCEL by cancel()")
        if self.is_ending:
            raise ProtocolError("the dialog is terminated")
        if method == "INVITE" and self.invite_pending:
            raise ProtocolError("an INVITE is pending in this dialog")
        draft = self._draft(method, self._local_cseq + 1, headers, body)
        self._local_cseq += 1
        return draft

    def draft_again(self, draft: Draft, headers: HeaderList) -> Draft:
        """Return the same request with other headers and the next number, even if it is our BYE."""
        self._local_cseq += 1
        return replace(draft, cseq=self._local_cseq, headers=headers)

    def note_invite(self, client: SentInvite) -> None:
        """Note that our re-INVITE is under way."""
        self._invite_sent = client

    def note_bye(self, client: ClientRequest) -> None:
        """Note that our BYE is under way, or waits for the ACK to our 2xx."""
        self._bye = client

    def refresh(self, message: Request | Response) -> None:
        """Take over the peer's Contact and, in the early state, a response's routes (13.2.2.4)."""
        self.remote_target = target_of(message) or self.remote_target
        if self.state is DialogState.EARLY and isinstance(message, Response):
            self.routes = tuple(reversed(recorded_routes(message)))

    def has_2xx(self, number: int) -> bool:
        """Return whether a 2xx to our INVITE with this CSeq number was already received."""
        return number in self._acks

    def confirm(self, response: Response, number: int) -> None:
        """Process the 2xx to the INVITE that creates this dialog."""
        self.refresh(response)
        self.state = DialogState.CONFIRMED
        self._bye = None  # a BYE sent in the early dialog does not end the confirmed one
        self._acks[number] = None

    def confirm_reinvite(self, response: Response, number: int) -> None:
        """Process the 2xx to our re-INVITE with this CSeq number."""
        self.refresh(response)
        self._acks[number] = None

    def reinvite_finished(self, client: SentInvite) -> None:
        """Note that our re-INVITE has its final response, or will not get one."""
        if self._invite_sent is client:
            self._invite_sent = None

    def repeat_ack(self, number: int) -> None:
        """Send the ACK again, if the application has already supplied it."""
        ack = self._acks.get(number)
        if ack is not None:
            self._core.outbox.append(ack)

    def on_response(self, client: ClientRequest, response: Response, now: float) -> None:
        """Update the dialog after a response that was reported to the application."""
        if response.status < 200:
            return
        if client is self._bye:
            self._bye_answered(response.status, now)
        elif response.status == 481 and client.request.method not in _SURVIVES_481:
            if self._established:  # before the ACK, the peer may not have received our 2xx yet
                self.end("unknown to the peer", now)
        elif response.status < 300 and client.request.method == "UPDATE":
            self.refresh(response)

    def on_failure(self, client: ClientRequest, now: float) -> None:
        """End the dialog if our BYE got no answer; other unanswered requests do not end it."""
        if client is self._bye:
            self.end("bye sent", now)

    def _bye_answered(self, status: int, now: float) -> None:
        if status not in {401, 407}:
            self.end("bye sent", now)
            return
        self._bye = None  # the application may retry with credentials, for 64*T1
        if self._challenged is None:
            self._challenged = self._core.timers.at(
                now + self._core.timings.timeout, lambda now: self.end("bye sent", now)
            )

    # For the core's server side.

    def receive(self, request: Request) -> DialogRefusal | None:
        """Check a request against the dialog's state (12.2.2, 14.2, RFC 3311 5.2).

        Return None if the application may answer it, else the response that the core gives.
        """
        number = request.cseq.number
        if self._remote_cseq is not None and number <= self._remote_cseq:
            return DialogRefusal(500)
        self._remote_cseq = number
        if self._bye is not None:
            return DialogRefusal(200 if request.method == "BYE" else 481)
        if request.method == "INVITE":
            if self._invite_received is not None and not self._invite_received.answered:
                return self._retry_later()
            if self._invite_sent is not None or None in self._acks.values() or self._is_calling:
                return DialogRefusal(491)
        elif request.method == "UPDATE" and self._update_waits:
            return self._retry_later()
        if request.method in {"INVITE", "UPDATE"}:
            self.refresh(request)
        return None

    def record_cseq(self, number: int) -> None:
        """Record the CSeq number of a PRACK, which may arrive out of order."""
        self._remote_cseq = max(number, self._remote_cseq or 0)

    @property
    def _update_waits(self) -> bool:
        return self._update_received is not None and not self._update_received.answered

    @property
    def _is_calling(self) -> bool:
        return self.caller and self.state is DialogState.EARLY

    def note_received_invite(self, invite: ReceivedInvite) -> None:
        """Note an INVITE that waits for our answer."""
        self._invite_received = invite

    def note_received_update(self, update: ReceivedUpdate) -> None:
        """Note an UPDATE that waits for our answer."""
        self._update_received = update

    def confirm_by_our_2xx(self) -> None:
        """Note that our 2xx to the INVITE is on its way: an early dialog becomes confirmed."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def invite_acknowledged(self, invite: ReceivedInvite, now: float) -> bool:
        """Note that the final response to an INVITE is acknowledged, or never will be.

        Returns True if a BYE was waiting for this and has now been sent.
        """
        if self._invite_received is invite:
            self._invite_received = None
        self._established = True
        bye, self._waiting_bye = self._waiting_bye, None
        if bye is not None and self.state is DialogState.CONFIRMED:
            bye.begin(now)
            return True
        return False

    def cancel_invite(self, request: Request, now: float) -> None:
        """Treat the caller's BYE in the early dialog like a CANCEL (15.1.2)."""
        if self._invite_received is not None:
            self._invite_received.on_cancel(request, now)

    def bye_crossed(self, now: float) -> None:
        """End the dialog if our BYE still waits and the peer's BYE has come: ours is not needed."""
        if self._waiting_bye is not None:
            self.end("bye received", now)

    def end(self, reason: str, now: float) -> None:
        """End the dialog.

        An INVITE that waits for our answer gets 487. Our own INVITE waits for its final response
        64*T1 at most.
        """
        if self._invite_sent is not None:
            self._invite_sent.start_deadline(now)
        if self._invite_received is not None:
            self._invite_received.end_with_dialog(now)
            self._invite_received = None
        self.drop(reason)

    def _retry_later(self) -> DialogRefusal:
        seconds = self._core.rng.randint(0, 10)
        return DialogRefusal(500, (("Retry-After", str(seconds)),))
