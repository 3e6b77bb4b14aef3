"""The SIP core (RFC 3261), sans I/O: messages and `now` in; messages, events, next timer out.

Feed it with `receive` and `handle_timer`, act on the handles that its events carry, then send
`outgoing()` and take `next_event()` until None. `now` is monotonic seconds. Which calls exist and
what becomes of them is the user's business: the core answers alone only what the RFC leaves no
choice about (100, 200 to CANCEL, 400, 405, 420, 481, 482, 487, 491, 500 for sequence, 501, 505);
how, is in incoming.py.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from telephony.errors import ProtocolError
from telephony.sip import checkpoint
from telephony.sip.challenge import Credentials
from telephony.sip.compose import Draft, own_contact
from telephony.sip.core import Core, Local
from telephony.sip.dialog import Dialog
from telephony.sip.dialog_ends import DialogId
from telephony.sip.events import Address, Event, Outgoing, PeerLost
from telephony.sip.framing import Frame
from telephony.sip.headers import NameAddr
from telephony.sip.incoming import Incoming
from telephony.sip.message import Request
from telephony.sip.rack import RELIABLE
from telephony.sip.timers import Timings
from telephony.sip.uac import ClientRequest, InviteClient, NonInviteClient
from telephony.sip.uas import InviteServer, ServerRequest
from telephony.sip.uri import Uri

__all__ = [
    "ClientRequest",
    "Counts",
    "Dialog",
    "Endpoint",
    "InviteClient",
    "InviteServer",
    "NonInviteClient",
    "ServerRequest",
]


SUPPORTED: Final = ("timer", RELIABLE, "norefersub", "replaces")
"""What the core and its user can do, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the core holds at this moment; all zero when idle."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    unacknowledged: int
    """2xx that wait for their ACK."""
    unpracked: int
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
        """Make a core without addresses; `listen` gives it some.

        Args:
            allow: methods that the user handles; all of the known ones that we serve if empty.
                Others get 405 (or 501 if no RFC that we know names them), with Allow.
            supported: option tags; a Require with another gets 420.
            user_agent: User-Agent and Server; empty leaves them out.
            rng: source of tags, branches, Call-IDs and back-off; the system's unless a test
                wants it seeded.
            timings: T1, T2, T4, in seconds.
        """
        self._core = Core(
            allow=allow, supported=supported, user_agent=user_agent, rng=rng, timings=timings
        )
        self._incoming = Incoming(self._core)

    @property
    def dropped(self) -> Counter[str]:
        """Messages dropped, by reason."""
        return self._core.dropped

    @property
    def malformed(self) -> int:
        """Messages that could not be read, answered or not."""
        dropped = self._core.dropped
        return dropped["malformed"] + dropped["malformed, answered"]

    def authenticate(self, credentials: Credentials) -> None:
        """Have every 401 and 407 answered by these, as far as they can (RFC 3261 22)."""
        self._core.credentials = credentials

    def contact(self, user: str, destination: Address, local: Address | None = None) -> str:
        """The Contact by which a peer at `destination` reaches us, for a REGISTER.

        Raises:
            ProtocolError: no local address fits.
        """
        return own_contact(user, self._core.local(local, destination))

    def listen(self, local: Address, *, advertised: Address | None = None) -> None:
        """Add a local address; `advertised` (its own if None) goes into Via and Contact.

        Raises:
            ProtocolError: a wildcard address without an advertised one: peers could not answer.
        """
        if (advertised or local).host in {"0.0.0.0", "::"}:  # noqa: S104 - refused here
            raise ProtocolError("a wildcard address wants an advertised one")
        self._core.locals[local] = Local(local, advertised or local)

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Take a message that came to `local`. No exception comes out, whatever the bytes."""
        self._incoming.receive(data, source, local, now)

    def refuse(self, fault: Frame, source: Address, local: Address) -> None:
        """Answer what spoilt a stream, as far as its head can be read; the stream then closes."""
        self._incoming.refuse(fault, source, local)

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""
        self._core.timers.run(now)

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next."""
        return self._core.timers.next()

    def outgoing(self) -> list[Outgoing]:
        """Take the messages that wait to be sent."""
        outbox, self._core.outbox = self._core.outbox, []
        return outbox

    def next_event(self) -> Event | None:
        """Take the oldest event."""
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

        Via, Max-Forwards, From (tagged here if it has no tag), To, Call-ID, CSeq, Contact, Allow,
        Supported and User-Agent are made here; `headers` come after them and, by name, take the
        place of Contact, Allow, Supported and User-Agent. `local` None: the first local address
        of the destination's family and transport.

        Raises:
            ProtocolError: no local address fits; a header holds CR, LF or NUL.
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
        client = InviteClient(self._core, draft, owner=owner)
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
            ProtocolError: INVITE, ACK or CANCEL; no local address fits; a header holds CR, LF
                or NUL.
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
        client = NonInviteClient(self._core, draft, owner=owner)
        client.begin(now)
        return client

    def restore_dialog(self, data: dict[str, object]) -> Dialog:
        """Take up a confirmed dialog from `Dialog.checkpoint()`.

        Raises:
            ProtocolError: `data` is not a checkpoint; its local address is not ours any more;
                the dialog is here already.
        """
        return checkpoint.restore(self._core, data)

    def give_up(
        self, data: Mapping[str, object], *, owner: object = None, now: float
    ) -> InviteClient:
        """Cancel an INVITE that an earlier process sent, from `InviteClient.checkpoint()`.

        Its end comes as ever: `InviteFailed`, or an `InviteAnswered` that is to be hung up.

        Raises:
            ProtocolError: `data` is not a checkpoint; its local address is not ours any more.
        """
        return checkpoint.give_up(self._core, data, owner, now)

    def serve_again(self, data: Mapping[str, object], now: float) -> str:
        """Take an INVITE once more that an earlier process was serving: `IncomingInvite`.

        From `InviteServer.checkpoint()`; the caller sees one more early dialog. Returns the
        Call-ID, by which its owner knows it.

        Raises:
            ProtocolError: `data` is not a checkpoint.
        """
        request, source, local = checkpoint.served_again(data)
        self.receive(bytes(request), source, local, now)
        return request.call_id

    def find_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """The dialog of these identifiers (for Replaces)."""
        return self._core.dialogs.get(DialogId(call_id, local_tag, remote_tag))

    def knows(self, call_id: str) -> bool:
        """True if a dialog, or a request of ours that waits for its answer, has this Call-ID."""
        return call_id in self._core.call_ids

    def peers(self) -> set[str]:
        """The hosts to which the dialogs' requests go."""
        return {dialog.destination.host for dialog in self._core.dialogs.values()}

    def looped(self, request: Request) -> bool:
        """True if one of the request's Via headers is ours: it has been here before."""
        return self._incoming.looped(request)

    def unreachable(self, destination: Address, now: float) -> None:
        """The transport cannot reach `destination`.

        What we asked there and had no word about fails with 503. Where a provisional response
        came, the final one may yet come by another connection (RFC 3261 18.2.2).
        """
        for transaction in self._core.asked(destination):
            transaction.unreachable(now)
        self._core.emit(PeerLost(destination))

    def cut_off(self, destination: Address, now: float) -> None:
        """The transport has lost the connection to `destination`: what may be lost goes again.

        Whoever asked there and had no word asks once more, by another connection if there can be
        one; if not, `unreachable` follows.
        """
        for transaction in self._core.asked(destination):
            transaction.cut_off(now)
        self._core.emit(PeerLost(destination))

    def moved(self, old: Address, new: Address) -> None:
        """A peer whose connection `old` is gone has come back by `new`: its dialogs follow."""
        for dialog in self._core.dialogs.values():
            if dialog.send_to == old:
                dialog.send_to = new
            if dialog.peer == old:
                dialog.peer = new

    def counts(self) -> Counts:
        """What is held now, for metrics and leak tests."""
        core = self._core
        return Counts(
            client_transactions=len(core.clients),
            server_transactions=len(core.servers),
            dialogs=len(core.dialogs),
            unacknowledged=len(core.unacknowledged),
            unpracked=len(core.unpracked),
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
            local=core.local(local, destination),
            routes=routes,
            max_forwards=max_forwards,
            headers=headers,
            body=body,
            contact_user=from_.uri.user or "",
        )
