"""The client's side of any request (RFC 3261 8.1): the handle of a request that we sent.

The additions for INVITE are in uac.py, retransmission is in client_transaction.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from telephony.errors import ProtocolError
from telephony.sip.challenge import Answers, Turn
from telephony.sip.client_transaction import ClientTransaction
from telephony.sip.compose import Draft, compose, merge
from telephony.sip.core import Core
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.events import (
    Address,
    DialogRequestFailed,
    DialogResponse,
    StandaloneResponse,
)
from telephony.sip.message import Request, Response
from telephony.sip.sizing import by_stream, remember_refusal
from telephony.sip.uri import Uri

if TYPE_CHECKING:
    from typing import Self


class ClientRequest:
    """A request that we sent, INVITE or not.

    Attributes:
        request: The request as sent.
        destination: The address to which it was sent.
        local: The address of the socket that sent it.
        dialog: The dialog in which it was sent, else None.
        response: The final response, once there is one (of several 2xx the first).
        owner: The application's own object for this request; the core only stores it.
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
        """Make a request from the draft; `sent` is the request if an earlier process sent it."""
        self.request: Request = sent or compose(core, draft)
        self.destination: Address = draft.destination
        self.local: Address = draft.local.address
        self.dialog = dialog
        self.response: Response | None = None
        self.owner = owner
        self._core = core
        self._draft = draft
        self._as_datagram: Draft | None = None
        self._transaction: ClientTransaction | None = None
        self._turn: Turn | None = None
        self._answers = Answers()

    def begin(self, now: float) -> None:
        """Send the request; the core calls this once."""
        longer = by_stream(self._core, self._draft, self.request, now)
        if longer is not None:
            self._as_datagram = self._draft
            self._take(longer)
        self._turn = turn = Turn(self, self.request)
        self._transaction = self._core.start_client(self.request, turn, self._draft.way, now)

    def _take(self, draft: Draft) -> None:
        """Take another draft with its own path; the request gets a new Via and transaction."""
        self._draft = draft
        self.request = compose(self._core, draft)
        self.destination, self.local = draft.destination, draft.local.address

    def on_failure(self, status: int, now: float) -> None:
        """Report that no final response will come, or try UDP after a refused TCP (18.1.1)."""
        draft, self._as_datagram = self._as_datagram, None
        if status != 503 or draft is None:
            self._failed(status, now)
            return

        def begin_again(now: float) -> None:
            self._take(draft)
            self.begin(now)

        remember_refusal(self._core, draft.destination, now)
        self._core.timers.at(now, begin_again)

    def _again(
        self,
        headers: Iterable[tuple[str, str]],
        uri: Uri | None,
        destination: Address | None,
        now: float,
    ) -> Self:
        """Send the same request with the next CSeq."""
        merged = merge(self._answers.without(self._draft.headers), headers)
        if self.dialog is not None:
            draft = self.dialog.draft(self.request.method, merged, self._draft.body)
        else:
            draft = replace(
                self._draft,
                uri=uri or self._draft.uri,
                cseq=self._draft.cseq + 1,
                headers=merged,
            )
            if destination is not None:
                local = self._core.local_for(destination, self._draft.local)
                if local is None:
                    raise ProtocolError("no local address reaches that destination")
                draft = replace(draft, destination=destination, local=local, otherwise=None)
        again = type(self)(self._core, draft, dialog=self.dialog, owner=self.owner)
        if self.dialog is not None:
            self.dialog.sent(again)
        again.begin(now)
        return again

    def on_response(self, response: Response, now: float) -> None:
        """Process a response from the transaction."""
        raise NotImplementedError

    def _failed(self, status: int, now: float) -> None:
        raise NotImplementedError

    def on_terminated(self, now: float) -> None:
        """Note that the transaction is terminated."""

    def end(self, request: Request) -> None:
        """Forget one of the request's transactions."""
        self._core.end_client(request)

    def is_turn(self, turn: Turn) -> bool:
        """Return whether `turn` is the last transaction, the only one that counts."""
        return self._turn is turn

    def _answer_challenge(self, response: Response, now: float) -> bool:
        """Send the request again if `response` is a challenge that we have credentials for.

        Return whether it was sent.
        """
        given = self._answers.take(self._core, self.request, response, self.destination)
        if given is None:
            return False
        headers = merge(self._draft.headers, given)
        if self.dialog is not None:
            draft = self.dialog.draft_again(self._draft, headers)
        else:
            draft = replace(self._draft, cseq=self._draft.cseq + 1, headers=headers)
        self._as_datagram = None
        self._take(draft)
        self.begin(now)
        return True


class NonInviteClient(ClientRequest):
    """Any request except INVITE, ACK and CANCEL."""

    def retry(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> NonInviteClient:
        """Send the request again: same Call-ID and From tag, next CSeq.

        `headers` replace those of the same name. Used after 401 and 407 (with credentials in
        `headers`), 423 and the like.

        Raises:
            ProtocolError: The dialog is terminated.
        """
        return self._again(headers, None, None, now)

    def on_response(self, response: Response, now: float) -> None:
        """Report the response to the application."""
        if self._answer_challenge(response, now):
            return
        if response.status >= 200:
            self.response = response
        if self.dialog is None:
            self._core.emit(StandaloneResponse(self, response, response.status))
            return
        if self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogResponse(self.dialog, self, response))
            self.dialog.on_response(self, response, now)

    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will come."""
        if self.dialog is None:
            self._core.emit(StandaloneResponse(self, None, status))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)
