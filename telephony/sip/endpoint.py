"""The SIP core (RFC 3261), without I/O: messages and `now` in; messages, events, next timer out.

The application is the code that uses this core. It feeds the core with `receive` and
`handle_timer`, acts on the handles that the events carry, then sends `outgoing()` and takes
`next_event()` until None. `now` is monotonic seconds. The application decides about calls. The core
answers only where the RFC leaves no choice: 100, 200 to CANCEL and to a BYE or PRACK that needs no
decision, 400, 405, 413, 414, 416, 420, 481, 482, 487, 491, 500 for sequence, 501, 504 for a missing
PRACK, 505 and 513. incoming.py does most of this.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ProtocolError
from telephony.sip.dialog.addresses import DialogId
from telephony.sip.dialog.dialog import Dialog
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
"""The option tags that the core and the application support, unless `Endpoint` gets others."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of objects that the core holds at this moment; all zero when idle."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    awaiting_ack: int
    """2xx responses that wait for their ACK."""
    awaiting_prack: int
    """Reliable provisional responses that wait for their PRACK."""
    timers: int


class Endpoint:
    """One SIP entity on any number of local addresses."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        supported: Iterable[str] = SUPPORTED,
        user_agent: str = "Galwad",
        rng: random.Random | None = None,
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
    ) -> None:
        """Make a core without addresses; `listen` adds them.

        Args:
            allow: The methods that the application handles; if empty, `DEFAULT_ALLOW`. Other
                methods get 405 (or 501 if no RFC that we know names them), with Allow.
            supported: The option tags that we support; a Require with another one gets 420.
            user_agent: The value of User-Agent and Server; "" leaves them out.
            rng: The source of tags, branches, Call-IDs and back-off times; None for the system's.
                Tests pass a seeded one.
            timings: T1, T2, T4 and the like, in seconds.
        """
        self._core = Core(
            allow=allow, supported=supported, user_agent=user_agent, rng=rng, timings=timings
        )
        self._agent = UserAgent(self._core, open_request)
        self._incoming = Incoming(self._agent)

    @property
    def dropped(self) -> Counter[str]:
        """Counts by reason of dropped messages, keep-alives and answered malformed requests."""
        return self._core.dropped

    @property
    def malformed(self) -> int:
        """The number of messages that could not be parsed, whether answered or not."""
        dropped = self._core.dropped
        return dropped["malformed"] + dropped["malformed, answered"]

    def authenticate(self, credentials: Credentials) -> None:
        """Answer every later 401 and 407 with these credentials where they fit (RFC 3261 22)."""
        self._agent.credentials = credentials

    def contact(self, user: str, destination: Address, local: Address | None = None) -> str:
        """Return the Contact under which a peer at `destination` can reach us, for a REGISTER.

        Raises:
            ProtocolError: No local address fits.
        """
        return own_contact(user, self._core.local_addresses.choose(local, destination))

    def listen(self, local: Address, *, advertised: Address | None = None) -> None:
        """Add a local address; `advertised` (the address itself if None) goes into Via and Contact.

        Raises:
            ProtocolError: A wildcard address has no advertised one: peers could not answer.
        """
        self._core.local_addresses.add(local, advertised)

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Process a message that arrived at `local`; never raise, whatever the bytes are."""
        self._incoming.receive(data, source, local, now)

    def refuse(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Answer the message that broke a stream, if its head allows; the stream then closes."""
        self._incoming.refuse(fault, source, local)

    def handle_timer(self, now: float) -> None:
        """Run all timers that are due by `now`."""
        self._core.timers.run(now)

    def next_timer(self) -> float | None:
        """Return when `handle_timer` must be called next; None if no timer is active."""
        return self._core.timers.next()

    def outgoing(self) -> list[OutgoingMessage]:
        """Remove and return the messages that wait to be sent."""
        outbox, self._core.outbox = self._core.outbox, []
        return outbox

    def next_event(self) -> SipEvent | None:
        """Remove and return the oldest event; None if no event is left."""
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
        """Send an INVITE outside any dialog.

        The core writes Via, Max-Forwards, From (with a new tag if it has none), To, Call-ID, CSeq,
        Contact, Allow, Supported and User-Agent. `headers` follow them; a Contact, Allow, Supported
        or User-Agent among `headers` replaces the core's own. Without `local`, the first local
        address of the destination's family and transport is used.

        Raises:
            ProtocolError: No local address fits, or a header holds CR, LF or NUL.
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
        """Send any other request outside any dialog (OPTIONS, REGISTER, MESSAGE, …).

        Raises:
            ProtocolError: The method is INVITE, ACK or CANCEL; no local address fits; or a header
                holds CR, LF or NUL.
        """
        if method in {"INVITE", "ACK", "CANCEL"}:
            raise ProtocolError("INVITE, ACK and CANCEL have calls of their own")
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
        """Restore a confirmed dialog from `Dialog.checkpoint()`.

        Raises:
            ProtocolError: `data` is not a checkpoint, its local address is no longer ours, or the
                dialog already exists.
        """
        return restore_dialog(self._agent.dialogs, data)

    def cancel_restored(
        self, data: Mapping[str, object], *, owner: object = None, now: float
    ) -> InviteClient:
        """Cancel an INVITE that an earlier process sent, from `InviteClient.checkpoint()`.

        It ends as usual: with `InviteFailed`, or with an `InviteAnswered` whose dialog the
        application must end with BYE.

        Raises:
            ProtocolError: `data` is not a checkpoint, or its local address is no longer ours.
        """
        return cancel_restored(self._agent, data, owner, now)

    def restore_invite(self, data: Mapping[str, object], now: float) -> str:
        """Receive again an INVITE that an earlier process was serving; `IncomingInvite` follows.

        `data` is from `InviteServer.checkpoint()`. The caller sees one more early dialog. Returns
        the Call-ID, by which the owner recognises the INVITE.

        Raises:
            ProtocolError: `data` is not a checkpoint.
        """
        request, source, local = parse_invite(data)
        self.receive(bytes(request), source, local, now)
        return request.call_id

    def find_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """Return the dialog with these identifiers (for Replaces); None if no dialog has them."""
        return self._agent.dialogs.get(DialogId(call_id, local_tag, remote_tag))

    def has_call_id(self, call_id: str) -> bool:
        """Return whether a dialog or a pending request that we sent has this Call-ID."""
        return self._agent.dialogs.has_call_id(call_id) or self._core.transactions.has_call_id(
            call_id
        )

    def peers(self) -> set[str]:
        """Return the hosts to which the dialogs send their requests."""
        return {dialog.destination.host for dialog in self._agent.dialogs}

    def looped(self, request: Request) -> bool:
        """Return whether a Via header of the request is ours: it has passed through here before."""
        return self._incoming.looped(request)

    def unreachable(self, destination: Address, now: float) -> None:
        """Handle that the transport cannot reach `destination`.

        Requests sent there that have had no response fail with 503. Where a provisional response
        came, the final one may still come over another connection (RFC 3261 18.2.2).
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.unreachable(now)
        self._core.emit(PeerLost(destination))

    def connection_lost(self, destination: Address, now: float) -> None:
        """Handle that the connection to `destination` is lost: repeat requests that may be lost.

        Each request without a response is sent once more, over another connection if one can be
        made. If not, the transport calls `unreachable`.
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.connection_lost(now)
        self._core.emit(PeerLost(destination))

    def peer_reconnected(self, old: Address, new: Address) -> None:
        """Move the dialogs of a peer that has replaced its lost connection `old` by `new`."""
        for dialog in self._agent.dialogs:
            if dialog.send_to == old:
                dialog.send_to = new
            if dialog.peer == old:
                dialog.peer = new

    def counts(self) -> Counts:
        """Return the numbers of objects held now, for metrics and leak tests."""
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
