"""A dialog (RFC 3261 section 12): two peers, their tags, their sequence numbers and the way there.

Confirmed dialogs live in the core until BYE; early ones until their INVITE is answered or fails.
What may travel inside a dialog, and when, is decided here; transactions carry it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from telephony.sip.events import Address

if TYPE_CHECKING:
    from telephony.sip.core import Core
    from telephony.sip.headers import NameAddr
    from telephony.sip.uac import ClientRequest, InviteClient
    from telephony.sip.uri import Uri


class DialogId(NamedTuple):
    """Identifies a dialog at this end (RFC 3261 12)."""

    call_id: str
    local_tag: str
    remote_tag: str


class DialogState(enum.Enum):
    """RFC 3261 12: early (after 1xx), confirmed (after 2xx), terminated."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Dialog:
    """One dialog; made by the core, never by its user.

    Attributes (read, except where said):
        id: Call-ID, local tag, remote tag.
        state: early, confirmed or terminated.
        caller: True if we sent the INVITE that made it.
        local: our From/To of requests in it, with our tag.
        remote: the peer's, with its tag.
        remote_target: the peer's Contact URI, refreshed by INVITE and UPDATE.
        routes: the route set, in the order of our Route headers.
        local_address: the socket that it uses.
        peer: where the INVITE came from, or went to.
        send_to: may be set by the owner: every request then goes there (a phone behind NAT),
            else to the first route or the remote target if that is an IP address, else to `peer`.
        owner: the user's own; inherited from the INVITE's handle.
    """

    id: DialogId
    state: DialogState
    caller: bool
    local: NameAddr
    remote: NameAddr
    remote_target: Uri
    routes: tuple[NameAddr, ...]
    local_address: Address
    peer: Address
    send_to: Address | None
    owner: object

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.id.call_id

    @property
    def invite_pending(self) -> bool:
        """True while a re-INVITE is under way in either direction; ours must wait (14.1)."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> ClientRequest:
        """Send a request (never ACK or CANCEL); an `InviteClient` for INVITE.

        `headers` are added after those of the dialog (Via, Route, From, To, Call-ID, CSeq,
        Max-Forwards, Contact). A body wants its Content-Type among them. The answers come as
        `DialogResponse` or `DialogRequestFailed`; after BYE, `DialogEnded` follows.

        Raises:
            ProtocolError: the dialog is terminated; INVITE while `invite_pending`.
        """
        raise NotImplementedError

    def ack(
        self,
        client: InviteClient,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        now: float,
    ) -> None:
        """Acknowledge the 2xx to `client`'s INVITE; the core repeats it for each repeated 2xx.

        Raises:
            ProtocolError: no 2xx to that INVITE came in this dialog.
        """
        raise NotImplementedError

    def glare_delay(self) -> float:
        """Seconds to wait after a 491 before the next try (RFC 3261 14.1), drawn afresh.

        2.1–4 s for the owner of the Call-ID, 0–2 s for the other, in steps of 10 ms.
        """
        raise NotImplementedError

    def forget(self, reason: str) -> None:
        """Drop the dialog without a word to the peer; `DialogEnded` if it was confirmed."""
        raise NotImplementedError

    def checkpoint(self) -> dict[str, object]:
        """Plain values (msgpack-able), enough to go on with the dialog after a restart."""
        raise NotImplementedError

    @classmethod
    def restore(cls, data: dict[str, object], core: Core) -> Dialog:
        """Take up a checkpointed dialog; users call `Endpoint.restore_dialog`.

        Raises:
            ProtocolError: `data` is not a checkpoint.
        """
        raise NotImplementedError
