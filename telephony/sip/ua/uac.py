"""The client's side of an INVITE (RFC 3261 sections 9.1 and 13.2): the handle of a sent INVITE.

One INVITE may have several 2xx and early dialogs. A CANCEL is sent only after the first provisional
response. The transaction repeats the INVITE. Each reliable provisional response that arrives in
sequence (RSeq) is acknowledged by a PRACK (RFC 3262 section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from telephony.errors import ProtocolError
from telephony.sip.client_request import ClientRequest
from telephony.sip.compose import Draft, HeaderList, cancel_of, compose, merge, own_contact
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.message.grammar import REASONS
from telephony.sip.message.header_values import RELIABLE, RAck
from telephony.sip.message.messages import Request, Response, rseq_of
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.client_transaction import IgnoringUser
from telephony.sip.transaction.core import SipEvent
from telephony.sip.transaction.timers import Timer
from telephony.sip.transport.address import Address
from telephony.sip.ua.client import (
    DialogRequestFailed,
    DialogResponse,
    NonInviteClient,
    UserAgentClient,
)
from telephony.sip.ua.user_agent import ChallengeAnswers, UserAgent


@dataclass(frozen=True, slots=True)
class InviteProgress(SipEvent):
    """A provisional response to an INVITE that we sent outside a dialog has arrived."""

    client: InviteClient
    dialog: Dialog | None
    """The early dialog of the response; None for a 100 and for a response without a To tag."""
    response: Response
    answer_due: bool = False
    """True if the response is reliable and has an offer. Answer it by `client.prack`."""


@dataclass(frozen=True, slots=True)
class InviteAnswered(SipEvent):
    """A 2xx to our INVITE has arrived. There is one event for each dialog that a 2xx confirms.

    The application must call `dialog.ack(client, now=now)`, and send a BYE if it does not need the
    dialog: another fork has answered, or the 2xx crossed our CANCEL (`client.cancelled`).
    """

    client: InviteClient
    dialog: Dialog
    response: Response


@dataclass(frozen=True, slots=True)
class InviteFailed(SipEvent):
    """An INVITE that we sent outside a dialog has failed, and its early dialogs have ended."""

    client: InviteClient
    response: Response | None
    """None if no final response arrived."""
    status: int
    """Without a final response, 408 (timeout), 503 (unreachable) or 487 (64*T1 after CANCEL)."""
    reason: str


class InviteClient(UserAgentClient):
    """An INVITE that we send, outside a dialog or within one.

    Attributes:
        dialogs: The dialogs of the responses, by the peer's To tag; empty for a re-INVITE.
        cancelled: True once `cancel` was called before a final response arrived.
        heard: True once the peer has sent any response.
    """

    def __init__(
        self,
        agent: UserAgent,
        draft: Draft,
        *,
        dialog: Dialog | None = None,
        owner: object = None,
        sent: Request | None = None,
    ) -> None:
        super().__init__(agent, draft, dialog=dialog, owner=owner, sent=sent)
        self.dialogs: dict[str, Dialog] = {}
        self.cancelled = False
        self.heard = False
        self._ringing = False
        self.finished = False
        """True once a final response has arrived, or if none can arrive any more."""
        self._cancel_headers: tuple[tuple[str, str], ...] = ()
        self._cancel_deadline: Timer | None = None
        self._rseqs: dict[str, int] = {}
        """The most recent RSeq of each early dialog, by its To tag."""
        if dialog is not None:
            dialog.note_invite(self)

    def checkpoint(self) -> dict[str, object]:
        """Return the INVITE as plain values (JSON) for `Endpoint.cancel_restored`."""
        return {
            "request": bytes(self.request).decode("latin-1"),
            "destination": list(self.destination),
            "local": list(self.local),
        }

    def cancel(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> None:
        """Cancel the INVITE by a CANCEL (RFC 3261 section 9.1) with `headers`, such as a Reason.

        The CANCEL is sent after the first provisional response, and not after a final one. Then
        `InviteFailed` follows, usually with 487. If a 2xx crossed the CANCEL, `InviteAnswered`
        follows. For a re-INVITE, the event is `DialogResponse` or `DialogRequestFailed`.
        """
        if self.finished or self.cancelled:
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
        """Send the failed INVITE again, and return the handle of the new INVITE.

        It has the same Call-ID, From tag and owner, and the next CSeq. `headers` replace those of
        the same name: credentials after a 401 or 407, Session-Expires and Min-SE after a 422. `uri`
        and `destination` (None: as before) are the new target after a 3xx. Raises `ProtocolError`
        if the dialog has ended or is ending, another INVITE is pending in it, or no local address
        reaches `destination`.
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
        """Answer, by `body`, the offer in a reliable provisional response (RFC 3262 section 5).

        The core itself sends the PRACK to a reliable response without an offer, before it reports
        the response. Raises `ProtocolError` if `response` is not reliable.
        """
        rseq = rseq_of(response)
        if rseq is None:
            raise ProtocolError("not a reliable provisional response")
        self._send_prack(dialog, RAck(rseq, response.cseq), now, tuple(headers), body)

    def on_response(self, response: Response, now: float) -> None:
        """Process a 1xx, a 2xx (there may be several) or another final response to the INVITE."""
        self.heard = True
        if response.status < 200:
            self._progress(response, now)
            return
        if not self.cancelled and self._answer_challenge(response, now):
            self._drop_early_dialogs()
            self._ringing, self._rseqs = False, {}
            return
        self._finish()
        self.response = self.response or response
        if response.status < 300:
            self._answered(response, now)
        elif self.dialog is None:
            self._drop_early_dialogs()
            self._core.emit(InviteFailed(self, response, response.status, response.reason))
        elif self.dialog.state is not DialogState.TERMINATED:
            self.dialog.reinvite_finished(self)
            self._core.emit(DialogResponse(self.dialog, self, response))
            self.dialog.on_response(self, response, now)

    def _failed(self, status: int, now: float) -> None:
        self._finish()
        if self.dialog is None:
            self._drop_early_dialogs()
            self._core.emit(InviteFailed(self, None, status, REASONS.get(status, "")))
        elif self.dialog.state is not DialogState.TERMINATED:
            self.dialog.reinvite_finished(self)
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)

    def on_terminated(self, now: float) -> None:
        """When the INVITE's transaction ends, drop the early dialogs that no 2xx has confirmed."""
        del now
        self._drop_early_dialogs()

    def _progress(self, response: Response, now: float) -> None:
        if not self._ringing:
            self._ringing = True
            if self.cancelled:
                self._send_cancel(now)
        tag, dialog = response.to.tag, self.dialog
        rseq = rseq_of(response) if tag and RELIABLE in self._core.supported else None
        if rseq is not None and not self._is_next(tag or "", rseq):
            return
        if dialog is None and tag and response.status > 100:
            dialog = self._dialog_for(response)
        answer_due = rseq is not None and bool(response.body) and not self.request.body
        if rseq is not None and dialog is not None and not answer_due:
            self._send_prack(dialog, RAck(rseq, response.cseq), now)
        if self.dialog is None:
            self._core.emit(InviteProgress(self, dialog, response, answer_due))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogResponse(self.dialog, self, response))

    def _is_next(self, tag: str, rseq: int) -> bool:
        """Return whether a reliable response is next in its dialog (To tag). If so, store its RSeq.

        The first response in a dialog is accepted. A copy, or a response after a missing one, must
        not be acknowledged. The callee repeats each response until it is acknowledged.
        """
        last = self._rseqs.get(tag)
        if last is not None and rseq != last + 1:
            return False
        self._rseqs[tag] = rseq
        return True

    def _send_prack(
        self,
        dialog: Dialog,
        rack: RAck,
        now: float,
        headers: HeaderList = (),
        body: bytes = b"",
    ) -> None:
        """Send a PRACK with `rack`. Send nothing after the dialog's end or our BYE."""
        if not dialog.is_ending:
            draft = dialog.draft("PRACK", (("RAck", str(rack)), *headers), body)
            _Prack(self._agent, dialog, draft, ChallengeAnswers()).begin(now)

    def _answered(self, response: Response, now: float) -> None:
        dialog = self.dialog or self._dialog_for(response)
        number = self.request.cseq.number
        if dialog.has_2xx(number):
            dialog.repeat_ack(number)
            return
        if self.dialog is None:
            dialog.confirm(response, number)
            self._core.emit(InviteAnswered(self, dialog, response))
            return
        dialog.confirm_reinvite(response, number)
        dialog.reinvite_finished(self)
        if dialog.state is DialogState.TERMINATED:
            dialog.ack(self, now=now)
        else:
            self._core.emit(DialogResponse(dialog, self, response))

    def _dialog_for(self, response: Response) -> Dialog:
        tag = response.to.tag or ""
        dialog = self.dialogs.get(tag)
        number = self.request.cseq.number
        gone = dialog is not None and dialog.state is DialogState.TERMINATED
        if dialog is None or (gone and not dialog.has_2xx(number)):
            dialog = self.dialogs[tag] = self._make_dialog(response)
        elif dialog.state is DialogState.EARLY:
            dialog.refresh(response)
        return dialog

    def _make_dialog(self, response: Response) -> Dialog:
        """Make the dialog of a received 1xx or 2xx (RFC 3261 section 12.1.2)."""
        draft = self._draft
        dialog = Dialog(
            self._agent.dialogs,
            call_id=draft.call_id,
            local=draft.from_,
            remote=response.to,
            remote_target=draft.uri,
            routes=(),
            local_cseq=draft.cseq,
            remote_cseq=None,
            caller=True,
            local_address=draft.local,
            peer=draft.destination,
            contact=own_contact(draft.contact_user, draft.local, secure=draft.secure),
            owner=self.owner,
        )
        dialog.refresh(response)
        return dialog

    def _drop_early_dialogs(self) -> None:
        for dialog in self.dialogs.values():
            if dialog.state is DialogState.EARLY:
                dialog.drop("not answered")

    def forget_content(self) -> None:
        """Forget the body and response of a finished INVITE, because its call has ended.

        A further 2xx still gets its ACK.
        """
        if self.finished:
            self.response = None
            self.request.body = b""
            self._draft = replace(self._draft, headers=(), body=b"")

    def start_deadline(self, now: float) -> None:
        """Wait at most 64*T1 more for the final response to a re-INVITE whose dialog has ended.

        If this response were lost, the re-INVITE would never end: its transaction has no timer
        after a provisional response (RFC 3261 section 17.1.1.2).
        """
        if self._cancel_deadline is None and not self.finished:
            self._cancel_deadline = self._core.timers.at(
                now + self._core.timings.timeout, self._cancel_unanswered
            )

    def _send_cancel(self, now: float) -> None:
        cancel = cancel_of(self.request, self._cancel_headers)
        self._core.transactions.start_client(cancel, IgnoringUser(), self._draft.next_hop, now)
        if self._cancel_deadline is not None:
            self._cancel_deadline.cancel()
        self._cancel_deadline = self._core.timers.at(
            now + self._core.timings.timeout, self._cancel_unanswered
        )

    def _cancel_unanswered(self, now: float) -> None:
        """End the INVITE with 487, 64*T1 after the CANCEL (RFC 3261 9.1) or `start_deadline`."""
        if self._transaction is not None:
            self._transaction.fail(487, now)

    def _finish(self) -> None:
        self.finished = True
        if self._cancel_deadline is not None:
            self._cancel_deadline.cancel()


