"""A dialog (RFC 3261 section 12): its state, its CSeq numbers and the requests within it.

The core stores a confirmed dialog until a BYE, and an early dialog until its INVITE is answered or
fails. This module decides which requests are allowed in a dialog, and when. The module addresses.py
finds the next hop of a request, and the package `transaction` sends the request.
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
"""The methods of requests that do not end their dialog if they get a 481. The 481 may concern only
the subscription of a NOTIFY or REFER, or only the response that a PRACK acknowledges."""

_KEPT_ACKS = 4
"""The number of sent ACKs that a dialog stores, so that it can send them again. The peer may repeat
an older 2xx even after a newer INVITE was answered."""


class DialogState(enum.Enum):
    """The states of a dialog (RFC 3261 section 12).

    A dialog is early after a 1xx, confirmed after a 2xx, and terminated after its end.
    """

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogEnded(SipEvent):
    """A confirmed dialog has ended. This is the dialog's last event, and it occurs exactly once."""

    dialog: Dialog
    reason: str
    """The reason as a fixed phrase, for example `bye received`, `bye sent` or `unknown to the peer`
    (after a 481)."""


class DialogRefusal(NamedTuple):
    """The response with which the core itself refuses a request within a dialog."""

    status: int
    headers: HeaderList = ()


class SentInvite(Protocol):
    """An INVITE that we sent in a dialog, with the methods that the dialog calls."""

    def start_deadline(self, now: float) -> None:
        """Wait at most 64*T1 longer for the final response, because the dialog has ended."""


class ReceivedUpdate(Protocol):
    """An UPDATE that we received in a dialog, with the properties that the dialog reads."""

    @property
    def answered(self) -> bool:
        """True once we have sent a final response."""


class ReceivedInvite(ReceivedUpdate, Protocol):
    """An INVITE that we received, with the properties and methods that its dialog uses."""

    @property
    def ack_due(self) -> bool:
        """True from our 2xx until the ACK to this 2xx arrives."""

    def on_cancel(self, request: Request, now: float) -> None:
        """Answer the INVITE with 487, because the caller has sent a CANCEL or a BYE (`request`)."""

    def end_with_dialog(self, now: float) -> None:
        """Answer the INVITE with 487 if it has no final response, because its dialog has ended."""

    def stop_repeating(self) -> None:
        """Stop repeating our 2xx to the INVITE."""


OpenRequest = Callable[["Dialog", Draft], ClientRequest]
"""A function that makes the handle of a request which the application sends in a dialog. The
function does not send the request."""


