"""The user agent server's side of a request (RFC 3261 8.2, 9.2, 13.3): handles for what came.

An `InviteServer` may make several early dialogs, repeats its 2xx until the ACK comes and its last
provisional response once a minute. Retransmission of all else belongs to server_transaction.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from telephony.sip.events import Address

if TYPE_CHECKING:
    from telephony.sip.dialog import Dialog
    from telephony.sip.message import Request


class ServerRequest:
    """A request that came to us, INVITE or not.

    Attributes:
        request: as parsed, with received and rport filled in on its top Via.
        source: where it came from.
        local: the socket it came to.
        dialog: the dialog in which it came, else None (INVITE: see there).
        answered: True once a final response was sent.
        owner: the user's own.
    """

    request: Request
    source: Address
    local: Address
    dialog: Dialog | None
    owner: object

    @property
    def answered(self) -> bool:
        """True once a final response was sent."""
        raise NotImplementedError

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
        """Send a response. A body wants its Content-Type among `headers`.

        To INVITE: a provisional response above 100 makes an early dialog for its To tag (one tag
        of our own choosing unless `to_tag` is given; several tags make several dialogs), a 2xx
        confirms it; that dialog is returned, and for 2xx also kept as `dialog`. A final response
        after the caller's CANCEL does nothing and returns None.

        Raises:
            ProtocolError: a final response was sent before.
        """
        raise NotImplementedError


class InviteServer(ServerRequest):
    """An INVITE that came to us, outside a dialog or in one.

    Attributes:
        dialogs: those made by our responses, by our tag.
        dialog: the dialog of our 2xx; for a re-INVITE, that in which it came.
        cancelled: True once the caller gave up; 487 has then been sent.
    """

    dialogs: dict[str, Dialog]
    cancelled: bool