class _Prack(IgnoringUser):
    """The transaction user of a PRACK: it answers a challenge, and ignores all else.

    If no PRACK arrives, the callee refuses the INVITE with a 5xx (RFC 3262 section 3).
    """

    def __init__(
        self, agent: UserAgent, dialog: Dialog, draft: Draft, answers: ChallengeAnswers
    ) -> None:
        self._core = agent.core
        self._request = compose(agent.core, draft)
        self._agent = agent
        self._dialog = dialog
        self._draft = draft
        self._answers = answers

    def begin(self, now: float) -> None:
        self._core.transactions.start_client(self._request, self, self._draft.next_hop, now)

    def on_response(self, response: Response, now: float) -> None:
        given = self._answers.take(
            self._agent.credentials, self._request, response, self._draft.destination
        )
        if given is not None:
            again = self._dialog.draft_again(self._draft, merge(self._draft.headers, given))
            _Prack(self._agent, self._dialog, again, self._answers).begin(now)


def open_request(agent: UserAgent, dialog: Dialog, draft: Draft) -> ClientRequest:
    """Make the handle of a request within a dialog. The handle's `begin` sends the request."""
    kind = InviteClient if draft.method == "INVITE" else NonInviteClient
    return kind(agent, draft, dialog=dialog, owner=dialog.owner)
