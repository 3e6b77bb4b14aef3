"""A dialog (RFC 3261 section 12): its state, its CSeq numbers and the requests within it.

The core stores a confirmed dialog until it ends, usually by a BYE. It usually stores an early
dialog until the INVITE has a final response. After a 2xx to our INVITE, other forks may answer too,
so their early dialogs are stored for 64*T1 more.

This module decides which requests are allowed, and when. The module dialog_addresses.py decides
where they go, and the package `transaction` sends them.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from telephony.errors import ProtocolError
from telephony.sip.client_request import ClientRequest
from telephony.sip.compose import Draft, HeaderList, compose
from telephony.sip.dialog_addresses import DialogAddresses, DialogId, recorded_routes, target_of
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.core import Core, SipEvent
from telephony.sip.transaction.timers import Timer
from telephony.sip.transport.address import Address, LocalAddress
from telephony.sip.transport.outgoing import OutgoingMessage

_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_SURVIVES_481 = {"NOTIFY", "REFER", "PRACK"}
"""A 481 to these methods does not end the dialog: perhaps only a subscription or 1xx is gone."""

_KEPT_ACKS = 4
"""The most sent ACKs that a dialog stores: a 2xx may come again even after our next INVITE."""


class DialogState(enum.Enum):
    """Early after a 1xx with a To tag, confirmed after a 2xx (RFC 3261 section 12)."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class DialogEnded(SipEvent):
    """A confirmed dialog has ended. The event is emitted once."""

    dialog: Dialog
    reason: str
    """`bye received`, `bye sent`, `unknown to the peer` (481), or another fixed phrase."""


class DialogRefusal(NamedTuple):
    """The response with which the core refuses a request, or the 200 to a BYE that crosses ours."""

    status: int
    headers: HeaderList = ()


CheckSource = Callable[["Dialog", Request, Address, float], DialogRefusal | None]
"""A function `check(dialog, request, source, now)` for a request from an unknown host.

`Dialog.is_known_host` is False for the host of `source`. The function returns None to accept the
request, for example because of its credentials, or the response that refuses the request. `now` is
in monotonic seconds.
"""


class SentInvite(Protocol):
    """The handle of a re-INVITE that we have sent, with only the method that a dialog calls."""

    def start_deadline(self, now: float) -> None:
        """Let the re-INVITE fail if no final response comes in 64*T1 after the dialog's end."""


class ReceivedUpdate(Protocol):
    """The handle of an UPDATE from the peer, with only the property that a dialog uses."""

    @property
    def answered(self) -> bool:
        """True once we have sent a final response to the request, or our 2xx waits for a PRACK."""


class ReceivedInvite(ReceivedUpdate, Protocol):
    """The handle of an INVITE from the peer, with only the members that a dialog uses."""

    @property
    def ack_due(self) -> bool:
        """True from our 2xx until its ACK arrives or is missing for 64*T1."""

    def on_cancel(self, request: Request, now: float) -> None:
        """Answer the INVITE with 487 after a CANCEL or early BYE, unless it has been answered."""

    def end_with_dialog(self, now: float) -> None:
        """At the dialog's end, answer the INVITE with 487, or stop repeating our 2xx."""

    def stop_repeating(self) -> None:
        """Cancel the timer that repeats our 2xx to the INVITE until the ACK arrives."""


OpenRequest = Callable[["Dialog", Draft], ClientRequest]
"""Makes the handle of a request in a dialog, without sending the request."""


