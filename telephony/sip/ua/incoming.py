"""The processing of received messages (RFC 3261 sections 8.2, 9.2, 12.2.2, 17.2.3 and 18).

For a received request, the first of these rules that applies is used:

- A retransmission is passed to the transaction of the original request.
- A CANCEL is passed to its INVITE, an ACK to the response that it acknowledges. A CANCEL, or an
  ACK with a body, has no effect if the application refuses its host (`CheckSource`).
- A request that fails the checks of RFC 3261 section 8.2 gets an error response.
- A request within a dialog from a host that the application refuses (`CheckSource`) gets the
  response that the application chooses.
- A request within a dialog is passed to the dialog, a PRACK to the response that it acknowledges.
- A request that names a dialog that is not stored, or may occur only within a dialog, gets 481.
- Any other request is passed to the application.

A response is passed to the transaction of its request. It is dropped if no transaction matches, or
if its Via shows that it is not for us.
"""

from __future__ import annotations

from telephony.errors import ParseError, ProtocolError, SipParseError
from telephony.sip.dialog import Dialog, DialogRefusal, DialogState
from telephony.sip.dialog_addresses import DialogId, target_of
from telephony.sip.message.framing import StreamUnit
from telephony.sip.message.grammar import KNOWN_METHODS
from telephony.sip.message.header_values import RAck
from telephony.sip.message.messages import Request, Response, parse_message
from telephony.sip.transaction.core import ConnectionOffered
from telephony.sip.transaction.server_transaction import InviteServerTransaction
from telephony.sip.transaction.transactions import ServerKey, server_key
from telephony.sip.transport.address import DEFAULT_PORTS, Address, LocalAddress
from telephony.sip.transport.malformed import answer_busy, answer_malformed
from telephony.sip.transport.outgoing import NextHop, reply_address, reply_fallback, stamp
from telephony.sip.ua.reliable import Repeated2xx
from telephony.sip.ua.server_request import DialogRequest, ServerRequest, StandaloneRequest
from telephony.sip.ua.uas import IncomingInvite, InviteServer
from telephony.sip.ua.user_agent import UserAgent

_ONLY_IN_DIALOGS = {"BYE", "INFO", "UPDATE", "PRACK", "NOTIFY"}
_SCHEMES = {"sip", "sips", "tel"}
_SETS_TARGET = {"INVITE", "UPDATE"}
"""The Contact of requests with these methods becomes the remote target of the dialog."""
_ONLY_OUTSIDE = {"REGISTER", "PUBLISH"}
"""Requests with these methods never belong to a dialog. A To tag is ignored."""


