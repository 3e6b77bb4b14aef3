"""The server's side of an INVITE (RFC 3261 9.2, 13.3): the handle of an INVITE that we received.

An `InviteServer` may create several early dialogs. It repeats its 2xx until the ACK comes, and its
last provisional response once a minute. Reliable provisional responses are in reliable.py;
server_transaction.py does all other retransmission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from telephony.errors import ProtocolError
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.dialog_ends import DialogId
from telephony.sip.establish import dialog_at_server
from telephony.sip.events import (
    AckMissing,
    AckReceived,
    InviteCancelled,
    PrackMissing,
)
from telephony.sip.message import Request
from telephony.sip.rack import RELIABLE, requires_reliable, takes_reliable
from telephony.sip.reliable import Provisional, ReliableSequence, close_all
from telephony.sip.server_request import ServerRequest
from telephony.sip.server_transaction import InviteServerTransaction
from telephony.sip.timers import Timer

__all__ = ["InviteServer", "ServerRequest"]


class InviteServer(ServerRequest):
    """An INVITE that we received, outside a dialog or in one.

    Attributes:
        dialogs: The dialogs that our responses created, by our tag.
        dialog: The dialog of our 2xx; for a re-INVITE, the dialog in which it came.
        cancelled: True once the caller has cancelled; 487 has then been sent.
    """

    dialogs: dict[str, Dialog]
    cancelled = False
    _trying: Timer | None = None
    _refresh: Timer | None = None
    _repeat: Timer | None = None
    _deadline: Timer | None = None
    _sequences: dict[str, ReliableSequence]
    _last: Provisional | None = None
    """The last provisional response if it was sent reliably, else None."""
    _held: Callable[[float], None] | None = None
    """Sends the 2xx that waits for a PRACK; None if no 2xx waits."""

    def begin(self, now: float) -> None:
        """Schedule a 100, sent unless another response is sent within 200 ms (17.2.1).

        Some phones take an immediate 100 for the answer and ignore the 401 after it.
        """
        self.dialogs = {}
        self._sequences = {}
        self._trying = self._core.timers.at(now + self._core.timings.trying, self._try)

    def _try(self, now: float) -> None:
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
        """Send a response; see `ServerRequest.respond`.

        A provisional response above 100 is repeated until its PRACK if `reliable` is true or the
        caller requires it. Each one waits for the one before it in the same early dialog. A 2xx
        waits for the PRACK to a response with a body (RFC 3262 section 3); until the 2xx is sent,
        the caller may still cancel. Without a PRACK within 64*T1 the INVITE gets 504, and
        `PrackMissing` follows.

        Raises:
            ProtocolError: A final response was already sent, or `reliable` is true and the caller
                or the core does not support reliable provisional responses.
        """
        if self.cancelled:
            return None
        if self._final:
            raise ProtocolError("a final response was sent before")
        if reliable and not self.takes_reliable:
            raise ProtocolError("the caller does not take reliable provisional responses")
        told = Provisional(status, reason, tuple(headers), body, self._tag(to_tag, status))
        self._stop(self._trying)
        self._stop(self._refresh)
        if status < 200:
            reliable = status > 100 and (reliable or requires_reliable(self.request))
            return self._say(told, reliable=reliable, now=now)
        if status < 300:
            return self._accept(told, now)
        self._conclude(told, now)
        return None

    @property
    def takes_reliable(self) -> bool:
        """True if both the caller and the core support reliable provisional responses."""
        return RELIABLE in self._core.supported and takes_reliable(self.request)

    def _say(self, told: Provisional, *, reliable: bool, now: float) -> Dialog | None:
        """Send a provisional response."""
        dialog = self._dialog_for(told.tag or "") if told.status > 100 else None
        self._last = told if reliable else None
        if dialog is None or not reliable:
            self._send_out(told, now)
        else:
            self._sequence(dialog, told.tag or "").say(told, now)
        if dialog is not None:
            self._schedule_refresh(now)
        return dialog

    def _accept(self, told: Provisional, now: float) -> Dialog:
        """Send a 2xx, or hold it back until the caller has acknowledged a response with a body."""
        self.dialog = dialog = self._dialog_for(told.tag or "")
        dialog.confirm_served()
        sequence = self._sequences.get(told.tag or "")
        for other in self._sequences.values():
            other.say_no_more()

        def send(now: float) -> None:
            self._held = None
            self._conclude(told, now)
            self._await_ack(dialog, now)

        if sequence is None or not sequence.described:
            send(now)
        else:
            self._held, self._final = send, True
        return dialog

    def _conclude(self, told: Provisional, now: float) -> None:
        """Send a final response."""
        self._stop(self._trying)
        self._stop(self._refresh)
        close_all(self._sequences.values())
        self._send_out(told, now)
        self._drop_early_dialogs()

    def _send_out(self, told: Provisional, now: float) -> bytes:
        return self._send(
            told.status, told.reason, headers=told.headers, body=told.body, tag=told.tag, now=now
        )

    def _sequence(self, dialog: Dialog, tag: str) -> ReliableSequence:
        def send(told: Provisional, rseq: int, now: float) -> bytes:
            return self._send_out(replace(told, headers=told.numbered(rseq)), now)

        if tag not in self._sequences:
            self._sequences[tag] = ReliableSequence(
                self._core,
                dialog.id,
                self.request.cseq.number,
                send=send,
                repeat=self._transaction.send_again,
                told=self._all_told,
                missing=self._prack_missing,
            )
        return self._sequences[tag]

    def _all_told(self, now: float) -> None:
        """Send the held 2xx, if any, once no early dialog has an unacknowledged body."""
        if self._held is not None and not any(s.described for s in self._sequences.values()):
            self._held(now)

    def _prack_missing(self, now: float) -> None:
        """Fail the INVITE with 504, as a PRACK is missing (RFC 3262 section 3)."""
        if self._final and self._held is None:
            return
        self._refuse(504, "not acknowledged", now)
        self._core.emit(PrackMissing(self))

    def _refuse(self, status: int, why: str, now: float) -> None:
        """Send a non-2xx final response, also in place of a 2xx that was held back."""
        held, self._held = self._held is not None, None
        self._conclude(Provisional(status, None, (), b"", self._tag(None, status)), now)
        if held and self.dialog is not None and self.dialog.id.local_tag in self.dialogs:
            self.dialog.end(why, now)

    def turn_away(
        self, status: int, *, headers: Iterable[tuple[str, str]] = (), now: float
    ) -> None:
        """Refuse the INVITE without keeping its state; see `ServerRequest.turn_away`."""
        self._stop(self._trying)
        super().turn_away(status, headers=headers, now=now)

    def checkpoint(self) -> dict[str, object]:
        """Return plain values for `Endpoint.serve_again` in the next process."""
        return {
            "request": bytes(self.request).decode("latin-1"),
            "source": list(self.source),
            "local": list(self.local),
        }

    def give_up(self, request: Request, now: float) -> None:
        """Answer 487 after the caller's CANCEL, or BYE in the early dialog, if in time (9.2)."""
        if self._final and self._held is None:
            return
        self.cancelled = True
        self._core.emit(InviteCancelled(self, request))
        self._refuse(487, "cancelled", now)

    def abandon(self, now: float) -> None:
        """Answer an open re-INVITE with 487, as its dialog has ended (15.1.2)."""
        if not self._final or self._held is not None:
            self._held = None
            self._conclude(Provisional(487, None, (), b"", self._tag(None, 487)), now)
            self.cancelled = True
        self.stop_repeating()

    @property
    def ack_due(self) -> bool:
        """True from our 2xx, even if it is held back, until its ACK."""
        dialog = self.dialog
        return self._held is not None or (
            dialog is not None and self._ack_key(dialog) in self._core.unacknowledged
        )

    def acknowledge(self, request: Request, now: float) -> None:
        """Process the ACK to our 2xx."""
        self.stop_repeating()
        if self.dialog is not None:
            self._core.emit(AckReceived(self.dialog, request))
            self.dialog.served(self, now)

    def on_acknowledged(self, now: float) -> None:
        """Note that the ACK to our non-2xx came, or never will."""
        if self.dialog is not None:
            self.dialog.served(self, now)

    def on_terminated(self, now: float) -> None:
        """Release the terminated transaction and the sequences of reliable responses."""
        super().on_terminated(now)
        for sequence in self._sequences.values():
            sequence.forget()

    def _dialog_for(self, tag: str) -> Dialog:
        if self.dialog is not None:
            return self.dialog
        dialog = self.dialogs.get(tag)
        if dialog is None:
            dialog = dialog_at_server(
                self._core,
                self.request,
                tag,
                source=self.source,
                at=self._local,
                owner=self.owner,
            )
            dialog.serving(self)
            self.dialogs[tag] = dialog
        return dialog

    def _drop_early_dialogs(self) -> None:
        for dialog in self.dialogs.values():
            if dialog.state is DialogState.EARLY:
                dialog.forget("not answered")

    def _schedule_refresh(self, now: float) -> None:
        def refresh(now: float) -> None:
            if self._last is not None:
                self._say(self._last.without_body(), reliable=True, now=now)
            elif isinstance(self._transaction, InviteServerTransaction):
                self._transaction.receive_again(now)
                self._schedule_refresh(now)

        self._refresh = self._core.timers.at(now + self._core.timings.provisional_refresh, refresh)

    def _await_ack(self, dialog: Dialog, now: float) -> None:
        """Repeat the 2xx at T1, 2*T1, … T2 until its ACK, at most 64*T1 (13.3.1.4)."""
        self._core.unacknowledged[self._ack_key(dialog)] = self
        self._schedule_repeat(self._core.timings.t1, now)
        self._deadline = self._core.timers.at(now + self._core.timings.timeout, self._ack_missing)

    def _schedule_repeat(self, interval: float, now: float) -> None:
        def repeat(now: float) -> None:
            self._transaction.repeat()
            self._schedule_repeat(min(2 * interval, self._core.timings.t2), now)

        self._repeat = self._core.timers.at(now + interval, repeat)

    def _ack_missing(self, now: float) -> None:
        self.stop_repeating()
        dialog = self.dialog
        if dialog is not None and not dialog.served(self, now) and not dialog.ending:
            self._core.emit(AckMissing(dialog))

    def _ack_key(self, dialog: Dialog) -> tuple[DialogId, int]:
        return dialog.id, self.request.cseq.number

    def stop_repeating(self) -> None:
        """Stop repeating the 2xx: it is acknowledged, given up, or its dialog is over."""
        self._stop(self._repeat)
        self._stop(self._deadline)
        if self.dialog is not None:
            self._core.unacknowledged.pop(self._ack_key(self.dialog), None)

    @staticmethod
    def _stop(timer: Timer | None) -> None:
        if timer is not None:
            timer.cancel()
