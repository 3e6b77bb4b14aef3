"""Session timers (RFC 4028), one for each leg: who refreshes, when, and when the session expires.

Values and arithmetic only; `refresh.py` sends the refreshes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.b2bua.headers import HeaderFields
from telephony.b2bua.settings import CallSettings
from telephony.sip.message.messages import Request, Response

SMALLEST = 90
"""The smallest Min-SE, in seconds (RFC 4028 section 5)."""
LARGEST = 86_400
"""The longest interval that we read from a message, in seconds."""
_NUMBER = re.compile(r"\s*([0-9]{1,10})\s*(?:;|$)", re.ASCII)
_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)\b", re.ASCII | re.IGNORECASE)


class IntervalTooSmallError(Exception):
    """The request asks for a shorter session than we accept; the answer is 422 with Min-SE."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """The session timer that was agreed with one peer."""

    interval: int
    """The session interval, in seconds."""
    we_refresh: bool
    """True if we send the refreshes; False if the peer does."""
    started: float

    @property
    def refresh_at(self) -> float:
        """The time of our refresh, after half of the interval; unused if the peer refreshes."""
        return self.started + self.interval / 2

    @property
    def expires_at(self) -> float:
        """The time at which a session without a refresh has expired (RFC 4028 section 10).

        If the peer refreshes, this is 32 s, or a third of a shorter interval, before the interval's
        end.
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
    """Return the message's Min-SE in seconds; at least 90."""
    return max(_seconds(message.headers.get("Min-SE")) or SMALLEST, SMALLEST)


def supports_timer(message: Request | Response) -> bool:
    """Return whether the message's Supported or Require names `timer`."""
    every = message.headers.get_all("Supported") + message.headers.get_all("Require")
    return any(word.strip().lower() == "timer" for line in every for word in line.split(","))


def agree_to_request(request: Request, settings: CallSettings, now: float) -> SessionTimer:
    """Return the session timer for an INVITE or UPDATE that we are about to answer with a 2xx.

    A peer that does not support timers gets one too, and we refresh. If its request still has a
    Session-Expires, a proxy has set it. We never make that longer (RFC 4028 section 9), and the
    peer would not understand a 422, so `settings.min_se` does not apply to it. The interval is
    never below 90 seconds.

    Raises:
        IntervalTooSmallError: The peer supports timers and asks for less than `settings.min_se`.
    """
    value = request.headers.get("Session-Expires")
    asked, supported = _seconds(value), supports_timer(request)
    if asked is not None and asked < settings.min_se and supported:
        raise IntervalTooSmallError
    wanted = settings.session_expires if asked is None else min(asked, settings.session_expires)
    theirs = supported and _refresher(value) == "uac"
    return SessionTimer(max(wanted, min_se(request)), not theirs, now)


def answer_fields(timer: SessionTimer) -> HeaderFields:
    """Return the session timer's header fields for our 2xx."""
    if timer.we_refresh:
        return (("Session-Expires", f"{timer.interval};refresher=uas"),)
    return (("Session-Expires", f"{timer.interval};refresher=uac"), ("Require", "timer"))


def request_fields(timer: SessionTimer | None, settings: CallSettings, least: int) -> HeaderFields:
    """Return the session timer's header fields for our INVITE or UPDATE.

    `least` is the largest Min-SE that the peer asked for, in seconds.
    """
    floor = max(settings.min_se, least)
    interval = max(timer.interval if timer else settings.session_expires, floor)
    role = "" if timer is None else ";refresher=" + ("uac" if timer.we_refresh else "uas")
    fields = (("Session-Expires", f"{interval}{role}"),)
    return (*fields, ("Min-SE", str(floor))) if floor > SMALLEST else fields


def agree_to_response(
    response: Response, settings: CallSettings, least: int, now: float
) -> SessionTimer:
    """Return the session timer after a 2xx to our INVITE or UPDATE.

    We refresh, unless its Session-Expires says that the peer does. `least` is as in
    `request_fields`.
    """
    value = response.headers.get("Session-Expires")
    said = _seconds(value)
    interval = max(said or max(settings.session_expires, least), SMALLEST)
    return SessionTimer(interval, said is None or _refresher(value) != "uas", now)
