"""The SIP core (RFC 3261) without I/O: the class `Endpoint`, its input and its output.

The application is the code that uses this core. The application passes received messages to
`receive`, and calls `handle_timer` at the time that `next_timer` returns. Events contain handles: a
handle is an object with methods for one request or one dialog. After each call of `receive`, of
`handle_timer` or of a handle's method, the application sends the messages that `outgoing()`
returns, and calls `next_event()` until the result is None. `now` is the monotonic time in seconds.

The application decides about calls. The core itself responds only where the RFC requires one fixed
response: 100, 200 to CANCEL, 200 to a BYE or PRACK that needs no decision, 400, 405, 413, 414, 416,
420, 481, 482, 487, 491, 500 for a CSeq number that is too low, 501, 504 for a missing PRACK, 505
and 513. The module incoming.py makes most of these responses.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ProtocolError
from telephony.sip.dialog.addresses import DialogId
from telephony.sip.dialog.dialog import CheckSource, Dialog
from telephony.sip.message.framing import StreamUnit
from telephony.sip.message.messages import Request
from telephony.sip.message.name_addr import NameAddr
from telephony.sip.message.rack import RELIABLE
from telephony.sip.message.uri import Uri
from telephony.sip.request.compose import Draft, own_contact
from telephony.sip.transaction.core import Core
from telephony.sip.transaction.timers import Timings
from telephony.sip.transport.address import Address
from telephony.sip.transport.events import PeerLost, SipEvent
from telephony.sip.transport.outgoing import OutgoingMessage
from telephony.sip.ua.challenge import Credentials
from telephony.sip.ua.checkpoint import cancel_restored, parse_invite, restore_dialog
from telephony.sip.ua.client import NonInviteClient
from telephony.sip.ua.incoming import Incoming
from telephony.sip.ua.uac import InviteClient, open_request
from telephony.sip.ua.user_agent import UserAgent

SUPPORTED: Final = ("timer", RELIABLE, "norefersub", "replaces")
"""The option tags that the core and the application support. An `Endpoint` uses these tags if no
other tags are given."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of objects that the core stores now; all are 0 if the core is idle."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    awaiting_ack: int
    """The number of 2xx responses that wait for their ACK."""
    awaiting_prack: int
    """The number of reliable provisional responses that wait for their PRACK."""
    timers: int