class Incoming:
    """The processing of the messages that one user agent receives."""

    def __init__(self, agent: UserAgent) -> None:
        self._agent = agent
        self._core = agent.core

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Process a received message. This method raises no error."""
        ours = self._core.local_addresses.get(local)
        if ours is None:
            self._core.drop(source, "unknown local address")
        elif not data.strip(b"\r\n\0 "):
            self._core.dropped["keep-alive"] += 1
        else:
            self._read(data, source, ours, now)

    def refuse(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Count a malformed message of a stream, and respond to it as `Endpoint.refuse` says."""
        error = SipParseError(fault.why, fault.status)
        answer = answer_malformed(fault.data, error, source, local)
        if answer is not None:
            self._core.outbox.append(answer)
        self._core.drop(source, fault.why)

    def refuse_busy(self, data: bytes, source: Address, local: Address) -> None:
        """Respond with 503 to a request, which is not parsed."""
        answer = answer_busy(data, source, local)
        if answer is not None:
            self._core.outbox.append(answer)
        self._core.dropped["too many"] += 1

    def looped(self, request: Request) -> bool:
        """Return whether a Via header field of the request contains one of our addresses."""
        try:
            vias = request.vias
        except ParseError:
            return False
        return any(self._core.local_addresses.has(via.host, via.port) for via in vias)

    def _read(self, data: bytes, source: Address, local: LocalAddress, now: float) -> None:
        try:
            message = parse_message(data)
            if isinstance(message, Response):
                self._response(message, source, now)
            else:
                self._request(message, source, local, now)
        except SipParseError as error:
            answer = answer_malformed(data, error, source, local.address)
            if answer is None:
                self._core.drop(source, "malformed")
            else:
                self._core.dropped["malformed, answered"] += 1
                self._core.outbox.append(answer)
        except ProtocolError:
            # The response would contain something that cannot be written, such as a NUL in a value
            # that is copied from the request.
            self._core.drop(source, "cannot be answered")

    def _response(self, response: Response, source: Address, now: float) -> None:
        if not self._core.local_addresses.has(response.via.host, response.via.port):
            self._core.drop(source, "response for another address")
            return
        # A response to us has only our own Via entry. RFC 3261 section 8.1.3.3: a response with
        # several Via entries was sent to the wrong element or is damaged, so it is dropped.
        if len(response.headers.get_list("Via")) > 1:
            self._core.drop(source, "response with several Via entries")
            return
        transaction = self._core.transactions.client_of(response)
        if transaction is None:
            self._core.drop(source, "response without a matching request")
            return
        transaction.receive(response, now)

    def _request(self, request: Request, source: Address, local: LocalAddress, now: float) -> None:
        request.replace_top_via(stamp(request.via, source))
        if source.flow and local.transport == "TLS" and request.via.parameter("alias") is not None:
            port = request.via.port or DEFAULT_PORTS["TLS"]
            self._core.emit(ConnectionOffered(source, port))
        key = server_key(request)
        transaction = self._core.transactions.server_of(key)
        if request.method == "ACK":
            self._ack(request, key, source, now)
        elif transaction is not None:
            transaction.receive_again(now)
        elif request.method == "CANCEL":
            self._cancel(request, key, source, local, now)
        else:
            self._new(request, key, source, local, now)

    def _ack(self, request: Request, key: ServerKey, source: Address, now: float) -> None:
        transaction = self._core.transactions.server_of(key)
        dialog_id = _dialog_id(request)
        dialog = self._agent.dialogs.get(dialog_id)
        if request.body and dialog is not None and self._refusal(dialog, request, source, now):
            self._core.drop(source, "ACK from a foreign host")
            return
        repeated = self._agent.awaiting_ack.get((dialog_id, request.cseq.number))
        if repeated is None and isinstance(transaction, InviteServerTransaction):
            repeated = self._despite_wrong_tag(transaction, request)
        if repeated is not None:
            repeated.acknowledge(request, now)
        elif isinstance(transaction, InviteServerTransaction):
            transaction.acknowledge(now)
        elif dialog is None:
            self._core.drop(source, "ACK without a matching dialog")

    def _despite_wrong_tag(
        self, transaction: InviteServerTransaction, request: Request
    ) -> Repeated2xx | None:
        """Return the 2xx that this ACK acknowledges despite its wrong To tag, or None.

        pyVoIP 1.6.8 makes a new To tag for every ACK, but uses the branch of its INVITE, by which
        the INVITE is found (RFC 6026 section 7.1). If we ignored this ACK, the call would end after
        64*T1.
        """
        invite = transaction.user
        if not isinstance(invite, InviteServer) or invite.dialog is None:
            return None
        dialog_id = _dialog_id(request)._replace(local_tag=invite.dialog.id.local_tag)
        repeated = self._agent.awaiting_ack.get((dialog_id, request.cseq.number))
        return repeated if repeated is invite.repeated_2xx else None

    def _cancel(
        self, request: Request, key: ServerKey, source: Address, local: LocalAddress, now: float
    ) -> None:
        transaction = self._core.transactions.server_of(server_key(request, "INVITE"))
        invite = transaction.user if transaction is not None else None
        server = self._open(request, key, source, local, now=now)
        if isinstance(invite, InviteServer) and self._may_cancel(invite, request, source, now):
            server.respond(200, to_tag=invite.own_tag, now=now)
            invite.on_cancel(request, now)
        elif transaction is not None and transaction.answered:
            server.respond(200, to_tag=transaction.tag, now=now)
        else:
            server.respond(481, now=now)

    def _may_cancel(
        self, invite: InviteServer, request: Request, source: Address, now: float
    ) -> bool:
        """Return whether `source` may cancel `invite`.

        The host of `source` must be the INVITE's, or be accepted by `_refusal`. Without
        `check_source`, any source may cancel.
        """
        if self._agent.check_source is None or source.host == invite.source.host:
            return True
        dialog = invite.dialog or next(iter(invite.dialogs.values()), None)
        return dialog is not None and self._refusal(dialog, request, source, now) is None

    def _refusal(
        self, dialog: Dialog, request: Request, source: Address, now: float
    ) -> DialogRefusal | None:
        """Return the response to a request from a host that is not the peer's; None to accept it.

        The check comes before `Dialog.receive`, which stores the request's CSeq number and Contact.
        """
        check = self._agent.check_source
        if check is None or dialog.is_known_host(source.host):
            return None
        return check(dialog, request, source, now)

    def _new(
        self, request: Request, key: ServerKey, source: Address, local: LocalAddress, now: float
    ) -> None:
        refusal = self._inspect(request)
        if refusal is None and self._is_foreign(request, key, source, local, now):
            return
        if refusal is None and request.method == "PRACK":
            self._prack(request, key, source, local, now)
            return
        dialog = None
        if refusal is None and request.to.tag and request.method not in _ONLY_OUTSIDE:
            dialog = self._agent.dialogs.get(_dialog_id(request))
            refusal = dialog.receive(request) if dialog else DialogRefusal(481)
        elif refusal is None and request.method in _ONLY_IN_DIALOGS:
            refusal = DialogRefusal(481)
        server = self._open(request, key, source, local, now=now, dialog=dialog)
        if refusal is not None:
            server.respond(refusal.status, headers=refusal.headers, now=now)
            if dialog is not None and request.method == "BYE" and refusal.status == 200:
                dialog.bye_crossed(now)
        elif dialog is not None:
            self._in_dialog(dialog, server, now)
        elif isinstance(server, InviteServer):
            self._core.emit(IncomingInvite(server))
        else:
            self._core.emit(StandaloneRequest(server, request, source))

    def _is_foreign(
        self, request: Request, key: ServerKey, source: Address, local: LocalAddress, now: float
    ) -> bool:
        """Refuse a request within a dialog if the application refuses its source.

        Return whether it was refused. Nothing is stored, and the dialog does not change.
        """
        dialog = self._agent.dialogs.get(_dialog_id(request))
        if dialog is None or request.method in _ONLY_OUTSIDE:
            return False
        refusal = self._refusal(dialog, request, source, now)
        if refusal is None:
            return False
        self._core.drop(source, "request of a dialog from a foreign host")
        server = self._open(request, key, source, local, now=now)
        server.refuse_statelessly(refusal.status, headers=refusal.headers, now=now)
        return True

    def _prack(
        self, request: Request, key: ServerKey, source: Address, local: LocalAddress, now: float
    ) -> None:
        """Process a PRACK: find the response that it acknowledges (RFC 3262 section 3).

        The application responds to a valid PRACK with a body, the core to any other PRACK. A PRACK
        is accepted even after a request with a higher CSeq number, such as an UPDATE.
        """
        dialog_id = _dialog_id(request)
        dialog = self._agent.dialogs.get(dialog_id)
        if dialog is not None:
            dialog.record_cseq(request.cseq.number)
        server = self._open(request, key, source, local, now=now, dialog=dialog)
        try:
            rack = RAck.parse(request.headers.get("RAck") or "")
        except SipParseError:
            server.respond(400, now=now)
            return
        sequence = self._agent.awaiting_prack.get((dialog_id, rack.rseq, rack.cseq.number))
        if sequence is None or rack.cseq.method != "INVITE":
            server.respond(481, now=now)
            return
        if request.body and dialog is not None:
            self._core.emit(DialogRequest(dialog, server, request))
        else:
            server.respond(200, now=now)
        sequence.acknowledge(now)

    def _inspect(self, request: Request) -> DialogRefusal | None:
        """Check a new request. Return None to accept the request.

        The order is method (RFC 3261 8.2.1), CSeq and Contact, then URI scheme, merged requests and
        Require (8.2.2).
        """
        core = self._core
        if request.method not in core.allow:
            status = 405 if request.method in KNOWN_METHODS else 501
            return DialogRefusal(status, (("Allow", ", ".join(core.allow)),))
        if request.cseq.method != request.method or not _has_sound_contacts(request):
            return DialogRefusal(400)
        if request.uri.scheme not in _SCHEMES and not request.uri.service:
            return DialogRefusal(416)
        if not request.to.tag and core.transactions.is_merged(request):
            return DialogRefusal(482)
        unknown = unsupported(request, core.supported)
        if unknown:
            return DialogRefusal(420, (("Unsupported", ", ".join(unknown)),))
        return None

    def _in_dialog(self, dialog: Dialog, server: ServerRequest, now: float) -> None:
        request = server.request
        if request.method == "BYE" and dialog.state is DialogState.EARLY and not dialog.caller:
            server.respond(200, now=now)
            dialog.cancel_invite(request, now)
            return
        if isinstance(server, InviteServer):
            dialog.note_received_invite(server)
        elif request.method == "UPDATE":
            dialog.note_received_update(server)
        self._core.emit(DialogRequest(dialog, server, request))
        if request.method == "BYE":
            dialog.end("bye received", now)

    def _open(
        self,
        request: Request,
        key: ServerKey,
        source: Address,
        local: LocalAddress,
        *,
        now: float,
        dialog: Dialog | None = None,
    ) -> ServerRequest:
        kind = InviteServer if request.method == "INVITE" else ServerRequest
        server = kind(
            self._agent,
            request,
            key,
            source=source,
            hop=NextHop(
                reply_address(request.via, source), local, reply_fallback(request.via, source)
            ),
            dialog=dialog,
        )
        server.begin(now)
        return server


def _has_sound_contacts(request: Request) -> bool:
    """Return whether the Contacts of a request are acceptable. A request may have no Contact.

    All Contacts must be readable. In an INVITE or UPDATE, one Contact must be a sip or sips URI,
    which becomes the remote target. The registrar checks the Contacts of a REGISTER.
    """
    if request.method == "REGISTER":
        return True
    try:
        contacts = request.contacts
    except SipParseError:
        return False
    return not contacts or request.method not in _SETS_TARGET or target_of(request) is not None


def unsupported(request: Request, supported: tuple[str, ...]) -> list[str]:
    """Return the option tags for Unsupported in a 420: required and not in `supported`."""
    known = {tag.lower() for tag in supported}
    wanted = [
        tag.strip() for value in request.headers.get_all("Require") for tag in value.split(",")
    ]
    return [tag for tag in wanted if tag and tag.lower() not in known]


def _dialog_id(request: Request) -> DialogId:
    return DialogId(request.call_id, request.to.tag or "", request.from_.tag or "")
