"""The client's side of any request (RFC 3261 8.1), outside a dialog or in one.

The additions for INVITE are in uac.py; client_request.py sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from telephony.errors import ProtocolError
from telephony.sip.dialog.dialog import Dialog, DialogState
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.request.client_request import ClientRequest
from telephony.sip.request.compose import Draft, merge
from telephony.sip.transport.address import Address
from telephony.sip.transport.events import SipEvent
from telephony.sip.ua.challenge import ChallengeAnswers
from telephony.sip.ua.user_agent import UserAgent


@dataclass(frozen=True, slots=True)
class DialogResponse(SipEvent):
    """A response, provisional or final, to a request that we sent within a dialog.

    After a 2xx to a re-INVITE the application must call `dialog.ack(transaction, now=now)`.
    """

    dialog: Dialog
    transaction: ClientRequest
    response: Response


@dataclass(frozen=True, slots=True)
class DialogRequestFailed(SipEvent):
    """A request that we sent within a dialog got no final response.

    After 408 the application should send BYE (RFC 3261 12.2.1.2).
    """

    dialog: Dialog
    transaction: ClientRequest
    status: int
    """408 for a timeout, 503 if unreachable, 487 if our CANCEL was not answered."""


@dataclass(frozen=True, slots=True)
class StandaloneResponse(SipEvent):
    """The result of a request that we sent outside any dialog: a response, or no response."""

    transaction: NonInviteClient
    response: Response | None
    """None if no response came."""
    status: int
    """The response's status; without a response, 408 for a timeout or 503 if unreachable."""


class UserAgentClient(ClientRequest):
    """A request of the application, which can be repeated with credentials.

    Attributes, in addition to those of `ClientRequest`:
        dialog: The dialog in which it was sent, else None.
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
        """Make a request from the draft; `sent` is the request if an earlier process sent it."""
        super().__init__(agent.core, draft, owner=owner, sent=sent)
        self.dialog = dialog
        self._agent = agent
        self._answers = ChallengeAnswers()
        if dialog is not None and draft.method == "BYE":
            dialog.note_bye(self)

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
                addresses = self._core.local_addresses
                local = addresses.reaching(destination, self._draft.local)
                if local is None:
                    raise ProtocolError("no local address reaches that destination")
                draft = replace(draft, destination=destination, local=local, fallback=None)
        again = type(self)(self._agent, draft, dialog=self.dialog, owner=self.owner)
        again.begin(now)
        return again

    def _answer_challenge(self, response: Response, now: float) -> bool:
        """Send the request again if `response` is a challenge that we have credentials for.

        Return whether it was sent.
        """
        given = self._answers.take(
            self._agent.credentials, self.request, response, self.destination
        )
        if given is None:
            return False
        headers = merge(self._draft.headers, given)
        if self.dialog is not None:
            draft = self.dialog.draft_again(self._draft, headers)
        else:
            draft = replace(self._draft, cseq=self._draft.cseq + 1, headers=headers)
        self._begin_next(draft, now)
        return True


class NonInviteClient(UserAgentClient):
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

    def on_terminated(self, now: float) -> None:
        """Note that the last transaction is terminated."""

    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will come."""
        if self.dialog is None:
            self._core.emit(StandaloneResponse(self, None, status))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)
