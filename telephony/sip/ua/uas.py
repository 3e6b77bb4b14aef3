"""The server's side of an INVITE (RFC 3261 sections 9.2 and 13.3).

An INVITE may create several early dialogs. The most recent provisional response is sent again once
a minute, so that the caller continues to wait. reliable.py repeats a 2xx or a reliable provisional
response until it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from telephony.errors import ProtocolError
from telephony.sip.compose import own_contact
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.dialog_addresses import path_hosts, recorded_routes, target_of, wants_sips
from telephony.sip.message.header_values import RELIABLE
from telephony.sip.message.messages import Request, requires_reliable, takes_reliable
from telephony.sip.transaction.core import SipEvent
from telephony.sip.transaction.server_transaction import InviteServerTransaction
from telephony.sip.transaction.timers import Timer
from telephony.sip.ua.reliable import PendingResponse, ReliableSequence, Repeated2xx, close_all
from telephony.sip.ua.server_request import ServerRequest


@dataclass(frozen=True, slots=True)
class IncomingInvite(SipEvent):
    """A new INVITE has arrived outside a dialog. The application must answer it."""

    invite: InviteServer


@dataclass(frozen=True, slots=True)
class InviteCancelled(SipEvent):
    """The caller has cancelled its INVITE by a CANCEL, or by a BYE in the early dialog.

    The core answers with 487. The dialog of a cancelled re-INVITE continues.
    """

    invite: InviteServer
    request: Request
    """The CANCEL or BYE, which may contain a Reason header field."""


@dataclass(frozen=True, slots=True)
class AckReceived(SipEvent):
    """The first ACK to our 2xx has arrived. Later copies of the ACK cause no event."""

    dialog: Dialog
    request: Request


@dataclass(frozen=True, slots=True)
class AckMissing(SipEvent):
    """Our 2xx was repeated for 64*T1, but no ACK has arrived. The application should send BYE."""

    dialog: Dialog


@dataclass(frozen=True, slots=True)
class PrackMissing(SipEvent):
    """A reliable provisional response was repeated for 64*T1, but no PRACK has arrived.

    The core has answered the INVITE with 504. All dialogs that the INVITE created have ended, even
    if a 2xx waited for the PRACK.
    """

    invite: InviteServer


class InviteServer(ServerRequest):
    """An INVITE that we received, outside a dialog or within one.

    Attributes:
        dialogs: The dialogs that our responses have created, by our To tag.
        dialog: The dialog of a re-INVITE. For another INVITE, the dialog of our 2xx; None before.
        cancelled: True once the core answers with 487: after a CANCEL or early BYE, or at the end
            of the dialog.
    """

    dialogs: dict[str, Dialog]
    cancelled = False
    _trying: Timer | None = None
    _refresh: Timer | None = None
    repeated_2xx: Repeated2xx | None = None
    """The 2xx to this INVITE with its timers; None if no 2xx waits for its ACK."""
    _sequences: dict[str, ReliableSequence]
    _last: PendingResponse | None = None
    """The latest provisional response if it is reliable, to be sent each minute; else None."""
    _waiting_2xx: Callable[[float], None] | None = None
    """Sends the 2xx that waits for a PRACK; None if there is none."""

    def begin(self, now: float) -> None:
        """Schedule a 100 after 200 ms, not at once: some phones ignore a 401 after a 100."""
        self.dialogs = {}
        self._sequences = {}
        self._trying = self._core.timers.at(now + self._core.timings.trying, self._send_trying)

    def _send_trying(self, now: float) -> None:
        self._send(100, now=now)

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        to_tag: str | None = None,
        reliable: bool = False,
        now: float,
    ) -> Dialog | None:
        """Send a response to the INVITE, as `ServerRequest.respond`.

        A provisional response above 100 is sent reliably if `reliable` is true or the caller
        requires it. Then it is repeated until its PRACK arrives, and the next reliable response of
        its early dialog is sent after the PRACK. Without a PRACK in 64*T1, the core answers with
        504 and emits `PrackMissing`. A 2xx is sent after the PRACK to a reliable response with a
        body (RFC 3262 section 3). Until then, a CANCEL still cancels the INVITE.

        Raises `ProtocolError` if a final response was already sent, or `reliable` is true and the
        caller or the core does not support reliable provisional responses.
        """
        if self.cancelled:
            return None
        if self.answered:
            raise ProtocolError("a final response was already sent")
        if reliable and not self.takes_reliable:
            raise ProtocolError("the caller or the core does not support 100rel")
        response = PendingResponse(status, reason, tuple(headers), body, self._tag(to_tag, status))
        self._stop(self._trying)
        self._stop(self._refresh)
        if status < 200:
            reliable = status > 100 and (reliable or requires_reliable(self.request))
            return self._send_provisional(response, reliable=reliable, now=now)
        if status < 300:
            return self._send_2xx(response, now)
        self._send_final(response, now)
        return None

    @property
    def takes_reliable(self) -> bool:
        """True if both the caller and the core support reliable provisional responses."""
        return RELIABLE in self._core.supported and takes_reliable(self.request)

    def _send_provisional(
        self, response: PendingResponse, *, reliable: bool, now: float
    ) -> Dialog | None:
        dialog = self._dialog_for(response.tag or "") if response.status > 100 else None
        self._last = response if reliable else None
        if dialog is None or not reliable:
            self._send_pending(response, now)
        else:
            self._sequence(dialog, response.tag or "").send(response, now)
        if dialog is not None:
            self._schedule_refresh(now)
        return dialog

    def _send_2xx(self, response: PendingResponse, now: float) -> Dialog:
        """Send a 2xx. If a response with a body still waits for its PRACK, send the 2xx later."""
        self.dialog = dialog = self._dialog_for(response.tag or "")
        dialog.confirm_by_our_2xx()
        sequence = self._sequences.get(response.tag or "")
        for other in self._sequences.values():
            other.drop_waiting()

        def send(now: float) -> None:
            self._waiting_2xx = None
            self._send_final(response, now)
            self._await_ack(dialog, now)

        if sequence is None or not sequence.body_unacknowledged:
            send(now)
        else:
            self._waiting_2xx, self.answered = send, True
        return dialog

    def _send_final(self, response: PendingResponse, now: float) -> None:
        """Send a final response now, and drop the dialogs that are still early."""
        self._stop(self._trying)
        self._stop(self._refresh)
        close_all(self._sequences.values())
        self._send_pending(response, now)
        self._drop_early_dialogs()

    def _send_pending(self, response: PendingResponse, now: float) -> bytes:
        return self._send(
            response.status,
            response.reason,
            headers=response.headers,
            body=response.body,
            tag=response.tag,
            now=now,
        )

    def _sequence(self, dialog: Dialog, tag: str) -> ReliableSequence:
        def send(response: PendingResponse, rseq: int, now: float) -> bytes:
            return self._send_pending(replace(response, headers=response.numbered(rseq)), now)

        if tag not in self._sequences:
            self._sequences[tag] = ReliableSequence(
                self._core,
                self._agent.awaiting_prack,
                dialog.id,
                self.request.cseq.number,
                send=send,
                repeat=self._transaction.send_again,
                on_acknowledged=self._send_waiting_2xx,
                on_missing=self._prack_missing,
            )
        return self._sequences[tag]

    def _send_waiting_2xx(self, now: float) -> None:
        if self._waiting_2xx is not None and not any(
            s.body_unacknowledged for s in self._sequences.values()
        ):
            self._waiting_2xx(now)

    def _prack_missing(self, now: float) -> None:
        """If no final response was sent, send 504: a PRACK is missing (RFC 3262 section 3)."""
        if self.answered and self._waiting_2xx is None:
            return
        self._send_failure(504, "not acknowledged", now)
        self._core.emit(PrackMissing(self))

    def _send_failure(self, status: int, why: str, now: float) -> None:
        """Send a failure response. If a 2xx waits for a PRACK, drop it and end its new dialog."""
        held, self._waiting_2xx = self._waiting_2xx is not None, None
        self._send_final(PendingResponse(status, None, (), b"", self._tag(None, status)), now)
        if held and self.dialog is not None and self.dialog.id.local_tag in self.dialogs:
            self.dialog.end(why, now)

    def refuse_statelessly(
        self, status: int, *, headers: Iterable[tuple[str, str]] = (), now: float
    ) -> None:
        """Refuse the INVITE by one response, as `ServerRequest.refuse_statelessly`."""
        self._stop(self._trying)
        super().refuse_statelessly(status, headers=headers, now=now)

    def checkpoint(self) -> dict[str, object]:
        """Return the INVITE as plain values (JSON) for `Endpoint.restore_invite`."""
        return {
            "request": bytes(self.request).decode("latin-1"),
            "source": list(self.source),
            "local": list(self.local),
        }

    def on_cancel(self, request: Request, now: float) -> None:
        """Answer with 487 after a CANCEL or an early BYE, unless a final response was sent."""
        if self.answered and self._waiting_2xx is None:
            return
        self.cancelled = True
        self._core.emit(InviteCancelled(self, request))
        self._send_failure(487, "cancelled", now)

    def end_with_dialog(self, now: float) -> None:
        """At the dialog's end, answer with 487 (RFC 3261 15.1.2), or stop repeating our 2xx."""
        if not self.answered or self._waiting_2xx is not None:
            self._waiting_2xx = None
            self._send_final(PendingResponse(487, None, (), b"", self._tag(None, 487)), now)
            self.cancelled = True
        self.stop_repeating()

    @property
    def ack_due(self) -> bool:
        """True while our 2xx waits for its ACK, or waits for a PRACK before it can be sent."""
        return self._waiting_2xx is not None or self.repeated_2xx is not None

    def on_acknowledged(self, now: float) -> None:
        """Inform the dialog that the ACK to our non-2xx has arrived, or is missing after 64*T1."""
        if self.dialog is not None:
            self.dialog.invite_acknowledged(self, now)

    def on_terminated(self, now: float) -> None:
        """Stop waiting for PRACKs, because the transaction has terminated."""
        del now
        for sequence in self._sequences.values():
            sequence.forget()
        self._sequences.clear()

    def _dialog_for(self, tag: str) -> Dialog:
        """Return the dialog of our 1xx or 2xx with this To tag (RFC 3261 section 12.1.1)."""
        if self.dialog is not None:
            return self.dialog
        dialog = self.dialogs.get(tag)
        if dialog is None:
            dialog = self.dialogs[tag] = self._make_dialog(tag)
            dialog.note_received_invite(self)
        return dialog

    def _make_dialog(self, tag: str) -> Dialog:
        request = self.request
        dialog = Dialog(
            self._agent.dialogs,
            call_id=request.call_id,
            local=request.to.with_tag(tag),
            remote=request.from_,
            remote_target=target_of(request) or request.from_.uri,
            routes=recorded_routes(request),
            local_cseq=self._core.rng.getrandbits(15),
            remote_cseq=request.cseq.number,
            caller=False,
            local_address=self._local,
            peer=self.source,
            contact=own_contact(request.uri.user, self._local, secure=wants_sips(request)),
            owner=self.owner,
        )
        dialog.path_hosts = path_hosts(request)
        return dialog

    def _drop_early_dialogs(self) -> None:
        for dialog in self.dialogs.values():
            if dialog.state is DialogState.EARLY:
                dialog.drop("not answered")

    def _schedule_refresh(self, now: float) -> None:
        def refresh(now: float) -> None:
            if self._last is not None:
                self._send_provisional(self._last.without_body(), reliable=True, now=now)
            elif isinstance(self._transaction, InviteServerTransaction):
                self._transaction.receive_again(now)
                self._schedule_refresh(now)

        self._refresh = self._core.timers.at(now + self._core.timings.provisional_refresh, refresh)

    def _await_ack(self, dialog: Dialog, now: float) -> None:
        def on_ack(request: Request, now: float) -> None:
            self.repeated_2xx = None
            self._core.emit(AckReceived(dialog, request))
            dialog.invite_acknowledged(self, now)
            if not self._sequences:
                self._transaction.release_user()

        def on_missing(now: float) -> None:
            self.repeated_2xx = None
            if not dialog.invite_acknowledged(self, now) and not dialog.is_ending:
                self._core.emit(AckMissing(dialog))

        self.repeated_2xx = Repeated2xx(
            self._core,
            self._agent.awaiting_ack,
            (dialog.id, self.request.cseq.number),
            repeat=self._transaction.repeat,
            on_ack=on_ack,
            on_missing=on_missing,
        )
        self.repeated_2xx.start(now)

    def stop_repeating(self) -> None:
        """Stop repeating our 2xx, because its dialog has ended."""
        if self.repeated_2xx is not None:
            self.repeated_2xx.stop()
            self.repeated_2xx = None
            if not self._sequences:
                self._transaction.release_user()

    def _is_done_after(self, status: int) -> bool:
        # A 2xx waits for its ACK, and a failed re-INVITE reports its ACK to the dialog. PRACKs
        # that arrive after the final response still need their responses.
        return status >= 300 and self.dialog is None and not self._sequences

    @staticmethod
    def _stop(timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()
