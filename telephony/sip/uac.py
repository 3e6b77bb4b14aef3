"""The user agent client's side of a request (RFC 3261 8.1, 9.1, 13.2): handles for what we sent.

An `InviteClient` gathers what one INVITE may bring: several early dialogs, several 2xx, a CANCEL
that waits for the first provisional response. Retransmission belongs to client_transaction.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from telephony.sip.events import Address

if TYPE_CHECKING:
    from telephony.sip.dialog import Dialog
    from telephony.sip.message import Request, Response
    from telephony.sip.uri import Uri


class ClientRequest:
    """A request that we sent, INVITE or not.

    Attributes:
        request: as sent.
        destination: where it went.
        local: the socket it left by.
        dialog: the dialog in which it was sent, else None.
        response: the final response, once there is one.
        owner: the user's own.
    """

    request: Request
    destination: Address
    local: Address
    dialog: Dialog | None
    response: Response | None
    owner: object


class NonInviteClient(ClientRequest):
    """Any request but INVITE, ACK and CANCEL."""

    def retry(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> NonInviteClient:
        """Send it again: same Call-ID and From tag, next CSeq, `headers` put in their place.

        For 401 and 407 (credentials in `headers`), 423, …
        """
        raise NotImplementedError


class InviteClient(ClientRequest):
    """An INVITE that we sent, outside a dialog or in one.

    Attributes:
        dialogs: by To tag, early and confirmed (outside a dialog); for a re-INVITE, empty.
        cancelled: True once `cancel` was called.
    """

    dialogs: dict[str, Dialog]
    cancelled: bool

    def cancel(self, *, headers: Iterable[tuple[str, str]] = (), now: float) -> None:
        """Give up: CANCEL goes out now or with the first provisional response (9.1).

        `InviteFailed` follows (487 as a rule), or `InviteAnswered` if a 2xx crossed it. Does
        nothing when a final response has come. `headers`: a Reason, for instance.
        """
        raise NotImplementedError

    def retry(
        self,
        *,
        headers: Iterable[tuple[str, str]] = (),
        uri: Uri | None = None,
        destination: Address | None = None,
        now: float,
    ) -> InviteClient:
        """Send the INVITE again after its failure: same Call-ID and From tag, next CSeq.

        `headers` replace those of the same name (credentials after 401/407, Session-Expires and
        Min-SE after 422); `uri` and `destination` follow a 3xx. The owner is carried over.
        """
        raise NotImplementedError
