"""A dialog (RFC 3261 section 12): its state, its sequence numbers and what goes on in it.

Confirmed dialogs live in the core until BYE; early ones until their INVITE is answered or fails.
What may travel inside a dialog, and when, is decided here; dialog_ends.py knows the way to the
peer, and transactions carry it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from telephony.errors import ProtocolError
from telephony.sip.compose import Draft, HeaderList, compose
from telephony.sip.core import Core, Local
from telephony.sip.dialog_ends import DialogEnds
from telephony.sip.events import Address, DialogEnded, Outgoing
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request, Response
from telephony.sip.route_set import recorded_routes, target_of
from telephony.sip.timers import Timer
from telephony.sip.uri import Uri

if TYPE_CHECKING:
    from telephony.sip.uac import ClientRequest, InviteClient
    from telephony.sip.uas import InviteServer, ServerRequest

_CREDENTIALS = ("Authorization", "Proxy-Authorization")
_SPARING = {"NOTIFY", "REFER", "PRACK"}
"""Of these a 481 may mean the subscription, or the provisional response: the dialog lives on."""


class DialogState(enum.Enum):
    """RFC 3261 12: early (after 1xx), confirmed (after 2xx), terminated."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Refusal(NamedTuple):
    """How the core itself answers a request within a dialog."""

    status: int
    headers: HeaderList = ()


