"""One REFER (RFC 3515): what it asks for, and the NOTIFYs that tell what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from telephony.b2bua.leg import Errand, Leg, Then
from telephony.errors import ParseError
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request
from telephony.sip.uas import ServerRequest

_SIPFRAG: Final = ("Content-Type", "message/sipfrag;version=2.0")


@dataclass(slots=True)
class Referral:
    """One REFER and what came of it."""

    request_id: int
    leg: Leg
    transaction: ServerRequest
    event: str
    """The Event header of its NOTIFYs."""
    subscribed: bool
    replaces: str | None
    """The Replaces of its Refer-To: it asks for a join."""
    asked_at: float
    accepted: bool = False
    ringing: Leg | None = None

    @classmethod
    def of(
        cls, request_id: int, leg: Leg, transaction: ServerRequest, to: NameAddr, now: float
    ) -> Referral:
        """The referral that a REFER to `to` asks for."""
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
        """What the 202 holds (RFC 4488)."""
        return () if self.subscribed else (("Refer-Sub", "false"),)


def notice(event: str, status_line: str, then: Then, *, lasts: int, last: bool) -> Errand:
    """A NOTIFY with a sipfrag; `lasts` is how long the subscription may go on, in seconds."""
    state = "terminated;reason=noresource" if last else f"active;expires={lasts}"
    fields = (("Event", event), ("Subscription-State", state), _SIPFRAG)
    return Errand("NOTIFY", fields, f"SIP/2.0 {status_line}\r\n".encode("utf-8", "replace"), then)


def refer_to(request: Request) -> NameAddr | int:
    """Where to; or the status that the REFER deserves (RFC 3515 section 2.4.1)."""
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
