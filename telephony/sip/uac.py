"""The client's side of an INVITE (RFC 3261 9.1, 13.2): the handle of an INVITE that we sent.

An `InviteClient` collects all results of one INVITE: several early dialogs, several 2xx, and a
CANCEL that waits for the first provisional response. client_transaction.py retransmits.
"""

from __future__ import annotations

from collections.abc import Iterable

from telephony.errors import ProtocolError
from telephony.sip.client_request import ClientRequest, NonInviteClient
from telephony.sip.compose import Draft, cancel_of
from telephony.sip.core import Core
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.establish import dialog_at_client
from telephony.sip.events import (
    Address,
    DialogRequestFailed,
    DialogResponse,
    InviteAnswered,
    InviteFailed,
    InviteProgress,
)
from telephony.sip.grammar import REASONS
from telephony.sip.message import Request, Response
from telephony.sip.prack import Order, Unheard, acknowledge
from telephony.sip.rack import RELIABLE, RAck, rseq_of
from telephony.sip.timers import Timer
from telephony.sip.uri import Uri

__all__ = ["ClientRequest", "InviteClient", "NonInviteClient"]


class InviteClient(ClientRequest):
    """An INVITE that we sent, outside a dialog or in one.

    Attributes:
        dialogs: Early and confirmed dialogs by To tag; empty for a re-INVITE.
        cancelled: True once `cancel` was called before a final response.
    """

    def __init__(
        self,
        core: Core,
        draft: Draft,
        *,
        dialog: Dialog | None = None,
        owner: object = None,
        sent: Request | None = None,
    ) -> None:
        super().__init__(core, draft, dialog=dialog, owner=owner, sent=sent)
        self.dialogs: dict[str, Dialog] = {}
        self.cancelled = False
        self._ringing = False
        self._over = False
        self._cancel_headers: tuple[tuple[str, str], ...] = ()
        self._cancel_deadline: Timer | None = None
        self._order = Order()

    @property
    def over(self) -> bool:
        """True once a final response came, or can no longer come."""
        return self._over

    def checkpoint(self) -> dict[str, object]:
        """Return plain values for `Endpoint.give_up` in the next process."""
        return {
            "request": bytes(self.request).decode("latin-1"),
            "destination": list(self.destination),
            "local": list(self.local),
        }

    def cancel(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> None:
        """Cancel the INVITE: send CANCEL now, or after the first provisional response (9.1).

        `InviteFailed` follows (usually with 487), or `InviteAnswered` if a 2xx crossed the CANCEL.
        After a final response this does nothing. `headers` are for the CANCEL, such as a Reason.
        """
        if self._over or self.cancelled:
            return
        self.cancelled = True
        self._cancel_headers = tuple(headers)
        if self._ringing:
            self._send_cancel(now)

    def retry(
        self,
        *,
        headers: Iterable[tuple[str, str]] = (),
        uri: Uri | None = None,
        destination: Address | None = None,
        now: float,
    ) -> InviteClient:
        """Send the INVITE again after its failure: same Call-ID and From tag, next CSeq.

        `headers` replace those of the same name (credentials after 401/407, Session-Expires and
        Min-SE after 422); `uri` and `destination` follow a 3xx. The owner is the same.

        Raises:
            ProtocolError: The dialog is terminated, or a re-INVITE is pending in it.
        """
        return self._again(headers, uri, destination, now)

    def prack(
        self,
        dialog: Dialog,
        response: Response,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> None:
        """Acknowledge a reliable response whose offer we must answer (RFC 3262 section 5).

        The core acknowledges every other reliable response before it reports it.

        Raises:
            ProtocolError: `response` is not a reliable provisional response.
        """
        rseq = rseq_of(response)
        if rseq is None:
            raise ProtocolError("not a reliable provisional response")
        rack = RAck(rseq, response.cseq)
        acknowledge(self._core, dialog, rack, headers=tuple(headers), body=body, now=now)

    def on_response(self, response: Response, now: float) -> None:
        """Process a response that the transaction passes on: 1xx, each 2xx, one other final."""
        if response.status < 200:
            self._progress(response, now)
            return
        if not self.cancelled and self._answer_challenge(response, now):
            self._drop_early_dialogs()
            self._ringing, self._order = False, Order()
            return
        self._finish()
        self.response = self.response or response
        if response.status < 300:
            self._answered(response, now)
        elif self.dialog is None:
            self._drop_early_dialogs()
            self._core.emit(InviteFailed(self, response, response.status, response.reason))
        elif self.dialog.state is not DialogState.TERMINATED:
            self.dialog.invite_over(self)
            self._core.emit(DialogResponse(self.dialog, self, response))
            self.dialog.on_response(self, response, now)

    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will come."""
        self._finish()
        if self.dialog is None:
            self._drop_early_dialogs()
            self._core.emit(InviteFailed(self, None, status, REASONS.get(status, "")))
        elif self.dialog.state is not DialogState.TERMINATED:
            self.dialog.invite_over(self)
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)

    def on_terminated(self, now: float) -> None:
        """Drop the early dialogs of forks that never answered."""
        del now
        self._drop_early_dialogs()

    def _progress(self, response: Response, now: float) -> None:
        if not self._ringing:
            self._ringing = True
            if self.cancelled:
                self._send_cancel(now)
        tag, dialog = response.to.tag, self.dialog
        rseq = rseq_of(response) if tag and RELIABLE in self._core.supported else None
        if rseq is not None and not self._order.takes(tag or "", rseq):
            return
        if dialog is None and tag and response.status > 100:
            dialog = self._dialog_for(response)
        answer_due = rseq is not None and bool(response.body) and not self.request.body
        if rseq is not None and dialog is not None and not answer_due:
            rack = RAck(rseq, response.cseq)
            acknowledge(self._core, dialog, rack, now=now)
        if self.dialog is None:
            self._core.emit(InviteProgress(self, dialog, response, answer_due))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogResponse(self.dialog, self, response))

    def _answered(self, response: Response, now: float) -> None:
        dialog = self.dialog or self._dialog_for(response)
        number = self.request.cseq.number
        if dialog.answered(number):
            dialog.repeat_ack(number)
            return
        if self.dialog is None:
            dialog.confirm(response, number)
            self._core.emit(InviteAnswered(self, dialog, response))
            return
        dialog.confirm_reinvite(response, self)
        if dialog.state is DialogState.TERMINATED:
            dialog.ack(self, now=now)
        else:
            self._core.emit(DialogResponse(dialog, self, response))

    def _dialog_for(self, response: Response) -> Dialog:
        tag = response.to.tag or ""
        dialog = self.dialogs.get(tag)
        number = self.request.cseq.number
        gone = dialog is not None and dialog.state is DialogState.TERMINATED
        if dialog is None or (gone and not dialog.answered(number)):
            dialog = dialog_at_client(self._core, self._draft, response, self.owner)
            self.dialogs[tag] = dialog
        elif dialog.state is DialogState.EARLY:
            dialog.refresh(response)
        return dialog

    def _drop_early_dialogs(self) -> None:
        for dialog in self.dialogs.values():
            if dialog.state is DialogState.EARLY:
                dialog.forget("not answered")

    def expect_no_more(self, now: float) -> None:
        """Give the final response 64*T1 to arrive after the dialog has ended (RFC 3261 15).

        It may be lost, and a provisional response has stopped all timers of the transaction.
        """
        if self._cancel_deadline is None and not self._over:
            self._cancel_deadline = self._core.timers.at(
                now + self._core.timings.timeout, self._cancel_unanswered
            )

    def _send_cancel(self, now: float) -> None:
        cancel = cancel_of(self.request, self._cancel_headers)
        self._core.start_client(cancel, Unheard(self._core, cancel), self._draft.way, now)
        if self._cancel_deadline is not None:
            self._cancel_deadline.cancel()
        self._cancel_deadline = self._core.timers.at(
            now + self._core.timings.timeout, self._cancel_unanswered
        )

    def _cancel_unanswered(self, now: float) -> None:
        """End the INVITE as cancelled if it has no final response 64*T1 after the CANCEL (9.1)."""
        if self._transaction is not None:
            self._transaction.fail(487, now)

    def _finish(self) -> None:
        self._over = True
        if self._cancel_deadline is not None:
            self._cancel_deadline.cancel()