class Dialogs:
    """The early and confirmed dialogs of one endpoint, found by their identifiers.

    Attributes:
        core: The state that the dialogs share with the layers below them.
        open_request: The function that makes the handle of a request within a dialog.
    """

    def __init__(self, core: Core, open_request: OpenRequest) -> None:
        """Make an empty collection of dialogs."""
        self.core = core
        self.open_request = open_request
        self._by_id: dict[DialogId, Dialog] = {}
        self._call_ids: Counter[str] = Counter()
        """The number of dialogs with each Call-ID; the Call-ID is the key."""

    def add(self, dialog: Dialog) -> None:
        """Add a dialog; it replaces an existing dialog with the same identifiers."""
        if dialog.id not in self._by_id:
            self._call_ids[dialog.call_id] += 1
        self._by_id[dialog.id] = dialog

    def remove(self, dialog: Dialog) -> None:
        """Remove a dialog; do nothing if the dialog is not in this collection."""
        if self._by_id.pop(dialog.id, None) is None:
            return
        self._call_ids[dialog.call_id] -= 1
        if not self._call_ids[dialog.call_id]:
            del self._call_ids[dialog.call_id]

    def get(self, dialog_id: DialogId) -> Dialog | None:
        """Return the dialog with these identifiers; None if no dialog has these identifiers."""
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
    """One dialog. The core creates it; the application never does.

    Attributes, in addition to those of `DialogAddresses`:
        state: Early, confirmed or terminated.
        caller: True if we sent the INVITE that created the dialog.
        owner: An object of the application, taken from the INVITE's `owner`. The core only stores
            it.
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
        """The ACKs to the 2xx responses of our INVITEs; the key is the INVITE's CSeq number. The
        value is None until the application calls `ack`, then the ACK as it was sent."""
        self._invite_sent: SentInvite | None = None
        self._invite_received: ReceivedInvite | None = None
        self._update_received: ReceivedUpdate | None = None
        self._established = caller
        """False at the callee until the first ACK arrives. Until then, the callee may not send a
        BYE (RFC 3261 section 15)."""
        self._waiting_bye: ClientRequest | None = None
        self._bye: ClientRequest | None = None
        self._challenged: Timer | None = None
        self._dialogs = dialogs
        dialogs.add(self)

    @property
    def invite_pending(self) -> bool:
        """True while an INVITE in either direction is not completed.

        During this time we may not send another INVITE (RFC 3261 section 14.1).
        """
        return (
            self.state is DialogState.EARLY
            or self._invite_sent is not None
            or self._invite_received is not None
            or None in self._acks.values()
        )

    @property
    def ack_due(self) -> bool:
        """True while our 2xx to the peer's INVITE waits for the ACK.

        The event `AckReceived` reports the ACK.
        """
        return self._invite_received is not None and self._invite_received.ack_due

    # The application calls the methods below.

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> ClientRequest:
        """Send a request in the dialog and return its handle.

        The handle of an INVITE is an `InviteClient`. The given `headers` are placed after the
        headers that the dialog writes (Via, Route, From, To, Call-ID, CSeq, Max-Forwards, Contact).
        If there is a body, `headers` must include its Content-Type. Each response arrives as a
        `DialogResponse`; a request without a final response ends with `DialogRequestFailed`. After
        a BYE, `DialogEnded` follows. If we are the callee, our BYE waits until the ACK to our 2xx
        arrives, or until we stop waiting for that ACK (RFC 3261 section 15).

        Raises:
            ProtocolError: The method is ACK or CANCEL; the dialog is terminated; our BYE was sent
                or waits to be sent; or the method is INVITE while `invite_pending` is true.
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
        """Send the ACK to the 2xx that `client`'s INVITE received.

        Each time the peer repeats this 2xx, the core sends the ACK again.

        Raises:
            ProtocolError: This dialog has received no 2xx to that INVITE.
        """
        del now  # the ACK needs no timer
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
        """Return the number of seconds to wait after a 491, before the INVITE is sent again.

        The number is random, in steps of 10 ms: 2.1 to 4 s if we made the dialog's Call-ID, 0 to 2
        s if the peer made it (RFC 3261 section 14.1).
        """
        low, high = (210, 400) if self.caller else (0, 200)
        return self._core.rng.randint(low, high) / 100

    def drop(self, reason: str) -> None:
        """Remove the dialog without notifying the peer; emit `DialogEnded` if it was confirmed."""
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
        """Return the dialog as plain values that can be packed by msgpack and saved for a restart.

        `Endpoint.restore_dialog` makes the dialog again from these values.
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
        """Mark a dialog that was made from a checkpoint as confirmed.

        `send_to` is the fixed destination of its requests; None if the destination is not fixed.
        """
        self.state = DialogState.CONFIRMED
        self.send_to = send_to
        self._established = True

    # The core's client side uses the methods below.

    @property
    def is_ending(self) -> bool:
        """True if the dialog is terminated, or our BYE was sent or waits to be sent.

        `request` then raises ProtocolError.
        """
        return self.state is DialogState.TERMINATED or self._bye is not None

    def draft(self, method: str, headers: HeaderList, body: bytes) -> Draft:
        """Return the draft of our next request in the dialog, with the next CSeq number.

        Raises:
            ProtocolError: For the reasons that `request` gives.
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
        """Return a copy of `draft` with these headers and the next CSeq number.

        This is allowed even if the request is our BYE.
        """
        self._local_cseq += 1
        return replace(draft, cseq=self._local_cseq, headers=headers)

    def note_invite(self, client: SentInvite) -> None:
        """Store our re-INVITE, which is about to be sent."""
        self._invite_sent = client

    def note_bye(self, client: ClientRequest) -> None:
        """Store our BYE, which is about to be sent or waits for the ACK to our 2xx."""
        self._bye = client

    def refresh(self, message: Request | Response) -> None:
        """Store the peer's Contact from a message as the remote target.

        In the early state, also store the routes of a response (RFC 3261 section 13.2.2.4).
        """
        self.remote_target = target_of(message) or self.remote_target
        if self.state is DialogState.EARLY and isinstance(message, Response):
            self.routes = tuple(reversed(recorded_routes(message)))

    def has_2xx(self, number: int) -> bool:
        """Return whether a 2xx to our INVITE with this CSeq number was already received."""
        return number in self._acks

    def confirm(self, response: Response, number: int) -> None:
        """Process the 2xx that confirms this dialog; `number` is the CSeq number of our INVITE."""
        self.refresh(response)
        self.state = DialogState.CONFIRMED
        self._bye = None  # a BYE sent in the early state does not end the confirmed dialog
        self._acks[number] = None

    def confirm_reinvite(self, response: Response, number: int) -> None:
        """Process the 2xx to our re-INVITE; `number` is the CSeq number of the re-INVITE."""
        self.refresh(response)
        self._acks[number] = None

    def reinvite_finished(self, client: SentInvite) -> None:
        """Note that our re-INVITE has a final response, or that none can arrive any more."""
        if self._invite_sent is client:
            self._invite_sent = None

    def repeat_ack(self, number: int) -> None:
        """Send the ACK to our INVITE with this CSeq number again.

        Do nothing if the application has not called `ack` yet.
        """
        ack = self._acks.get(number)
        if ack is not None:
            self._core.outbox.append(ack)

    def on_response(self, client: ClientRequest, response: Response, now: float) -> None:
        """Update the dialog after a response to our request.

        The core calls this after it has reported the response to the application.
        """
        if response.status < 200:
            return
        if client is self._bye:
            self._bye_answered(response.status, now)
        elif response.status == 481 and client.request.method not in _SURVIVES_481:
            if self._established:  # before the ACK, our 2xx may not have reached the peer
                self.end("unknown to the peer", now)
        elif response.status < 300 and client.request.method == "UPDATE":
            self.refresh(response)

    def on_failure(self, client: ClientRequest, now: float) -> None:
        """End the dialog if our BYE got no response; ignore a failure of any other request."""
        if client is self._bye:
            self.end("bye sent", now)

    def _bye_answered(self, status: int, now: float) -> None:
        if status not in {401, 407}:
            self.end("bye sent", now)
            return
        self._bye = None  # for 64*T1, the application may send BYE with credentials
        if self._challenged is None:
            self._challenged = self._core.timers.at(
                now + self._core.timings.timeout, lambda now: self.end("bye sent", now)
            )

    # The core's server side uses the methods below.

    def receive(self, request: Request) -> DialogRefusal | None:
        """Check whether a received request is allowed in the dialog's present state.

        Return None if the application may answer the request, else the response that the core sends
        (RFC 3261 sections 12.2.2 and 14.2, RFC 3311 section 5.2).
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
        """Record the CSeq number of a received PRACK; a PRACK may arrive out of order."""
        self._remote_cseq = max(number, self._remote_cseq or 0)

    @property
    def _update_waits(self) -> bool:
        return self._update_received is not None and not self._update_received.answered

    @property
    def _is_calling(self) -> bool:
        return self.caller and self.state is DialogState.EARLY

    def note_received_invite(self, invite: ReceivedInvite) -> None:
        """Store a received INVITE that waits for our answer."""
        self._invite_received = invite

    def note_received_update(self, update: ReceivedUpdate) -> None:
        """Store a received UPDATE that waits for our answer."""
        self._update_received = update

    def confirm_by_our_2xx(self) -> None:
        """Change an early dialog to confirmed, because our 2xx will be sent."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def invite_acknowledged(self, invite: ReceivedInvite, now: float) -> bool:
        """Note that the wait for the ACK to our final response to `invite` is over.

        The ACK has arrived, or will not arrive any more. Return True if our BYE was waiting for
        this and has now been sent.
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
        """Cancel the INVITE of the early dialog, because the caller has sent a BYE.

        The BYE has the effect of a CANCEL (RFC 3261 section 15.1.2). `request` is the BYE.
        """
        if self._invite_received is not None:
            self._invite_received.on_cancel(request, now)

    def bye_crossed(self, now: float) -> None:
        """End the dialog if our BYE still waits to be sent, because the peer's BYE has arrived."""
        if self._waiting_bye is not None:
            self.end("bye received", now)

    def end(self, reason: str, now: float) -> None:
        """End the dialog; `reason` is the phrase for `DialogEnded`.

        If the peer's INVITE still waits for our answer, it gets 487. If our own INVITE has no final
        response yet, we wait for that response for at most 64*T1.
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
