"""The server's side of any request (RFC 3261 section 8.2): one object for each received request.

For an INVITE, the object is an `InviteServer` (uas.py). If a copy of the request arrives, the
package `transaction` sends the response again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from telephony.errors import ProtocolError
from telephony.sip.compose import compose_response, own_contact
from telephony.sip.dialog import Dialog
from telephony.sip.dialog_addresses import wants_sips
from telephony.sip.message.messages import Request
from telephony.sip.transaction.core import SipEvent
from telephony.sip.transaction.server_transaction import NonInviteServerTransaction
from telephony.sip.transaction.transactions import ServerKey
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import NextHop
from telephony.sip.ua.user_agent import UserAgent


@dataclass(frozen=True, slots=True)
class DialogRequest(SipEvent):
    """A request within a dialog has arrived. The application must call `transaction.respond`.

    For a re-INVITE, `transaction` is an `InviteServer`. After a BYE in a confirmed dialog,
    `DialogEnded` follows. A PRACK is reported only if it has a body (an offer or answer). Even a
    PRACK that the application rejects acknowledges the response.
    """

    dialog: Dialog
    transaction: ServerRequest
    request: Request


@dataclass(frozen=True, slots=True)
class StandaloneRequest(SipEvent):
    """A request other than INVITE, such as REGISTER or OPTIONS, has arrived outside any dialog."""

    transaction: ServerRequest
    request: Request
    source: Address


class ServerRequest:
    """A request that we received, INVITE or not.

    Attributes:
        request: The parsed request. Its top Via is as `stamp` returns it.
        source: The address from which the request came.
        dialog: The dialog in which the request arrived. For a new INVITE, the dialog of our 2xx.
            Otherwise None.
        owner: The application's own object for this request.
    """

    def __init__(
        self,
        agent: UserAgent,
        request: Request,
        key: ServerKey,
        *,
        source: Address,
        hop: NextHop,
        dialog: Dialog | None = None,
    ) -> None:
        self.request = request
        self.source = source
        self.local = hop.local.address
        self.dialog = dialog
        self.owner: object = dialog.owner if dialog else None
        self._agent = agent
        self._core = agent.core
        self._local = hop.local
        self.answered = False
        """True once a final response was sent, or a 2xx waits for a PRACK."""
        self.own_tag: str = self._core.token()
        """The To tag of our responses, unless `respond` gets another `to_tag`."""
        self._transaction = self._core.transactions.start_server(
            request, self, key, hop, self.own_tag
        )

    def begin(self, now: float) -> None:
        """Wait at most 64*T1 for the application's response. `InviteServer` has its own `begin`."""
        if isinstance(self._transaction, NonInviteServerTransaction):
            self._transaction.start(now)

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        to_tag: str | None = None,
        now: float,
    ) -> Dialog | None:
        """Send a response. If it has a body, `headers` must include its Content-Type.

        For a new INVITE, a provisional response above 100 creates an early dialog, and a 2xx
        confirms it and sets `dialog`. Each `to_tag` has its own dialog; None is our own tag. Return
        the response's dialog; None for a 100, a failure, or a method other than INVITE. Nothing is
        sent for a cancelled INVITE, or 64*T1 after another request, because the client has stopped
        waiting. Raises `ProtocolError` if a final response was already sent.
        """
        if self.answered:
            raise ProtocolError("a final response was already sent")
        if not self._transaction.answered:
            tag = self._tag(to_tag, status)
            self._send(status, reason, headers=headers, body=body, tag=tag, now=now)
        return None

    def refuse_statelessly(
        self, status: int, *, headers: Iterable[tuple[str, str]] = (), now: float
    ) -> None:
        """Refuse a request without storing its state (RFC 3261 sections 8.2.7 and 26.3.2.4).

        A copy of the request is processed as a new request. Its response has the same To tag. A
        later ACK or CANCEL belongs to no transaction. Raises `ProtocolError` if a final response
        was already sent, or `dialog` is not None.
        """
        if self.answered or self.dialog is not None:
            raise ProtocolError("only an unanswered request outside dialogs can be refused")
        self.answered = True
        tag = None if self.request.to.tag else self._core.tag_for(self.request)
        data = self._write(status, headers=headers, tag=tag)
        self._transaction.answer_once(data, now)

    def on_acknowledged(self, now: float) -> None:
        """Do nothing: only the response to an INVITE has an ACK."""

    def on_terminated(self, now: float) -> None:
        """Do nothing at the end of the transaction. `InviteServer` overrides this method."""

    def _tag(self, to_tag: str | None, status: int) -> str | None:
        if status == 100 or self.request.to.tag:
            return None
        return self.own_tag if to_tag is None else to_tag

    def _send(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        tag: str | None = None,
        now: float,
    ) -> bytes:
        data = self._write(status, reason, headers=headers, body=body, tag=tag)
        self.answered = status >= 200
        self._transaction.respond(status, data, now)
        if self._is_done_after(status):
            self._transaction.release_user()
        return data

    def _is_done_after(self, status: int) -> bool:
        """Return whether the transaction reports nothing more after a response with `status`."""
        return status >= 200

    def _write(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        tag: str | None = None,
    ) -> bytes:
        dialog = self.dialog
        if dialog is not None:
            contact = dialog.contact
        else:
            secure = wants_sips(self.request)
            contact = own_contact(self.request.uri.user, self._local, secure=secure)
        response = compose_response(
            self._core,
            self.request,
            status,
            reason,
            to_tag=tag,
            contact=contact,
            headers=headers,
            body=body,
        )
        return bytes(response)