class Dialog(DialogEnds):
    """One dialog; made by the core, never by its user.

    Attributes, beside those of `DialogEnds`:
        state: early, confirmed or terminated.
        caller: True if we sent the INVITE that made it.
        owner: the user's own; inherited from the INVITE's handle.
    """

    def __init__(
        self,
        core: Core,
        *,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        remote_target: Uri,
        routes: Iterable[NameAddr],
        local_cseq: int,
        remote_cseq: int | None,
        caller: bool,
        at: Local,
        peer: Address,
        contact: str,
        owner: object = None,
    ) -> None:
        super().__init__(
            core,
            call_id=call_id,
            local=local,
            remote=remote,
            remote_target=remote_target,
            routes=routes,
            at=at,
            peer=peer,
            contact=contact,
        )
        self.state = DialogState.EARLY
        self.caller = caller
        self.owner = owner
        self._local_cseq = local_cseq
        self._remote_cseq = remote_cseq
        self._acks: dict[int, Outgoing | None] = {}
        """By CSeq of our INVITE: None while its 2xx waits for `ack`, then what was sent."""
        self._invite_client: InviteClient | None = None
        self._invite_server: InviteServer | None = None
        self._update_server: ServerRequest | None = None
        self._established = caller
        """False at the callee until the first ACK: no BYE before it (RFC 3261 15)."""
        self._waiting_bye: ClientRequest | None = None
        self._bye: ClientRequest | None = None
        self._challenged: Timer | None = None
        if self.id not in core.dialogs:
            core.hold(self.id.call_id)
        core.dialogs[self.id] = self

    @property
    def invite_pending(self) -> bool:
        """True while an INVITE is under way in either direction; ours must wait (14.1)."""
        return (
            self.state is DialogState.EARLY
            or self._invite_client is not None
            or self._invite_server is not None
            or None in self._acks.values()
        )

    @property
    def ack_due(self) -> bool:
        """True while our 2xx to the peer's INVITE waits for its ACK; `AckReceived` tells of it."""
        return self._invite_server is not None and self._invite_server.ack_due

    # What the user does.

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> ClientRequest:
        """Send a request (never ACK or CANCEL); an `InviteClient` for INVITE.

        `headers` are added after those of the dialog (Via, Route, From, To, Call-ID, CSeq,
        Max-Forwards, Contact). A body wants its Content-Type among them. The answers come as
        `DialogResponse` or `DialogRequestFailed`; after BYE, `DialogEnded` follows. A callee's BYE
        waits for the ACK to its 2xx, or for that to be given up (RFC 3261 15).

        Raises:
            ProtocolError: the dialog is terminated; INVITE while `invite_pending`.
        """
        from telephony.sip.uac import InviteClient, NonInviteClient  # noqa: PLC0415 - a cycle

        draft = self.draft(method, tuple(headers), body)
        kind = InviteClient if method == "INVITE" else NonInviteClient
        client = kind(self._core, draft, dialog=self, owner=self.owner)
        self.sent(client)
        if method == "BYE" and not self._established and self.state is DialogState.CONFIRMED:
            self._waiting_bye = client
        else:
            client.begin(now)
        return client

    def ack(
        self,
        client: InviteClient,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> None:
        """Acknowledge the 2xx to `client`'s INVITE; the core repeats it for each repeated 2xx.

        Raises:
            ProtocolError: no 2xx to that INVITE came in this dialog.
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
            data = bytes(compose(self._core, draft))
            way = draft.way
            self._acks = {number: Outgoing(data, way.destination, way.local.address, way.otherwise)}
        self.repeat_ack(number)

    def glare_delay(self) -> float:
        """Seconds to wait after a 491 before the next try (RFC 3261 14.1), drawn afresh.

        2.1 to 4 s for the owner of the Call-ID, 0 to 2 s for the other, in steps of 10 ms.
        """
        low, high = (210, 400) if self.caller else (0, 200)
        return self._core.rng.randint(low, high) / 100

    def forget(self, reason: str) -> None:
        """Drop the dialog without a word to the peer; `DialogEnded` if it was confirmed."""
        if self.state is DialogState.TERMINATED:
            return
        confirmed = self.state is DialogState.CONFIRMED
        self.state = DialogState.TERMINATED
        if self._core.dialogs.pop(self.id, None) is not None:
            self._core.release(self.id.call_id)
        if self._challenged is not None:
            self._challenged.cancel()
        if self._invite_server is not None and confirmed:
            self._invite_server.stop_repeating()
        if confirmed:
            self._core.emit(DialogEnded(self, reason))

    def checkpoint(self) -> dict[str, object]:
        """Plain values (msgpack-able), enough to go on with the dialog after a restart.

        `Endpoint.restore_dialog` takes it up again.
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

    def resume(self, send_to: Address | None) -> None:
        """Be confirmed again after a restart."""
        self.state = DialogState.CONFIRMED
        self.send_to = send_to
        self._established = True

    # What the core tells it, as a client.

    @property
    def ending(self) -> bool:
        """Over, or its BYE is on the way: `request` raises."""
        return self.state is DialogState.TERMINATED or self._bye is not None

    def draft(self, method: str, headers: HeaderList, body: bytes) -> Draft:
        """The next request of ours, numbered.

        Raises:
            ProtocolError: see `request`.
        """
        if method in {"ACK", "CANCEL"}:
            raise ProtocolError("ACK is sent by ack(), CANCEL by cancel()")
        if self.ending:
            raise ProtocolError("the dialog is terminated")
        if method == "INVITE" and self.invite_pending:
            raise ProtocolError("an INVITE is pending in this dialog")
        draft = self._draft(method, self._local_cseq + 1, headers, body)
        self._local_cseq += 1
        return draft

    def draft_again(self, draft: Draft, headers: HeaderList) -> Draft:
        """The same request with other headers and the next number, even if it is our BYE."""
        self._local_cseq += 1
        return replace(draft, cseq=self._local_cseq, headers=headers)

    def sent(self, client: ClientRequest) -> None:
        """Note what is being sent."""
        if client.request.method == "INVITE":
            self._invite_client = client  # type: ignore[assignment]  # by its method
        elif client.request.method == "BYE":
            self._bye = client

    def refresh(self, message: Request | Response) -> None:
        """Take the peer's Contact, and until the dialog is confirmed the route set (13.2.2.4)."""
        self.remote_target = target_of(message) or self.remote_target
        if self.state is DialogState.EARLY and isinstance(message, Response):
            self.routes = tuple(reversed(recorded_routes(message)))

    def answered(self, number: int) -> bool:
        """True if a 2xx to our INVITE of that number came before."""
        return number in self._acks

    def confirm(self, response: Response, number: int) -> None:
        """Take the 2xx to the INVITE that makes this dialog."""
        self.refresh(response)
        self.state = DialogState.CONFIRMED
        self._bye = None  # one that was sent in the early dialog does not end this one
        self._acks[number] = None

    def confirm_reinvite(self, response: Response, client: InviteClient) -> None:
        """Take the 2xx to a re-INVITE."""
        self.refresh(response)
        self._acks[client.request.cseq.number] = None
        self.invite_over(client)

    def invite_over(self, client: InviteClient) -> None:
        """Note that our re-INVITE has its final response, or will have none."""
        if self._invite_client is client:
            self._invite_client = None

    def repeat_ack(self, number: int) -> None:
        """Send the ACK again, if the user has given one."""
        ack = self._acks.get(number)
        if ack is not None:
            self._core.outbox.append(ack)

    def on_response(self, client: ClientRequest, response: Response, now: float) -> None:
        """Draw the dialog's conclusions from a response that the user was told of."""
        if response.status < 200:
            return
        if client is self._bye:
            self._bye_answered(response.status, now)
        elif response.status == 481 and client.request.method not in _SPARING:
            if self._established:  # before the ACK, the peer may not have seen our 2xx yet
                self.end("unknown to the peer", now)
        elif response.status < 300 and client.request.method == "UPDATE":
            self.refresh(response)

    def on_failure(self, client: ClientRequest, now: float) -> None:
        """Draw the conclusion from a request without an answer: only a BYE ends the dialog."""
        if client is self._bye:
            self.end("bye sent", now)

    def _bye_answered(self, status: int, now: float) -> None:
        if status not in {401, 407}:
            self.end("bye sent", now)
            return
        self._bye = None  # the user may retry with credentials, for a while
        if self._challenged is None:
            self._challenged = self._core.timers.at(
                now + self._core.timings.timeout, lambda now: self.end("bye sent", now)
            )

    # What the core tells it, as a server.

    def receive(self, request: Request) -> Refusal | None:
        """Check a request's turn; None if the user may have it (12.2.2, 14.2, RFC 3311 5.2)."""
        number = request.cseq.number
        if self._remote_cseq is not None and number <= self._remote_cseq:
            return Refusal(500)
        self._remote_cseq = number
        if self._bye is not None:
            return Refusal(200 if request.method == "BYE" else 481)
        if request.method == "INVITE":
            if self._invite_server is not None and not self._invite_server.answered:
                return self._later()
            if self._invite_client is not None or None in self._acks.values() or self._is_calling:
                return Refusal(491)
        elif request.method == "UPDATE" and self._update_waits:
            return self._later()
        if request.method in {"INVITE", "UPDATE"}:
            self.refresh(request)
        return None

    def pass_number(self, number: int) -> None:
        """Note the number of a request that has an order of its own (PRACK)."""
        self._remote_cseq = max(number, self._remote_cseq or 0)

    @property
    def _update_waits(self) -> bool:
        return self._update_server is not None and not self._update_server.answered

    @property
    def _is_calling(self) -> bool:
        return self.caller and self.state is DialogState.EARLY

    def serving(self, server: ServerRequest) -> None:
        """Note a request that waits for our answer."""
        if server.request.method == "INVITE":
            self._invite_server = server  # type: ignore[assignment]  # by its method
        elif server.request.method == "UPDATE":
            self._update_server = server

    def confirm_served(self) -> None:
        """Our 2xx to the INVITE is on its way."""
        if self.state is DialogState.EARLY:
            self.state = DialogState.CONFIRMED

    def served(self, server: InviteServer, now: float) -> bool:
        """The final response to an INVITE is acknowledged, or never will be.

        Returns True if a BYE had waited for that, and is sent.
        """
        if self._invite_server is server:
            self._invite_server = None
        self._established = True
        bye, self._waiting_bye = self._waiting_bye, None
        if bye is not None and self.state is DialogState.CONFIRMED:
            bye.begin(now)
            return True
        return False

    def give_up_invite(self, request: Request, now: float) -> None:
        """The caller's BYE in the early dialog is as good as a CANCEL (15.1.2)."""
        if self._invite_server is not None:
            self._invite_server.give_up(request, now)

    def bye_crossed(self, now: float) -> None:
        """The peer's BYE came while ours was under way; one that still waits need not go out."""
        if self._waiting_bye is not None:
            self.end("bye received", now)

    def end(self, reason: str, now: float) -> None:
        """The dialog is over; an INVITE that waits for us gets 487, ours not for ever."""
        if self._invite_client is not None:
            self._invite_client.expect_no_more(now)
        if self._invite_server is not None:
            self._invite_server.abandon(now)
            self._invite_server = None
        self.forget(reason)

    def _later(self) -> Refusal:
        seconds = self._core.rng.randint(0, 10)
        return Refusal(500, (("Retry-After", str(seconds)),))