class Endpoint:
    """One SIP user agent, which can have several local addresses.

    This class is large because it contains every method that an application needs. Most methods
    only call a method of one part of the core.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        supported: Iterable[str] = SUPPORTED,
        user_agent: str = "Galwad",
        rng: random.Random | None = None,
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
    ) -> None:
        """Make a core without local addresses; the method `listen` adds an address.

        Args:
            allow: The methods that the application handles. If it is empty, the methods are those
                in `DEFAULT_ALLOW`. The response to a request with another method is 405 with an
                Allow header field, or 501 if the method is not in `KNOWN_METHODS`.
            supported: The option tags that we support. The response to a request that requires
                another tag is 420.
            user_agent: The value of the header fields User-Agent and Server; "" for messages
                without these header fields.
            rng: The source of random tags, branches, Call-IDs and delays. If it is None, the
                system's source is used. Tests use a source with a fixed seed.
            timings: The durations T1, T2, T4 and so on of RFC 3261, in seconds.
        """
        self._core = Core(
            allow=allow, supported=supported, user_agent=user_agent, rng=rng, timings=timings
        )
        self._agent = UserAgent(self._core, open_request)
        self._incoming = Incoming(self._agent)

    @property
    def dropped(self) -> Counter[str]:
        """For each reason (the dict key), the number of messages that were dropped for this reason.

        Received keep-alives, and malformed requests to which the core responded, are also counted.
        """
        return self._core.dropped

    @property
    def malformed(self) -> int:
        """The number of received messages that could not be parsed, with or without a response."""
        dropped = self._core.dropped
        return dropped["malformed"] + dropped["malformed, answered"]

    def authenticate(self, credentials: Credentials) -> None:
        """Set the function that supplies credentials, for all 401 and 407 that arrive from now on.

        The core sends the challenged request again with these credentials. If there are none for a
        challenge, the application receives the 401 or 407 (RFC 3261 section 22).
        """
        self._agent.credentials = credentials

    def check_sources(self, check: CheckSource) -> None:
        """Set the function that decides about requests within a dialog from unknown hosts.

        Without this function, everybody who knows the identifiers of a dialog can send requests in
        it.
        """
        self._agent.check_source = check

    def contact(self, user: str, destination: Address, local: Address | None = None) -> str:
        """Return our Contact, with the address at which `destination` can reach us.

        The Contact is for a REGISTER or OPTIONS to `destination`.

        Args:
            user: The user part of the Contact URI.
            destination: The address of the peer.
            local: Our local address; None for the first one that has the IP family and transport
                of `destination`.

        Raises:
            ProtocolError: We have no suitable local address, or `local` was never added with
                `listen`.
        """
        return own_contact(user, self._core.local_addresses.choose(local, destination))

    def listen(self, local: Address, *, advertised: Address | None = None) -> None:
        """Add a local address.

        `advertised` is the address that our Via and Contact header fields contain. If it is None,
        they contain the local address.

        Raises:
            ProtocolError: `advertised` is None, and `local` has the wildcard address 0.0.0.0 or
                `::`, to which peers cannot send.
        """
        self._core.local_addresses.add(local, advertised)

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Process a message from `source` that arrived at `local`.

        This method never raises an error, even if `data` is malformed.
        """
        self._incoming.receive(data, source, local, now)

    def refuse(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Respond to a malformed message that arrived over a connection.

        `fault` contains the message. No response is sent if the message has no valid top Via, or if
        it is an ACK. After every call of this method, the transport must close the connection,
        because the rest of the stream cannot be divided into messages.
        """
        self._incoming.refuse(fault, source, local)

    def refuse_busy(self, data: bytes, source: Address, local: Address) -> None:
        """Respond with 503 to a request of a peer that sends too many; store nothing about it.

        The request is not parsed. No response is sent if it has no valid top Via, or if `data` is
        an ACK or a response.
        """
        self._incoming.refuse_busy(data, source, local)

    def handle_timer(self, now: float) -> None:
        """Run all timers that are due by `now`."""
        self._core.timers.run(now)

    def next_timer(self) -> float | None:
        """Return the monotonic time in seconds at which `handle_timer` must be called next.

        Return None if no timer is active.
        """
        return self._core.timers.next()

    def outgoing(self) -> list[OutgoingMessage]:
        """Remove and return all messages that wait to be sent."""
        outbox, self._core.outbox = self._core.outbox, []
        return outbox

    def next_event(self) -> SipEvent | None:
        """Remove and return the oldest event; None if there is no event."""
        events = self._core.events
        return events.popleft() if events else None

    def invite(
        self,
        uri: Uri,
        *,
        from_: NameAddr,
        to: NameAddr,
        destination: Address,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        routes: Iterable[NameAddr] = (),
        call_id: str | None = None,
        local: Address | None = None,
        max_forwards: int = 70,
        owner: object = None,
        now: float,
    ) -> InviteClient:
        """Send an INVITE outside any dialog, and return its handle.

        The core writes the header fields Via, Max-Forwards, From (with a new tag if `from_` has no
        tag), To, Call-ID, CSeq, Contact, Allow, Supported and User-Agent. After these it writes the
        header fields in `headers`. If `headers` contains a Contact, Allow, Supported or User-Agent,
        the core does not write its own field of this name. If `local` is None, the INVITE is sent
        from the local address that was added first, among those with the destination's IP family
        and transport.

        Raises:
            ProtocolError: We have no suitable local address, or a header field contains CR, LF or
                NUL.
        """
        draft = self._draft(
            "INVITE",
            uri,
            from_=from_,
            to=to,
            call_id=call_id,
            cseq=1,
            destination=destination,
            local=local,
            routes=tuple(routes),
            max_forwards=max_forwards,
            headers=tuple(headers),
            body=body,
        )
        client = InviteClient(self._agent, draft, owner=owner)
        client.begin(now)
        return client

    def request(
        self,
        method: str,
        uri: Uri,
        *,
        from_: NameAddr,
        to: NameAddr,
        destination: Address,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        routes: Iterable[NameAddr] = (),
        call_id: str | None = None,
        cseq: int = 1,
        local: Address | None = None,
        max_forwards: int = 70,
        owner: object = None,
        now: float,
    ) -> NonInviteClient:
        """Send a request outside any dialog, such as OPTIONS or REGISTER, and return its handle.

        `cseq` is the CSeq number. The other arguments have the same meaning as those of `invite`.

        Raises:
            ProtocolError: The method is INVITE, ACK or CANCEL. Or we have no suitable local
                address. Or a header field contains CR, LF or NUL.
        """
        if method in {"INVITE", "ACK", "CANCEL"}:
            raise ProtocolError("this method does not send INVITE, ACK or CANCEL")
        draft = self._draft(
            method,
            uri,
            from_=from_,
            to=to,
            call_id=call_id,
            cseq=cseq,
            destination=destination,
            local=local,
            routes=tuple(routes),
            max_forwards=max_forwards,
            headers=tuple(headers),
            body=body,
        )
        client = NonInviteClient(self._agent, draft, owner=owner)
        client.begin(now)
        return client

    def restore_dialog(self, data: dict[str, object]) -> Dialog:
        """Make a confirmed dialog from the values that `Dialog.checkpoint()` returned.

        Raises:
            ProtocolError: `data` is not a checkpoint of a dialog. Or the dialog's local address is
                no longer ours. Or the dialog already exists.
        """
        return restore_dialog(self._agent.dialogs, data)

    def cancel_restored(
        self, data: Mapping[str, object], *, owner: object = None, now: float
    ) -> InviteClient:
        """Cancel an INVITE that an earlier process sent.

        `data` is the result of `InviteClient.checkpoint()`. The core later emits `InviteFailed`, or
        `InviteAnswered` if the peer accepted the INVITE before the CANCEL arrived. After
        `InviteAnswered`, the application must end the dialog with BYE.

        Raises:
            ProtocolError: `data` is not a checkpoint of an INVITE, or its local address is no
                longer ours.
        """
        return cancel_restored(self._agent, data, owner, now)

    def restore_invite(self, data: Mapping[str, object], now: float) -> str:
        """Process an INVITE to which an earlier process has sent no final response.

        `data` is the result of `InviteServer.checkpoint()`. The INVITE is processed as if it had
        arrived at `now`, so the core emits the event `IncomingInvite`. At the caller, our new
        responses create another early dialog, because they have another To tag. Return the INVITE's
        Call-ID, so that the application recognises the INVITE in the event.

        Raises:
            ProtocolError: `data` is not a checkpoint of an INVITE.
        """
        request, source, local = parse_invite(data)
        self.receive(bytes(request), source, local, now)
        return request.call_id

    def find_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """Return the dialog with these identifiers, which come from a Replaces header field.

        Return None if there is no such dialog.
        """
        return self._agent.dialogs.get(DialogId(call_id, local_tag, remote_tag))

    def has_call_id(self, call_id: str) -> bool:
        """Return whether a stored dialog, or a request that we sent, has this Call-ID.

        A request is no longer found after its transaction has terminated.
        """
        return self._agent.dialogs.has_call_id(call_id) or self._core.transactions.has_call_id(
            call_id
        )

    def peers(self) -> set[str]:
        """Return the IP addresses to which we send requests in the stored dialogs."""
        return {dialog.destination.host for dialog in self._agent.dialogs}

    def looped(self, request: Request) -> bool:
        """Return whether a Via header field of the request contains one of our addresses.

        A request with such a Via has passed through this endpoint before.
        """
        return self._incoming.looped(request)

    def unreachable(self, destination: Address, now: float) -> None:
        """Report to the core that `destination` cannot be reached.

        Each request to `destination` that has received no response fails; its event has the status
        503. A request that has received a provisional response continues, because its final
        response may still arrive over another connection (RFC 3261 section 18.2.2). The core emits
        the event `PeerLost`.
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.unreachable(now)
        self._core.emit(PeerLost(destination))

    def connection_lost(self, destination: Address, now: float) -> None:
        """Report to the core that the connection to `destination` is lost.

        If a request to `destination` has received no response, the request may be lost, so the core
        sends it once more over a new connection. If no new connection can be made, the
        transport calls `unreachable`. The core emits the event `PeerLost`.
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.connection_lost(now)
        self._core.emit(PeerLost(destination))

    def peer_reconnected(self, old: Address, new: Address) -> None:
        """Replace the address `old` by `new` in all dialogs.

        The peer's connection from `old` was lost, and the peer has connected again from `new`.
        """
        for dialog in self._agent.dialogs:
            if dialog.send_to == old:
                dialog.send_to = new
            if dialog.peer == old:
                dialog.peer = new

    def counts(self) -> Counts:
        """Return the numbers of objects that the core stores now, for metrics and tests."""
        core, agent = self._core, self._agent
        return Counts(
            client_transactions=core.transactions.client_count,
            server_transactions=core.transactions.server_count,
            dialogs=len(agent.dialogs),
            awaiting_ack=len(agent.awaiting_ack),
            awaiting_prack=len(agent.awaiting_prack),
            timers=len(core.timers),
        )

    def _draft(
        self,
        method: str,
        uri: Uri,
        *,
        from_: NameAddr,
        to: NameAddr,
        call_id: str | None,
        cseq: int,
        destination: Address,
        local: Address | None,
        routes: tuple[NameAddr, ...],
        max_forwards: int,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
    ) -> Draft:
        core = self._core
        return Draft(
            method=method,
            uri=uri,
            from_=from_ if from_.tag else from_.with_tag(core.token()),
            to=to,
            call_id=call_id or core.token() + core.token(),
            cseq=cseq,
            destination=destination,
            local=core.local_addresses.choose(local, destination),
            routes=routes,
            max_forwards=max_forwards,
            headers=headers,
            body=body,
            contact_user=from_.uri.user or "",
        )
