"""One REFER (RFC 3515) that we received, and the NOTIFYs that report its result to the sender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.leg import Leg
from telephony.b2bua.request_queue import OnResponse, QueuedRequest
from telephony.errors import ParseError
from telephony.sip.message.headers import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.ua.server_request import ServerRequest

_SIPFRAG: Final = ("Content-Type", "message/sipfrag;version=2.0")


@dataclass(slots=True)
class PendingRefer:
    """A REFER that we received, and the state of the transfer that it asks for."""

    request_id: int
    leg: Leg
    transaction: ServerRequest
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
