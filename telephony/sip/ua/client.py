"""The client side of any request (RFC 3261 section 8.1), inside or outside a dialog.

A handle reports the responses to the application. uac.py has what only an INVITE needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from telephony.errors import ProtocolError
from telephony.sip.client_request import ClientRequest
from telephony.sip.compose import Draft, merge
from telephony.sip.dialog import Dialog, DialogState
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.core import SipEvent
from telephony.sip.transport.address import Address
from telephony.sip.ua.user_agent import ChallengeAnswers, UserAgent


@dataclass(frozen=True, slots=True)
class DialogResponse(SipEvent):
    """A response within a dialog. After a 2xx to a re-INVITE, call `dialog.ack`."""

    dialog: Dialog
    transaction: ClientRequest
    response: Response


@dataclass(frozen=True, slots=True)
class DialogRequestFailed(SipEvent):
    """A request in a dialog got no final response. After 408, send BYE (RFC 3261 12.2.1.2)."""

    dialog: Dialog
    transaction: ClientRequest
    status: int
    """408 for a timeout, 503 for an unreachable peer, 487 for an INVITE 64*T1 after our CANCEL."""


@dataclass(frozen=True, slots=True)
class StandaloneResponse(SipEvent):
    """Our request outside any dialog, other than INVITE, got a response or failed."""

    transaction: NonInviteClient
    response: Response | None
    """None if no final response arrived."""
    status: int
    """The status of the response; 408 (timeout) or 503 (unreachable) without a response."""


class UserAgentClient(ClientRequest):
    """A request that the application sends. The core can send it again with credentials."""

    def __init__(
        self,
        agent: UserAgent,
        draft: Draft,
        *,
        dialog: Dialog | None = None,
        owner: object = None,
        sent: Request | None = None,
    ) -> None:
        """Compose the request, or use `sent`, which an earlier process sent. Send nothing yet."""
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
        """Send the request again with the next CSeq number. Return its new handle.

        The arguments and the errors are those of `InviteClient.retry`.
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
                    raise ProtocolError("no local address can reach the destination")
                draft = replace(draft, destination=destination, local=local, fallback=None)
        again = type(self)(self._agent, draft, dialog=self.dialog, owner=self.owner)
        again.begin(now)
        return again

    def _answer_challenge(self, response: Response, now: float) -> bool:
        """Send the request again with credentials. Return False if we have none for `response`."""
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
        """Send the request again with the next CSeq number, and return its new handle.

        The Call-ID and the From tag stay the same. `headers` replace those with the same names,
        as after a 423, or with credentials after a 401 or 407. Raises `ProtocolError` after the
        dialog's end or our BYE.
        """
        return self._again(headers, None, None, now)

    def on_response(self, response: Response, now: float) -> None:
        """Answer a challenge if we can, or report the response unless its dialog has ended."""
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
        """Do nothing."""

    def _failed(self, status: int, now: float) -> None:
        if self.dialog is None:
            self._core.emit(StandaloneResponse(self, None, status))
        elif self.dialog.state is not DialogState.TERMINATED:
            self._core.emit(DialogRequestFailed(self.dialog, self, status))
            self.dialog.on_failure(self, now)
