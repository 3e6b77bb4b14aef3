"""A dialog (RFC 3261 section 12): its state, its CSeq numbers and the requests within the dialog.

The core stores a confirmed dialog until a BYE ends the dialog. The core stores an early dialog
until the INVITE has a final response, or fails because none arrives. This module decides which
requests are allowed in a dialog, and when. The module addresses.py decides to which address a
request is sent, and the package `transaction` sends the request.
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
"""A 481 response to a request with one of these methods does not end the dialog. The 481 may
concern only the subscription of a NOTIFY or REFER, or only the response that a PRACK
acknowledges."""

_KEPT_ACKS = 4
"""The number of sent ACKs that a dialog stores so that it can repeat them. One is not enough: the
peer may repeat the 2xx to an INVITE even after we have sent another INVITE in the dialog."""


class DialogState(enum.Enum):
    """The states of a dialog (RFC 3261 section 12).

    A dialog is early after a 1xx to the INVITE, confirmed after a 2xx, and terminated when it ends.
    """

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogEnded(SipEvent):
    """The event that a confirmed dialog has ended.

    After this event, the dialog emits no event. `DialogEnded` is emitted exactly once.
    """

    dialog: Dialog
    reason: str
    """The reason as a fixed phrase: `bye received`, `bye sent`, `unknown to the peer` (after a
    481), or another phrase that the caller of `Dialog.end` or `Dialog.drop` has given."""


class DialogRefusal(NamedTuple):
    """The response with which the core refuses a request within a dialog."""

    status: int
    headers: HeaderList = ()


CheckSource = Callable[["Dialog", Request, Address, float], DialogRefusal | None]
"""A function `check(dialog, request, source, now)` for a request from a host that is not known.

