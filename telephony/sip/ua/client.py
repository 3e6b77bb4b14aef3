"""The client side of any request (RFC 3261 section 8.1), inside or outside a dialog.

Each request has a handle, which reports the responses to the application. The module uac.py has the
code that only an INVITE needs. The module client_request.py sends the requests.
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
    """A provisional or final response to a request that we sent within a dialog has arrived.

    After a 2xx to a re-INVITE, the application must call `dialog.ack(transaction, now=now)`.
    """

    dialog: Dialog
    transaction: ClientRequest
    response: Response


@dataclass(frozen=True, slots=True)
class DialogRequestFailed(SipEvent):
    """A request that we sent within a dialog has failed: it will receive no final response.

    If `status` is 408, the application should send BYE (RFC 3261 section 12.2.1.2).
    """

    dialog: Dialog
    transaction: ClientRequest
    status: int
    """The reason: 408 for a timeout, 503 if the peer is unreachable, 487 if we cancelled an INVITE
    and the peer sent no final response to it."""


@dataclass(frozen=True, slots=True)
class StandaloneResponse(SipEvent):
    """The result of a request that we sent outside any dialog: a response or a failure.

    It is a failure if no final response arrived.
    """

    transaction: NonInviteClient
    response: Response | None
    """The response; None if no final response arrived."""
    status: int
    """The status of the response. If no final response arrived, it is 408 for a timeout, or 503 if
    the peer is unreachable."""


class UserAgentClient(ClientRequest):
    """A request that the application sends. The core can send it again with credentials.

    Attributes, in addition to those of `ClientRequest`:
        dialog: The dialog in which the request is sent; None outside a dialog.
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
        """Make the handle, and compose the request from the draft; do not send the request.

        If an earlier process has already sent the request, `sent` is this request, and no new
        request is composed.
        """
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
        """Send the request again with the next CSeq number, under a new handle; return this handle.

        `headers` replace the request's header fields with the same names. Outside a dialog, `uri`
        and `destination` replace those of the request if they are not None. In a dialog, both are
        ignored.

        Raises:
            ProtocolError: The dialog is terminated, or no local address reaches `destination`.
        """
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
        """If `response` is a challenge, send the request again with credentials, and return True.

        If `response` is not a challenge, or we have no credentials for it, only return False.
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
    """The handle of a request that we send with any method except INVITE, ACK and CANCEL."""

    def retry(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> NonInviteClient:
        """Send the request again with the same Call-ID and From tag, and the next CSeq number.

        `headers` replace the request's header fields with the same names. The application calls
        this method after a 423 or a similar response, and after a 401 or 407, with credentials in
        `headers`.

        Raises:
            ProtocolError: The dialog is terminated.
        """
        return self._again(headers, None, None, now)

    def on_response(self, response: Response, now: float) -> None:
        """Report the response to the application.

        But if it is a challenge for which we have credentials, send the request again instead.
        """
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
        """Do nothing when the most recent transaction of the request terminates."""

    def _failed(self, status: int, now: float) -> None:
        """Report to the application that no final response will arrive; `status` is the reason."""
        if self.dialog is None:
            self._core.emit(StandaloneResponse(self, None, status))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)
