"""The SIP core (RFC 3261) without I/O: the class `Endpoint`, its input and its output.

The application passes received messages to `receive`, and calls `handle_timer` at the time that
`next_timer` returns. After any call of the core or of a handle, the application sends the messages
that `outgoing()` returns, and calls `next_event()` until that returns None. `now` is the monotonic
time in seconds.

The application decides about calls. The core itself sends the responses that the RFC prescribes,
for example 100, 200 to CANCEL, 400, 405, 481, 487 and 501 (most in incoming.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from telephony.errors import ProtocolError
from telephony.sip.compose import Draft, own_contact
from telephony.sip.dialog import CheckSource, Dialog
from telephony.sip.dialog_addresses import DialogId
from telephony.sip.message.framing import StreamUnit
from telephony.sip.message.header_values import RELIABLE, NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.message.uri import Uri
from telephony.sip.transaction.core import Core, PeerLost, SipEvent
from telephony.sip.transaction.timers import Timings
from telephony.sip.transport.address import Address
from telephony.sip.transport.outgoing import OutgoingMessage
from telephony.sip.ua.checkpoint import cancel_restored, parse_invite, restore_dialog
from telephony.sip.ua.client import NonInviteClient
from telephony.sip.ua.incoming import Incoming
from telephony.sip.ua.uac import InviteClient, open_request
from telephony.sip.ua.user_agent import Credentials, UserAgent

SUPPORTED: Final = ("timer", RELIABLE, "norefersub", "replaces")
"""The option tags that an `Endpoint` announces and accepts, unless it is made with others."""


class Endpoint:
    """One SIP user agent, which can have several local addresses."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        supported: Iterable[str] = SUPPORTED,
        user_agent: str = "Galwad",
        rng: random.Random | None = None,
        timings: Timings = Timings(),  # noqa: B008 - a frozen value
    ) -> None:
        """Make a core without local addresses. The method `listen` adds an address.

        `allow` has the methods that the application handles; empty means `DEFAULT_ALLOW`. A request
        with another method gets 405, or 501 if the method is not in `KNOWN_METHODS`. A request that
        requires an option tag not in `supported` gets 420. `user_agent` is the value of User-Agent
        and Server; "" for none. `rng` makes random values, such as tags and delays; None means the
        system's generator. `timings` are the durations of RFC 3261 in seconds.
        """
        self._core = Core(
            allow=allow, supported=supported, user_agent=user_agent, rng=rng, timings=timings
        )
        self.agent = UserAgent(self._core, open_request)
        self._incoming = Incoming(self.agent)

    @property
    def dropped(self) -> Counter[str]:
        """The numbers of messages that were not processed, by reason. Keep-alives count too."""
        return self._core.dropped

    @property
    def malformed(self) -> int:
        """The number of messages that `receive` could not parse, with or without a response."""
        dropped = self._core.dropped
        return dropped["malformed"] + dropped["malformed, answered"]

    def authenticate(self, credentials: Credentials) -> None:
        """Set the function that supplies credentials for every 401 and 407 from now on.

        The challenged request is sent again with the credentials. If the function returns None, the
        application receives the 401 or 407 (RFC 3261 section 22).
        """
        self.agent.credentials = credentials

    def check_sources(self, check: CheckSource) -> None:
        """Set the function that decides about requests within a dialog from unknown hosts.

        Without it, any host that knows the identifiers of a dialog can send requests in it.
        """
        self.agent.check_source = check

    def contact(self, user: str, destination: Address, local: Address | None = None) -> str:
        """Return our Contact for a REGISTER or OPTIONS: an address that `destination` can reach.

        `local` None means the first address with the IP family and transport of `destination`.
        Raises `ProtocolError` if we have no suitable local address, or `local` was never added with
        `listen`.
        """
        return own_contact(user, self._core.local_addresses.choose(local, destination))

    def listen(self, local: Address, *, advertised: Address | None = None) -> None:
        """Add a local address. `advertised` is for Via and Contact (None: `local`).

        Raises `ProtocolError` if peers would get a wildcard address, to which they cannot send.
        """
        self._core.local_addresses.add(local, advertised)

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Process a message from `source` that arrived at `local`. Bad data raises no error."""
        self._incoming.receive(data, source, local, now)

    def refuse(self, fault: StreamUnit, source: Address, local: Address) -> None:
        """Respond to a malformed message that arrived over a connection, which must then be closed.

        The rest of the stream cannot be divided into messages. No response is sent to an ACK or a
        response, or if the top Via is not valid.
        """
        self._incoming.refuse(fault, source, local)

    def refuse_busy(self, data: bytes, source: Address, local: Address) -> None:
        """Respond with 503 to a request of a peer that sends too many. Do not parse the request."""
        self._incoming.refuse_busy(data, source, local)

    def handle_timer(self, now: float) -> None:
        """Run all timers that are due by `now`."""
        self._core.timers.run(now)

    def next_timer(self) -> float | None:
        """Return the monotonic seconds at which to call `handle_timer`; None if no timer runs."""
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
        max_forwards: int = 70,
        owner: object = None,
        now: float,
    ) -> InviteClient:
        """Send an INVITE outside any dialog, and return its handle.

        The core writes Via, Max-Forwards, From (with a new tag if `from_` has none), To, Call-ID
        and CSeq. It writes Contact, Allow, Supported and User-Agent if they are not in `headers`.
        It sends from our first address with the destination's IP family and transport. Raises
        `ProtocolError` if we have no suitable local address, or a header field cannot be written
        (for example, it contains CR, LF or NUL).
        """
        draft = Draft(
            method="INVITE",
            uri=uri,
            from_=self._tagged(from_),
            to=to,
            call_id=self._new_call_id(),
            cseq=1,
            destination=destination,
            local=self._core.local_addresses.choose(None, destination),
            routes=tuple(routes),
            max_forwards=max_forwards,
            headers=tuple(headers),
            body=body,
            contact_user=from_.uri.user or "",
        )
        client = InviteClient(self.agent, draft, owner=owner)
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
        call_id: str | None = None,
        cseq: int = 1,
        local: Address | None = None,
        owner: object = None,
        now: float,
    ) -> NonInviteClient:
        """Send a request outside any dialog, such as OPTIONS or REGISTER, as `invite` does.

        `local` None means the first address with the destination's IP family and transport. Raises
        `ProtocolError` as `invite`, or if the method is INVITE, ACK or CANCEL.
        """
        if method in {"INVITE", "ACK", "CANCEL"}:
            raise ProtocolError("send INVITE, ACK and CANCEL by invite(), ack() and cancel()")
        draft = Draft(
            method=method,
            uri=uri,
            from_=self._tagged(from_),
            to=to,
            call_id=call_id or self._new_call_id(),
            cseq=cseq,
            destination=destination,
            local=self._core.local_addresses.choose(local, destination),
            headers=tuple(headers),
            contact_user=from_.uri.user or "",
        )
        client = NonInviteClient(self.agent, draft, owner=owner)
        client.begin(now)
        return client

    def restore_dialog(self, data: dict[str, object]) -> Dialog:
        """Make a confirmed dialog from the values that `Dialog.checkpoint()` returned.

        Raises `ProtocolError` if `data` is not valid, the dialog's local address is no longer ours,
        or the dialog exists already.
        """
        return restore_dialog(self.agent.dialogs, data)

    def cancel_restored(
        self, data: Mapping[str, object], *, owner: object = None, now: float
    ) -> InviteClient:
        """Cancel an INVITE that an earlier process sent, from its `InviteClient.checkpoint()`.

        The core later emits `InviteFailed`, or `InviteAnswered` if the peer accepted before the
        CANCEL. After `InviteAnswered`, the application must end the dialog with a BYE. Raises
        `ProtocolError` if `data` is not a checkpoint of an INVITE, or its local address is no
        longer ours.
        """
        return cancel_restored(self.agent, data, owner, now)

    def restore_invite(self, data: Mapping[str, object], now: float) -> str:
        """Process an INVITE again that an earlier process received and did not answer.

        `data` is from `InviteServer.checkpoint()`. Our new responses create another early dialog at
        the caller, with another To tag. Return the Call-ID, by which the application recognises the
        INVITE in the event `IncomingInvite`. Raises `ProtocolError` if `data` is not a checkpoint
        of an INVITE.
        """
        request, source, local = parse_invite(data)
        self.receive(bytes(request), source, local, now)
        return request.call_id

    def find_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """Return the dialog with these identifiers, as in a Replaces header field, or None."""
        return self.agent.dialogs.get(DialogId(call_id, local_tag, remote_tag))

    def has_call_id(self, call_id: str) -> bool:
        """Return whether a stored dialog, or a live client transaction, has this Call-ID."""
        return self.agent.dialogs.has_call_id(call_id) or self._core.transactions.has_call_id(
            call_id
        )

    def peers(self) -> set[str]:
        """Return the IP addresses to which we send requests in the stored dialogs."""
        return {dialog.destination.host for dialog in self.agent.dialogs}

    def looped(self, request: Request) -> bool:
        """Return whether a Via has one of our addresses: the request has passed through here."""
        return self._incoming.looped(request)

    def unreachable(self, destination: Address, now: float) -> None:
        """Report that `destination` cannot be reached. The core emits `PeerLost`.

        A request without a response fails with the status 503. A request with a provisional
        response continues, because its final response may arrive over another connection (RFC 3261
        section 18.2.2).
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.unreachable(now)
        self._core.emit(PeerLost(destination))

    def connection_lost(self, destination: Address, now: float) -> None:
        """Report that the connection to `destination` is lost. The core emits `PeerLost`.

        A request without a response is sent once more over a new connection. If the new connection
        is lost too, the request fails with 503. If no connection can be made, the transport calls
        `unreachable`.
        """
        for transaction in self._core.transactions.clients_to(destination):
            transaction.connection_lost(now)
        self._core.emit(PeerLost(destination))

    def peer_reconnected(self, old: Address, new: Address) -> None:
        """Replace `old` by `new` in all dialogs, because the peer has connected again."""
        for dialog in self.agent.dialogs:
            if dialog.send_to == old:
                dialog.send_to = new
            if dialog.peer == old:
                dialog.peer = new

    def _tagged(self, from_: NameAddr) -> NameAddr:
        return from_ if from_.tag else from_.with_tag(self._core.token())

    def _new_call_id(self) -> str:
        return self._core.token() + self._core.token()
