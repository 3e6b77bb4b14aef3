"""One transfer that a REFER (RFC 3515) or the call's owner requests, and the NOTIFYs about it.

The NOTIFYs report the result of the transfer to the sender of the REFER.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.core import answer
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg
from telephony.b2bua.request_queue import OnResponse, QueuedRequest
from telephony.errors import ParseError
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.ua.server_request import ServerRequest

_SIPFRAG: Final = ("Content-Type", "message/sipfrag;version=2.0")


@dataclass(slots=True)
class PendingRefer:
    """A request for a transfer: a REFER that we received, or an order of the call's owner."""

    request_id: int
    leg: Leg
    """The leg that the transfer ends: that of the REFER's sender, or of the callee."""
    transaction: ServerRequest | None
    """The transaction of the REFER; None if the call's owner has ordered the transfer."""
    event: str
    """The value of the Event header field in our NOTIFYs, for example "refer;id=93"."""
    subscribed: bool
    """True if we send NOTIFYs to the sender of the REFER.

    False if the sender has declined NOTIFYs by the header field "Refer-Sub: false" (RFC 4488).
    """
    replaces: str | None
    """The Replaces in the Refer-To of the REFER; None for a blind transfer.

    A Replaces asks us to join two calls.
    """
    asked_at: float
    accepted: bool = False
    last_ringing_leg: Leg | None = None
    """The leg that we last reported as ringing to the sender of the REFER.

    It is a leg to a target of the transfer. None before the first report.
    """

    @classmethod
    def of(
        cls, request_id: int, leg: Leg, transaction: ServerRequest, to: NameAddr, now: float
    ) -> PendingRefer:
        """Create the object for a REFER that arrived on `leg` at the time `now`.

        `transaction` is the transaction of the REFER; `to` is the address in its Refer-To.
        """
        request = transaction.request
        wanted = (request.headers.get("Refer-Sub") or "true").strip().lower() != "false"
        return cls(
            request_id,
            leg,
            transaction,
            event=f"refer;id={request.cseq.number}",
            subscribed=wanted,
            replaces=to.uri.header("Replaces"),
            asked_at=now,
        )

    @classmethod
    def ordered(cls, request_id: int, leg: Leg, now: float) -> PendingRefer:
        """Create the object for a blind transfer that the call's owner has ordered.

        No REFER asked for it, so no NOTIFY reports it, and it needs no decision of the owner.
        """
        return cls(
            request_id,
            leg,
            transaction=None,
            event="",
            subscribed=False,
            replaces=None,
            asked_at=now,
            accepted=True,
        )

    def answer(self, status: int, now: float, headers: HeaderFields = ()) -> None:
        """Send the final response to the REFER, if there is a REFER."""
        if self.transaction is not None:
            answer(self.transaction, status, now, headers=headers)

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The extra header fields of our 202 response to the REFER (RFC 4488).

        Empty if the sender of the REFER receives NOTIFYs.
        """
        return () if self.subscribed else (("Refer-Sub", "false"),)


def notify_request(
    event: str, status_line: str, then: OnResponse, *, lasts: int, last: bool
) -> QueuedRequest:
    """Return a NOTIFY that reports the state of a transfer to the sender of the REFER.

    The body of the NOTIFY (a sipfrag) is "SIP/2.0" and `status_line`, for example "200 OK". If
    `last` is true, this NOTIFY is the final one and ends the subscription. If not, the subscription
    expires `lasts` seconds after this NOTIFY. `then` is called with the response to the NOTIFY.
    """
    state = "terminated;reason=noresource" if last else f"active;expires={lasts}"
    fields = (("Event", event), ("Subscription-State", state), _SIPFRAG)
    return QueuedRequest(
        "NOTIFY", fields, f"SIP/2.0 {status_line}\r\n".encode("utf-8", "replace"), then
    )


def refer_to(request: Request) -> NameAddr | int:
    """Return the address in the Refer-To of a REFER.

    If the REFER cannot be accepted, return the status that refuses it (RFC 3515 section 2.4.1).
    """
    lines = request.headers.get_all("Refer-To")
    try:
        found = [address for line in lines for address in NameAddr.parse_list(line)]
    except ParseError:
        return 400
    if len(found) != 1:
        return 400
    uri = found[0].uri
    if uri.scheme.lower() not in {"sip", "sips", "tel"}:
        return 416
    return 603 if (uri.parameter("method") or "INVITE").upper() != "INVITE" else found[0]
