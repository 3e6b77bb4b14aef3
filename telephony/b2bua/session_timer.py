"""Session timers (RFC 4028), one for each leg: who refreshes, how often, and when it is over.

Values and arithmetic only; `refresh.py` sends what is due.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telephony.b2bua.settings import CallSettings
from telephony.sip.message import Request, Response

SMALLEST = 90
"""RFC 4028 section 5: no Min-SE is below this."""
LARGEST = 86_400
_NUMBER = re.compile(r"\s*([0-9]{1,10})\s*(?:;|$)", re.ASCII)
_REFRESHER = re.compile(r";\s*refresher\s*=\s*(uac|uas)\b", re.ASCII | re.IGNORECASE)

Fields = tuple[tuple[str, str], ...]


class IntervalTooSmallError(Exception):
    """The request asks for a shorter session than we take: 422 with Min-SE."""


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What was agreed with one peer."""

    interval: int
    """Seconds."""
    we_refresh: bool
    started: float

    @property
    def refresh_at(self) -> float:
        """When we refresh, if we do: half-way."""
        return self.started + self.interval / 2

    @property
    def expires_at(self) -> float:
        """When the session is over if nobody refreshed it (RFC 4028 section 10)."""
        spare = 0.0 if self.we_refresh else min(32.0, self.interval / 3)
        return self.started + self.interval - spare


def _seconds(value: str | None) -> int | None:
    found = _NUMBER.match(value) if value is not None else None
    return min(int(found.group(1)), LARGEST) if found else None


def _refresher(value: str | None) -> str | None:
    found = _REFRESHER.search(value or "")
    return found.group(1).lower() if found else None


def min_se(message: Request | Response) -> int:
    """The peer's Min-SE, at least 90."""
    return max(_seconds(message.headers.get("Min-SE")) or SMALLEST, SMALLEST)


def supports_timer(message: Request | Response) -> bool:
    """Whether the peer's Supported or Require names `timer`."""
    every = message.headers.get_all("Supported") + message.headers.get_all("Require")
    return any(word.strip().lower() == "timer" for line in every for word in line.split(","))


def agree_to_request(request: Request, settings: CallSettings, now: float) -> SessionTimer:
    """The timer for a peer that sent INVITE or UPDATE; we answer.

    A peer that says nothing of timers gets one too, and we refresh. What a proxy before it asked
    for is never made longer (RFC 4028 section 9), and 422 would mean nothing to such a peer: so
    there `settings.min_se` does not count. Less than 90 seconds nobody may ask for.

    Raises:
        IntervalTooSmallError: it knows timers, and asks for less than `settings.min_se`.
    """
    value = request.headers.get("Session-Expires")
    asked, supported = _seconds(value), supports_timer(request)
    if asked is not None and asked < settings.min_se and supported:
        raise IntervalTooSmallError
    wanted = settings.session_expires if asked is None else min(asked, settings.session_expires)
    theirs = supported and _refresher(value) == "uac"
    return SessionTimer(max(wanted, min_se(request)), not theirs, now)


def answer_fields(timer: SessionTimer) -> Fields:
    """Headers of our 2xx."""
    if timer.we_refresh:
        return (("Session-Expires", f"{timer.interval};refresher=uas"),)
    return (("Session-Expires", f"{timer.interval};refresher=uac"), ("Require", "timer"))


def request_fields(timer: SessionTimer | None, settings: CallSettings, least: int) -> Fields:
    """Headers of our INVITE or UPDATE; `least` is the largest Min-SE that the peer asked for."""
    floor = max(settings.min_se, least)
    interval = max(timer.interval if timer else settings.session_expires, floor)
    role = "" if timer is None else ";refresher=" + ("uac" if timer.we_refresh else "uas")
    fields = (("Session-Expires", f"{interval}{role}"),)
    return (*fields, ("Min-SE", str(floor))) if floor > SMALLEST else fields


def agree_to_response(
    response: Response, settings: CallSettings, least: int, now: float
) -> SessionTimer:
    """The timer after a 2xx to our INVITE or UPDATE; we refresh a peer that says nothing."""
    value = response.headers.get("Session-Expires")
    said = _seconds(value)
    interval = max(said or max(settings.session_expires, least), SMALLEST)
    return SessionTimer(interval, said is None or _refresher(value) != "uas", now)
