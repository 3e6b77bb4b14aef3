"""The server's side of any request (RFC 3261 8.2): the handle that sends the responses.

The additions for INVITE are in uas.py, retransmission is in the room `transaction`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from telephony.errors import ProtocolError
from telephony.sip.dialog.dialog import Dialog
from telephony.sip.dialog.route_set import wants_sips
from telephony.sip.message.messages import Request
from telephony.sip.request.compose import compose_response, own_contact
from telephony.sip.transaction.keys import ServerKey
from telephony.sip.transaction.server import NonInviteServerTransaction
from telephony.sip.transport.address import Address
from telephony.sip.transport.events import SipEvent
from telephony.sip.transport.outgoing import NextHop
from telephony.sip.ua.user_agent import UserAgent


@dataclass(frozen=True, slots=True)
class DialogRequest(SipEvent):
    """A request within a dialog, in order; the application answers it by `transaction.respond`.

    A re-INVITE's `transaction` is an `InviteServer`. After a BYE, `DialogEnded` follows by itself.
    A PRACK is reported only if it has a body: an offer, or the answer to our offer. It acknowledges
    the provisional response whatever the application answers.
    """

    dialog: Dialog
    transaction: ServerRequest
    request: Request


@dataclass(frozen=True, slots=True)
class StandaloneRequest(SipEvent):
    """A request other than INVITE outside any dialog: REGISTER, OPTIONS, MESSAGE and so on."""

    transaction: ServerRequest
    request: Request
    source: Address


class ServerRequest:
    """A request that we received, INVITE or not.

    Attributes:
        request: The parsed request, with `received` and `rport` filled in on its top Via.
        source: The address from which it came.
        local: The address of the socket at which it arrived.
        dialog: The dialog in which it came, else None (for INVITE, see `InviteServer`).
        owner: The application's own object for this request; the core only stores it.
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
        self._key = key
        self._local = hop.local
        self._final = False
        self.own_tag: str = self._core.token()
        """Our To tag, unless `respond` receives another one."""
        self._transaction = self._core.transactions.start_server(request, self, key, hop)

    @property
    def answered(self) -> bool:
        """True once a final response was given."""
        return self._final

    def begin(self, now: float) -> None:
        """Start to wait for the application's answer; the core calls this once."""
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
        """Send a response; if it has a body, `headers` must include its Content-Type.

        For an INVITE, a provisional response above 100 creates an early dialog for its To tag: ours
        unless `to_tag` is given; several tags make several dialogs. A 2xx confirms the dialog. The
        dialog is returned, and after a 2xx also stored as `dialog`. None is returned for any other
        response and for a request that is not an INVITE.

        A response does nothing after the caller's CANCEL or, for a non-INVITE, after 64*T1, when
        the client has given up.

        Raises:
            ProtocolError: A final response was already sent.
        """
        if self._final:
            raise ProtocolError("a final response was sent before")
        if not self._transaction.answered:
            tag = self._tag(to_tag, status)
            self._send(status, reason, headers=headers, body=body, tag=tag, now=now)
        return None

    def refuse_statelessly(
        self, status: int, *, headers: Iterable[tuple[str, str]] = (), now: float
    ) -> None:
        """Refuse a request outside dialogs without storing any state (RFC 3261 8.2.7, 26.3.2.4).

        The response is sent once. A copy of the request counts as a new request, and its response
        gets the same To tag. A later ACK or CANCEL matches no transaction.

        Raises:
            ProtocolError: A final response was already sent, or the request came in a dialog.
        """
        if self._final or self.dialog is not None:
            raise ProtocolError("only a new request outside dialogs can be turned away")
        self._final = True
        tag = None if self.request.to.tag else self._core.tag_for(self.request)
        data = self._write(status, headers=headers, tag=tag)
        self._transaction.answer_once(data, now)

    def on_acknowledged(self, now: float) -> None:
        """Note that the ACK to a non-2xx arrived, or never will (INVITE only)."""

    def on_terminated(self, now: float) -> None:
        """Release the terminated transaction."""
        del now
        self._core.transactions.end_server(self.request, self._key)

    def _tag(self, to_tag: str | None, status: int) -> str | None:
        """Return the To tag to add; None on a 100, or if the request already has a To tag."""
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
        self._final = status >= 200
        self._transaction.respond(status, data, now)
        return data

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
