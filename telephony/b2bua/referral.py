"""One REFER (RFC 3515), and the NOTIFYs that report its result."""

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
    """One REFER and its state."""

    request_id: int
    leg: Leg
    transaction: ServerRequest
    event: str
    """The Event header of its NOTIFYs."""
    subscribed: bool
    """True while the sender gets NOTIFYs; it can decline them by Refer-Sub (RFC 4488)."""
    replaces: str | None
    """The Replaces in its Refer-To, which asks to join two calls; None for a blind transfer."""
    asked_at: float
    accepted: bool = False
    last_ringing_leg: Leg | None = None
    """The target's leg that was last reported as ringing."""

    @classmethod
    def of(
        cls, request_id: int, leg: Leg, transaction: ServerRequest, to: NameAddr, now: float
    ) -> PendingRefer:
        """Create the referral for the REFER of `transaction`, whose Refer-To is `to`."""
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
        """The extra header fields of the 202 (RFC 4488)."""
        return () if self.subscribed else (("Refer-Sub", "false"),)


def notify_request(
    event: str, status_line: str, then: OnResponse, *, lasts: int, last: bool
) -> QueuedRequest:
    """Return a NOTIFY with a sipfrag body.

    The subscription goes on for `lasts` seconds, or ends with this NOTIFY (`last`).
    """
    state = "terminated;reason=noresource" if last else f"active;expires={lasts}"
    fields = (("Event", event), ("Subscription-State", state), _SIPFRAG)
    return QueuedRequest(
        "NOTIFY", fields, f"SIP/2.0 {status_line}\r\n".encode("utf-8", "replace"), then
    )


def refer_to(request: Request) -> NameAddr | int:
    """Return the address in Refer-To, or the status that refuses it (RFC 3515 section 2.4.1)."""
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
