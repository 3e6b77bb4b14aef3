"""The SIP core (RFC 3261), sans I/O: datagrams and `now` in; datagrams, events, next timer out.

Feed it with `receive` and `handle_timer`, act on the handles that its events carry, then send
`outgoing()` and take `next_event()` until None. `now` is monotonic seconds. Which calls exist and
what becomes of them is the user's business: the core answers alone only what the RFC leaves no
choice about (100, 200 to CANCEL, 400, 405, 420, 481, 482, 487, 491, 500 for sequence, 501, 505).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telephony.sip.events import Address, Datagram, Event

if TYPE_CHECKING:
    from telephony.sip.dialog import Dialog
    from telephony.sip.headers import NameAddr
    from telephony.sip.message import Request
    from telephony.sip.uac import InviteClient, NonInviteClient
    from telephony.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class Counts:
    """What the core holds at this moment; all zero when idle."""

    client_transactions: int
    server_transactions: int
    dialogs: int
    unacknowledged: int
    """2xx that wait for their ACK."""
    timers: int


class Endpoint:
    """One SIP entity on any number of local addresses."""

    dropped: Counter[str]
    """Messages dropped, by reason."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        supported: Iterable[str] = ("replaces", "timer"),
        user_agent: str = "Galwad",
        rng: random.Random | None = None,
    ) -> None:
        """Make a core without addresses; `listen` gives it some.

        Args:
            allow: methods that the user handles; all of the known ones that we serve if empty.
                Others get 405 (or 501 if no RFC that we know names them), with Allow.
            supported: option tags; a Require with another gets 420.
            user_agent: User-Agent and Server; empty leaves them out.
            rng: source of tags, branches, Call-IDs and back-off; the system's unless a test
                wants it seeded.
        """

    def listen(
        self, local: Address, *, advertised: Address | None = None, transport: str = "UDP"
    ) -> None:
        """Add a local address; `advertised` (its own if None) goes into Via and Contact."""

    def receive(self, data: bytes, source: Address, local: Address, now: float) -> None:
        """Take a datagram. No exception comes out, whatever the bytes."""

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`."""

    def next_timer(self) -> float | None:
        """When `handle_timer` is wanted next."""

    def outgoing(self) -> list[Datagram]:
        """Take the datagrams that wait to be sent."""

    def next_event(self) -> Event | None:
        """Take the oldest event."""

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
        of the destination's family.

        Raises:
            ProtocolError: no local address fits.
        """
        raise NotImplementedError

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
        cseq: int | None = None,
        local: Address | None = None,
        max_forwards: int = 70,
        owner: object = None,
        now: float,
    ) -> NonInviteClient:
        """Send any other request outside any dialog (OPTIONS, REGISTER, MESSAGE, …).

        Raises:
            ProtocolError: INVITE, ACK or CANCEL; no local address fits.
        """
        raise NotImplementedError

    def restore_dialog(self, data: dict[str, object]) -> Dialog:
        """Take up a confirmed dialog from `Dialog.checkpoint()`.

        Raises:
            ProtocolError: `data` is not a checkpoint, or the dialog is here already.
        """
        raise NotImplementedError

    def find_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        """The dialog of these identifiers (for Replaces)."""
        raise NotImplementedError

    def looped(self, request: Request) -> bool:
        """True if one of the request's Via headers is ours: it has been here before."""
        raise NotImplementedError

    def unreachable(self, destination: Address, now: float) -> None:
        """The transport cannot reach `destination`: what we asked of it fails with 503."""

    def counts(self) -> Counts:
        """What is held now, for metrics and leak tests."""
        raise NotImplementedError
