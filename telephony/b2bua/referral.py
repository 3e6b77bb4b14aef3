"""One transfer that a REFER (RFC 3515) or the owner requests, and the NOTIFYs that report on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.core import answer
from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.leg import Leg, OnResponse, QueuedRequest
from telephony.errors import ParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request
from telephony.sip.ua.server_request import ServerRequest

_SIPFRAG: Final = ("Content-Type", "message/sipfrag;version=2.0")


@dataclass(slots=True)
class PendingRefer:
    """A request for a transfer: a REFER that we received, or an order of the call's owner."""

    request_id: int
    leg: Leg
    """The leg of the REFER's sender; the callee's leg if the call's owner orders the transfer."""
    transaction: ServerRequest | None
    """None if the call's owner has ordered the transfer."""
    event: str
    """The Event header field in our NOTIFYs, for example "refer;id=93"; "" without a REFER."""
    subscribed: bool
    """True while the sender gets NOTIFYs. It can decline them by "Refer-Sub: false" (RFC 4488)."""
    replaces: str | None
    """The Replaces in the Refer-To, which asks to join two calls; None for a blind transfer."""
    asked_at: float
    accepted: bool = False
    last_ringing_leg: Leg | None = None
    """The target's leg that was last reported as ringing; None before the first report."""

    @classmethod
    def of(
        cls, request_id: int, leg: Leg, transaction: ServerRequest, to: NameAddr, now: float
    ) -> PendingRefer:
        """Create the object for a REFER on `leg`; `to` is its Refer-To."""
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
        """Create a blind transfer that the call's owner has ordered, so it is already accepted."""
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
        """The extra header fields of our 202 (RFC 4488); empty if the sender gets NOTIFYs."""
        return () if self.subscribed else (("Refer-Sub", "false"),)


def notify_request(
    event: str, status_line: str, then: OnResponse, *, lasts: int, last: bool
) -> QueuedRequest:
    """Return a NOTIFY (sipfrag "SIP/2.0" and `status_line`) for the sender of the REFER.

    If `last` is true, it ends the subscription, which otherwise expires after `lasts` seconds.
    `then` is called with the response.
    """
    state = "terminated;reason=noresource" if last else f"active;expires={lasts}"
    fields = (("Event", event), ("Subscription-State", state), _SIPFRAG)
    return QueuedRequest(
        "NOTIFY", fields, f"SIP/2.0 {status_line}\r\n".encode("utf-8", "replace"), then
    )


def refer_to(request: Request) -> NameAddr | int:
    """Return the Refer-To address, or the status that refuses the REFER (RFC 3515 2.4.2)."""
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