`source` sent `request`, which has the identifiers of `dialog`. `Dialog.is_known_host` has returned
False for its host. The function returns None if the request is accepted all the same, for example
because it has valid credentials; otherwise it returns the response. `now` is in monotonic seconds.
"""


class SentInvite(Protocol):
    """The handle of an INVITE that we have sent, with only the method that a dialog calls.

    A handle is the object with which the application controls one request.
    """

    def start_deadline(self, now: float) -> None:
        """Let the INVITE fail if it has no final response 64*T1 after `now`.

        The dialog calls this method when the dialog ends.
        """


class ReceivedUpdate(Protocol):
    """The handle of an UPDATE that the peer has sent, with only the property that a dialog uses.

    A handle is the object with which the application controls one request.
    """

    @property
    def answered(self) -> bool:
        """True after we have sent a final response to the request."""


class ReceivedInvite(ReceivedUpdate, Protocol):
    """The handle of an INVITE that the peer has sent, with only the members that a dialog uses.

    A handle is the object with which the application controls one request.
    """

    @property
    def ack_due(self) -> bool:
        """True from the time of our 2xx until the ACK to this 2xx arrives."""

    def on_cancel(self, request: Request, now: float) -> None:
        """Respond to the INVITE with 487, because the CANCEL or BYE `request` has arrived."""

    def end_with_dialog(self, now: float) -> None:
        """Respond to the INVITE with 487, unless we have already sent a final response.

        The dialog calls this method when the dialog ends.
        """

    def stop_repeating(self) -> None:
        """Cancel the timer that repeats our 2xx to the INVITE until the ACK arrives."""


OpenRequest = Callable[["Dialog", Draft], ClientRequest]
"""A function that makes the handle of a request in the given dialog, but does not send the request.
The handle is the object with which the application controls the request."""


class Dialogs:
    """The early and confirmed dialogs of one endpoint, which can be found by their identifiers.

    Attributes:
        core: The settings, timers, transactions and queues, which all parts of the SIP core use.
        open_request: The function that makes the handle of a request within a dialog.
    """

    def __init__(self, core: Core, open_request: OpenRequest) -> None:
        """Make an empty collection of dialogs."""
        self.core = core
        self.open_request = open_request
        self._by_id: dict[DialogId, Dialog] = {}
        self._call_ids: Counter[str] = Counter()
        """For each Call-ID, the number of dialogs that have this Call-ID."""

    def add(self, dialog: Dialog) -> None:
        """Add a dialog. If a stored dialog has the same identifiers, the new one replaces it."""
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
        """Return the dialog with these identifiers; None if there is no such dialog."""
        return self._by_id.get(dialog_id)

    def has_call_id(self, call_id: str) -> bool:
        """Return whether any stored dialog has this Call-ID."""
        return call_id in self._call_ids

    def __contains__(self, dialog_id: DialogId) -> bool:
        return dialog_id in self._by_id

    def __iter__(self) -> Iterator[Dialog]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


class Dialog(DialogAddresses):
    """One dialog, which the core creates. The application never creates a dialog.

    This class is large because every request and response of the dialog, in both directions, can
    change its state, its CSeq numbers and its pending INVITE.

    Attributes, in addition to those of `DialogAddresses`:
        state: The state: early, confirmed or terminated.
        caller: True if we sent the INVITE that created the dialog, False if the peer sent it.
        owner: An object of the application, for example the call. At first it is the `owner` of the
            INVITE; the application may set another object. The core does not use this object.
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
        """The ACKs that we have sent for 2xx responses to our INVITEs; the dict key is the CSeq
        number of the INVITE. A value is None from the arrival of the 2xx until the application
        calls `ack` for this INVITE."""
        self._invite_sent: SentInvite | None = None
        self._invite_received: ReceivedInvite | None = None
        self._update_received: ReceivedUpdate | None = None
        self._established = caller
        """False while we wait for the peer's ACK to our 2xx to the INVITE that created the dialog.
        During this time we must not send a BYE (RFC 3261 section 15). Always True if we sent the
        INVITE."""
        self._waiting_bye: ClientRequest | None = None
        self._bye: ClientRequest | None = None
        self._challenged: Timer | None = None
        self._dialogs = dialogs
        dialogs.add(self)

    @property
    def invite_pending(self) -> bool:
        """True while an INVITE has no final response, or its final response waits for the ACK.

        Either side can have sent this INVITE. During this time we must not send another INVITE (RFC
        3261 section 14.1).
        """
        return (
            self.state is DialogState.EARLY
            or self._invite_sent is not None
            or self._invite_received is not None
            or None in self._acks.values()
        )

    @property
    def ack_due(self) -> bool:
        """True if we have sent a 2xx to the peer's INVITE, and the ACK has not arrived yet.

        The event `AckReceived` reports that the ACK has arrived.
        """
        return self._invite_received is not None and self._invite_received.ack_due

    # The application calls the methods from `request` to `checkpoint`.

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> ClientRequest:
        """Send a request in the dialog and return its handle.

        The handle of an INVITE is an `InviteClient`. The request contains first the header fields
        that the dialog writes (Via, Route, From, To, Call-ID, CSeq, Max-Forwards, Contact), then
        those in `headers`. If there is a body, `headers` must include its Content-Type.

        The event `DialogResponse` reports each response. The event `DialogRequestFailed` reports
        that no final response arrived. If the request is a BYE, the event `DialogEnded` follows
        after these events. If the peer sent the INVITE that created the dialog, our BYE is not sent
        before the ACK to our 2xx has arrived, or the time limit for this ACK has passed (RFC 3261
        section 15).

        Raises:
            ProtocolError: The method is ACK or CANCEL. Or the dialog is terminated. Or our BYE was
                already sent or waits to be sent. Or the method is INVITE while `invite_pending` is
                true.
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
        """Send the ACK to the 2xx that our INVITE received; `client` is the handle of this INVITE.

        Each time the peer repeats the 2xx, the core sends the ACK again.

        Raises:
            ProtocolError: This dialog has received no 2xx to that INVITE.
        """
        del now  # `now` is not used, because no timer retransmits an ACK.
        number = client.request.cseq.number
        if number not in self._acks:
            raise ProtocolError("this dialog has received no 2xx to that INVITE")
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
        """Return the number of seconds to wait after a 491 before the INVITE is sent again.

        The number is random, in steps of 0.01 s (RFC 3261 section 14.1). It is between 2.1 and 4 s
        if we made the dialog's Call-ID, and between 0 and 2 s if the peer made the Call-ID.
        """
        low, high = (210, 400) if self.caller else (0, 200)
        return self._core.rng.randint(low, high) / 100

    def drop(self, reason: str) -> None:
        """Terminate the dialog and remove it from the stored dialogs; send no message to the peer.

        If the dialog was confirmed, emit `DialogEnded` with `reason`.
        """
        if self.state is DialogState.TERMINATED:
            return
        confirmed = self.state is DialogState.CONFIRMED
        self.state = DialogState.TERMINATED
        self._dialogs.remove(self)
        if self._challenged is not None:
            self._challenged.cancel()
        if self._invite_received is not None and confirmed:
            self._invite_received.stop_repeating()
        # They refer to this dialog, so only the garbage collector could free them.
        self._invite_sent = self._invite_received = self._update_received = None
        self._waiting_bye = self._bye = None
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
            **({"path_hosts": sorted(self.path_hosts)} if self.path_hosts else {}),
        }

    def restore(self, send_to: Address | None) -> None:
        """Set the state of this dialog, which was made from a checkpoint, to confirmed.

        `send_to` becomes the attribute `send_to` of the dialog.
        """
        self.state = DialogState.CONFIRMED
        self.send_to = send_to
        self._established = True

    # The client side of the core (UAC) uses the methods from `is_ending` to `on_failure`.

    @property
    def is_ending(self) -> bool:
        """True if the dialog is terminated, or if our BYE was sent or waits to be sent.

        While this is true, the method `request` raises ProtocolError.
        """
        return self.state is DialogState.TERMINATED or self._bye is not None

    def draft(self, method: str, headers: HeaderList, body: bytes) -> Draft:
        """Return the draft of a new request in the dialog. The draft uses up our next CSeq number.

        Raises:
            ProtocolError: The method is ACK or CANCEL. Or `is_ending` is true. Or the method is
                INVITE while `invite_pending` is true.
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
        """Return a copy of `draft` with the header fields `headers` and the next CSeq number.

        The core uses the copy to send a request again with credentials. A BYE may also need
        credentials. So, unlike the method `Dialog.draft`, this method raises no ProtocolError after
        a BYE.
        """
        self._local_cseq += 1
        return replace(draft, cseq=self._local_cseq, headers=headers)

    def note_invite(self, client: SentInvite) -> None:
        """Store our re-INVITE, before it is sent."""
        self._invite_sent = client

    def note_bye(self, client: ClientRequest) -> None:
        """Store our BYE, before it is sent."""
        self._bye = client

    def refresh(self, message: Request | Response) -> None:
        """Store the Contact URI of a received message as the remote target.

        If the dialog is early and the message is a response, also store the routes from the
        response (RFC 3261 section 13.2.2.4). If the message has no valid Contact, the remote
        target does not change.
        """
        self.remote_target = target_of(message) or self.remote_target
        if self.state is DialogState.EARLY and isinstance(message, Response):
            self.routes = tuple(reversed(recorded_routes(message)))

    def has_2xx(self, number: int) -> bool:
        """Return whether a 2xx to our INVITE with this CSeq number was already received."""
        return number in self._acks

    def confirm(self, response: Response, number: int) -> None:
        """Set the dialog to confirmed, and take its remote target and routes from `response`.

        `response` is the 2xx to our INVITE, and `number` the CSeq number of the INVITE. The 2xx now
        waits for our ACK.
        """
        self.refresh(response)
        self.state = DialogState.CONFIRMED
        # If we sent a BYE while the dialog was early, this BYE does not end the confirmed dialog.
        self._bye = None
        self._acks[number] = None

    def confirm_reinvite(self, response: Response, number: int) -> None:
        """Take the remote target from `response`, the 2xx to our re-INVITE.

        `number` is the CSeq number of the re-INVITE. The 2xx now waits for our ACK.
        """
        self.refresh(response)
        self._acks[number] = None

    def reinvite_finished(self, client: SentInvite) -> None:
        """Forget our re-INVITE, because it has its final response, or failed without a response."""
        if self._invite_sent is client:
            self._invite_sent = None

    def repeat_ack(self, number: int) -> None:
        """Send the stored ACK for our INVITE with the CSeq number `number`.

        Do nothing if the application has not called `ack` for this INVITE yet.
        """
        ack = self._acks.get(number)
        if ack is not None:
            self._core.outbox.append(ack)

    def on_response(self, client: ClientRequest, response: Response, now: float) -> None:
        """Update the dialog after a response to the request that we sent with the handle `client`.

        The core calls this method after it has reported the response to the application.
        """
        if response.status < 200:
            return
        if client is self._bye:
            self._bye_answered(response.status, now)
        elif response.status == 481 and client.request.method not in _SURVIVES_481:
            # Until the ACK arrives, we do not know whether the peer has received our 2xx. A peer
            # without the 2xx does not know the dialog and sends 481, so until then, a 481 does not
            # end the dialog.
            if self._established:
                self.end("unknown to the peer", now)
        elif response.status < 300 and client.request.method == "UPDATE":
            self.refresh(response)

    def on_failure(self, client: ClientRequest, now: float) -> None:
        """End the dialog if our BYE failed; `client` is the handle of the request that failed.

        If the request is not our BYE, do nothing.
        """
        if client is self._bye:
            self.end("bye sent", now)

    def _bye_answered(self, status: int, now: float) -> None:
        if status not in {401, 407}:
            self.end("bye sent", now)
            return
        # The peer asks for credentials. The application may send another BYE with credentials. In
        # any case, a timer ends the dialog 64*T1 after the first challenge.
        self._bye = None
        if self._challenged is None:
            self._challenged = self._core.timers.at(
                now + self._core.timings.timeout, lambda now: self.end("bye sent", now)
            )

    # The server side of the core (UAS) uses the methods from `receive` to `end`.

    def receive(self, request: Request) -> DialogRefusal | None:
        """Check whether a received request is allowed in the dialog's present state.

        Return None if the application may respond to the request. Otherwise return the response
        that the core must send (RFC 3261 sections 12.2.2 and 14.2, RFC 3311 section 5.2).
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
        """Store the CSeq number of a received PRACK, unless a higher one has arrived before.

        A lower number is not an error, because a later request of the peer can overtake the PRACK.
        """
        self._remote_cseq = max(number, self._remote_cseq or 0)

    @property
    def _update_waits(self) -> bool:
        return self._update_received is not None and not self._update_received.answered

    @property
    def _is_calling(self) -> bool:
        return self.caller and self.state is DialogState.EARLY

    def note_received_invite(self, invite: ReceivedInvite) -> None:
        """Store a received INVITE that has no final response yet."""
        self._invite_received = invite

    def note_received_update(self, update: ReceivedUpdate) -> None:
        """Store a received UPDATE that has no final response yet."""
        self._update_received = update

    def confirm_by_our_2xx(self) -> None:
        """Set the state of an early dialog to confirmed, because the core now sends our 2xx."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def invite_acknowledged(self, invite: ReceivedInvite, now: float) -> bool:
        """Forget `invite`, because its ACK has arrived or the time limit for its ACK has passed.

        If our BYE was waiting for the ACK, send the BYE and return True. Otherwise return False.
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
        """Respond to the INVITE of this early dialog with 487, because the peer has sent a BYE.

        `request` is the BYE. In an early dialog, a BYE has the same effect as a CANCEL (RFC 3261
        section 15.1.2).
        """
        if self._invite_received is not None:
            self._invite_received.on_cancel(request, now)

    def bye_crossed(self, now: float) -> None:
        """Drop our own BYE and end the dialog, if our BYE still waits for the ACK to our 2xx.

        The core calls this method after its 200 to the peer's BYE. If our BYE was already sent, do
        nothing: the response to our BYE ends the dialog.
        """
        if self._waiting_bye is not None:
            self.end("bye received", now)

    def end(self, reason: str, now: float) -> None:
        """End the dialog; `reason` is the phrase for the event `DialogEnded`.

        If we have not sent a final response to the peer's INVITE, send 487. If our own INVITE has
        no final response yet, a timer lets the INVITE fail after 64*T1.
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