class Dialogs:
    """The early and confirmed dialogs of one endpoint, which can be found by their identifiers."""

    def __init__(self, core: Core, open_request: OpenRequest) -> None:
        self.core = core
        self.open_request = open_request
        self._by_id: dict[DialogId, Dialog] = {}
        self._call_ids: Counter[str] = Counter()
        """The number of dialogs by Call-ID."""

    def add(self, dialog: Dialog) -> None:
        """Add a dialog. It replaces a dialog with the same identifiers."""
        if dialog.id not in self._by_id:
            self._call_ids[dialog.call_id] += 1
        self._by_id[dialog.id] = dialog

    def remove(self, dialog: Dialog) -> None:
        """Remove a dialog, if it is stored."""
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
    """One dialog. Only the core creates dialogs.

    Attributes, in addition to those of `DialogAddresses`:
        caller: True if we sent the INVITE that created the dialog.
        owner: An object of the application, for example the call; at first the INVITE's owner.
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
        """Our ACKs for 2xx, by the INVITE's CSeq number; None until the application calls `ack`."""
        self._invite_sent: SentInvite | None = None
        self._invite_received: ReceivedInvite | None = None
        self._update_received: ReceivedUpdate | None = None
        self._established = caller
        """If the peer called, False until the ACK to our 2xx arrives or is missing for 64*T1.

        While it is False, our BYE must wait (RFC 3261 section 15).
        """
        self._waiting_bye: ClientRequest | None = None
        self._bye: ClientRequest | None = None
        self._challenged: Timer | None = None
        self._dialogs = dialogs
        dialogs.add(self)

    @property
    def invite_pending(self) -> bool:
        """True while an INVITE of either side has no final response, or waits for the ACK.

        Meanwhile, we must not send another INVITE (RFC 3261 section 14.1).
        """
        return (
            self.state is DialogState.EARLY
            or self._invite_sent is not None
            or self._invite_received is not None
            or None in self._acks.values()
        )

    @property
    def ack_due(self) -> bool:
        """True if our 2xx to the peer's INVITE has no ACK yet (`AckReceived`)."""
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
        """Send a request in the dialog and return its handle, an `InviteClient` for an INVITE.

        A body needs Content-Type in `headers`. The event `DialogResponse` reports a response, and
        `DialogRequestFailed` that no final response came. After a BYE, `DialogEnded` follows. If we
        answered the first INVITE, a BYE waits for the ACK to our 2xx, at most 64*T1 (RFC 3261
        section 15).

        Raises:
            ProtocolError: The method is ACK or CANCEL. Or the dialog is terminated. Or our BYE was
                already sent or waits to be sent. Or the method is INVITE while `invite_pending` is
                true. Or a header field cannot be written (for example, it contains CR).
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
        """Send the ACK to the 2xx of our INVITE. The core repeats the ACK for each copy of the 2xx.

        Raises `ProtocolError` if no 2xx to this INVITE has arrived in the dialog.
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
        """Return the random seconds, in steps of 0.01, to wait after a 491 (RFC 3261 14.1).

        The wait is 2.1 to 4 s if we made the dialog's Call-ID, otherwise 0 to 2 s.
        """
        low, high = (210, 400) if self.caller else (0, 200)
        return self._core.rng.randint(low, high) / 100

    def drop(self, reason: str) -> None:
        """Terminate the dialog without a message. If it was confirmed, emit `DialogEnded`."""
        if self.state is DialogState.TERMINATED:
            return
        confirmed = self.state is DialogState.CONFIRMED
        self.state = DialogState.TERMINATED
        self._dialogs.remove(self)
        if self._challenged is not None:
            self._challenged.cancel()
        if self._invite_received is not None and confirmed:
            self._invite_received.stop_repeating()
        # These objects refer to this dialog: only the garbage collector could free such a cycle.
        self._invite_sent = self._invite_received = self._update_received = None
        self._waiting_bye = self._bye = None
        if confirmed:
            self._core.emit(DialogEnded(self, reason))

    def checkpoint(self) -> dict[str, object]:
        """Return the dialog as plain values for msgpack and `Endpoint.restore_dialog`."""
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
        """Confirm this dialog, which was made from a checkpoint."""
        self.state = DialogState.CONFIRMED
        self.send_to = send_to
        self._established = True

    # The client side of the core (UAC) uses the methods from `is_ending` to `on_failure`.

    @property
    def is_ending(self) -> bool:
        """True if the dialog is terminated, or our BYE was sent or waits: no request is allowed."""
        return self.state is DialogState.TERMINATED or self._bye is not None

    def draft(self, method: str, headers: HeaderList, body: bytes) -> Draft:
        """Return the draft of a new request with our next CSeq number.

        Raises:
            ProtocolError: The method is ACK or CANCEL. Or `is_ending` is true. Or the method is
                INVITE while `invite_pending` is true.
        """
        if method in {"ACK", "CANCEL"}:
            raise ProtocolError("ACK is sent by ack(), CANCEL by cancel()")
        if self.is_ending:
            raise ProtocolError("the dialog is terminated, or our BYE is sent or queued")
        if method == "INVITE" and self.invite_pending:
            raise ProtocolError("an INVITE is pending in this dialog")
        draft = self._draft(method, self._local_cseq + 1, headers, body)
        self._local_cseq += 1
        return draft

    def draft_again(self, draft: Draft, headers: HeaderList) -> Draft:
        """Return `draft` with the next CSeq number, and with `headers` in place of its own."""
        self._local_cseq += 1
        return replace(draft, cseq=self._local_cseq, headers=headers)

    def note_invite(self, client: SentInvite) -> None:
        """Store our re-INVITE, before it is sent."""
        self._invite_sent = client

    def note_bye(self, client: ClientRequest) -> None:
        """Store our BYE, before it is sent."""
        self._bye = client

    def refresh(self, message: Request | Response) -> None:
        """Store the URI of a message's Contact as the remote target, if `target_of` returns one.

        In an early dialog, also store a response's routes (RFC 3261 section 13.2.2.4).
        """
        self.remote_target = target_of(message) or self.remote_target
        if self.state is DialogState.EARLY and isinstance(message, Response):
            self.routes = tuple(reversed(recorded_routes(message)))

    def has_2xx(self, number: int) -> bool:
        """Return whether a 2xx to our INVITE with this CSeq number was already received."""
        return number in self._acks

    def confirm(self, response: Response, number: int) -> None:
        """Confirm the dialog by a 2xx to our INVITE (CSeq `number`). The 2xx waits for our ACK."""
        self.refresh(response)
        self.state = DialogState.CONFIRMED
        # If we sent a BYE while the dialog was early, this BYE does not end the confirmed dialog.
        self._bye = None
        self._acks[number] = None

    def confirm_reinvite(self, response: Response, number: int) -> None:
        """Store the Contact of a 2xx to our re-INVITE (CSeq `number`). Our ACK is due."""
        self.refresh(response)
        self._acks[number] = None

    def reinvite_finished(self, client: SentInvite) -> None:
        """Forget our re-INVITE, because it has its final response, or failed without one."""
        if self._invite_sent is client:
            self._invite_sent = None

    def repeat_ack(self, number: int) -> None:
        """Send our ACK, if the application has called `ack` for the INVITE with this CSeq."""
        ack = self._acks.get(number)
        if ack is not None:
            self._core.outbox.append(ack)

    def on_response(self, client: ClientRequest, response: Response, now: float) -> None:
        """Update the dialog after a response to our request. The response was already reported."""
        if response.status < 200:
            return
        if client is self._bye:
            self._bye_answered(response.status, now)
        elif response.status == 481 and client.request.method not in _SURVIVES_481:
            # A peer that has not received our 2xx does not know the dialog, and sends 481. So a 481
            # does not end the dialog before the ACK to our 2xx.
            if self._established:
                self.end("unknown to the peer", now)
        elif response.status < 300 and client.request.method == "UPDATE":
            self.refresh(response)

    def on_failure(self, client: ClientRequest, now: float) -> None:
        """End the dialog if the request that failed was our BYE."""
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
        """Check whether a received request is allowed now, and store its CSeq number.

        Return None if it is allowed: the application responds, and the Contact of an INVITE or
        UPDATE is stored as remote target. Otherwise, return the response that the core must send
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
        """Store a PRACK's CSeq number, unless a request with a higher number has come before."""
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
        """Confirm an early dialog, because the application has accepted its INVITE with a 2xx."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def invite_acknowledged(self, invite: ReceivedInvite, now: float) -> bool:
        """Forget `invite`, whose ACK has arrived or is too late. Send a BYE that waited for it.

        Return whether a BYE was sent.
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
        """Respond with 487 to this early dialog's INVITE after a BYE (RFC 3261 15.1.2)."""
        if self._invite_received is not None:
            self._invite_received.on_cancel(request, now)

    def bye_crossed(self, now: float) -> None:
        """After the peer's BYE, end the dialog if our BYE waits for an ACK. Do not send our BYE."""
        if self._waiting_bye is not None:
            self.end("bye received", now)

    def end(self, reason: str, now: float) -> None:
        """End the dialog. The peer's open INVITE gets 487. Our open INVITE gets a deadline."""
        if self._invite_sent is not None:
            self._invite_sent.start_deadline(now)
        if self._invite_received is not None:
            self._invite_received.end_with_dialog(now)
            self._invite_received = None
        self.drop(reason)

    def _retry_later(self) -> DialogRefusal:
        seconds = self._core.rng.randint(0, 10)
        return DialogRefusal(500, (("Retry-After", str(seconds)),))
