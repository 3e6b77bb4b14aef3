"""Session timers (RFC 4028), one for each leg: which side refreshes, when, and when it expires.

Only values and calculations; `refresh.py` sends the refreshes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.settings import SessionInterval
from telephony.sip.message.messages import Request, Response

SMALLEST = 90
"""The smallest Min-SE, in seconds (RFC 4028 section 5)."""
LARGEST = 86_400
"""A longer Session-Expires or Min-SE counts as this many seconds."""
_NUMBER = re.compile(r"\s*([0-9]{1,10})\s*(?:;|$)", re.ASCII)
_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)\b", re.ASCII | re.IGNORECASE)


class IntervalTooSmallError(Exception):
    """A request asks for a shorter session interval than our Min-SE, which our 422 must state."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """The session timer that was agreed with the peer of one leg."""

    interval: int
    """The session interval, in seconds."""
    we_refresh: bool
    """True if we send the refreshes; False if the peer sends them."""
    started: float
    """The monotonic seconds of the 2xx from which the interval counts."""

    @property
    def refresh_at(self) -> float:
        """The time of our next refresh, in monotonic seconds: half an interval after `started`."""
        return self.started + self.interval / 2

    @property
    def expires_at(self) -> float:
        """The expiry without a refresh, in monotonic seconds (RFC 4028 section 10).

        If we refresh, it is the end of the interval. If the peer does, it is earlier by 32 s,
        or by a third of the interval if this is shorter.
        """
        spare = 0.0 if self.we_refresh else min(32.0, self.interval / 3)
        return self.started + self.interval - spare


def _seconds(value: str | None) -> int | None:
    found = _NUMBER.match(value) if value is not None else None
    return min(int(found.group(1)), LARGEST) if found else None


def _refresher(value: str | None) -> str | None:
    found = _REFRESHER.search(value or "")
    return found.group(1).lower() if found else None


def min_se(message: Request | Response) -> int:
    """Return the seconds in a message's Min-SE header field; 90 if absent or smaller."""
    return max(_seconds(message.headers.get("Min-SE")) or SMALLEST, SMALLEST)


def supports_timer(message: Request | Response) -> bool:
    """Return whether a message's Supported or Require header field contains `timer`."""
    every = message.headers.get_all("Supported") + message.headers.get_all("Require")
    return any(word.strip().lower() == "timer" for line in every for word in line.split(","))


def agree_to_request(request: Request, ours: SessionInterval, now: float) -> SessionTimer:
    """Return the session timer for an INVITE or UPDATE that we will answer with a 2xx.

    For a peer without session timers, we refresh. A Session-Expires then comes from a proxy and
    limits our interval (RFC 4028 section 9). Such a peer would not understand a 422, so
    `ours.least` does not apply. Raises `IntervalTooSmallError` if the peer supports session timers
    and asks for less than `ours.least`.
    """
    value = request.headers.get("Session-Expires")
    asked, supported = _seconds(value), supports_timer(request)
    if asked is not None and asked < ours.least and supported:
        raise IntervalTooSmallError
    wanted = ours.wanted if asked is None else min(asked, ours.wanted)
    theirs = supported and _refresher(value) == "uac"
    return SessionTimer(max(wanted, min_se(request)), not theirs, now)


def answer_fields(timer: SessionTimer) -> HeaderFields:
    """Return the header fields about the session timer in our 2xx."""
    if timer.we_refresh:
        return (("Session-Expires", f"{timer.interval};refresher=uas"),)
    return (("Session-Expires", f"{timer.interval};refresher=uac"), ("Require", "timer"))


def request_fields(timer: SessionTimer | None, ours: SessionInterval, least: int) -> HeaderFields:
    """Return the header fields about the session timer in our INVITE or UPDATE.

    Before the first agreement, `timer` is None, and the peer chooses which side refreshes. Our
    interval is not shorter than `least`, the longest Min-SE of this peer so far, in seconds.
    """
    floor = max(ours.least, least)
    interval = max(timer.interval if timer else ours.wanted, floor)
    role = "" if timer is None else ";refresher=" + ("uac" if timer.we_refresh else "uas")
    fields = (("Session-Expires", f"{interval}{role}"),)
    return (*fields, ("Min-SE", str(floor))) if floor > SMALLEST else fields


def agree_to_response(
    response: Response, ours: SessionInterval, least: int, now: float
) -> SessionTimer:
    """Return the session timer that is in force after a 2xx to our INVITE or UPDATE.

    We refresh, unless the Session-Expires of the 2xx says that the peer does. Without
    Session-Expires, the interval is `ours.wanted`, but not less than `least`. `least` is the
    longest Min-SE of this peer so far, in seconds.
    """
    value = response.headers.get("Session-Expires")
    said = _seconds(value)
    interval = max(said or max(ours.wanted, least), SMALLEST)
    return SessionTimer(interval, said is None or _refresher(value) != "uas", now)
