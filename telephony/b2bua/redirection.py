"""Redirection: a target sends a call to other targets by a 3xx (RFC 3261 8.1.3.4).

The owner decides which of the targets that it knows a Contact means; unknown addresses are never
called. No target is rung twice for one call, so that two phones cannot send it to each other for
ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from telephony.b2bua.leg import Leg
from telephony.b2bua.settings import Target
from telephony.errors import SipParseError
from telephony.sip.message.messages import Response
from telephony.sip.message.name_addr import NameAddr

FindTargets = Callable[[NameAddr, float], Sequence[Target]]
"""A callback that gets a Contact and now, and returns the targets to ring.

It returns none for an unknown address.
"""

MAX_REDIRECTIONS: Final = 5
"""The most redirections of one call."""


class Redirections:
    """The redirections of one attempt."""

    def __init__(self, find_targets: FindTargets) -> None:
        """Create the object; no redirection has happened yet."""
        self._find_targets = find_targets
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Return the targets to ring in place of the leg that sent this response.

        Empty unless it is a 3xx with a known Contact whose targets are not among `rung`.
        """
        if not 300 <= response.status < 400 or self._count >= MAX_REDIRECTIONS:
            return ()
        known = {leg.target.uri for leg in rung if leg.target is not None}
        for contact in _contacts(response):
            found = tuple(
                target for target in self._find_targets(contact, now) if target.uri not in known
            )
            if found:
                self._count += 1
                return found
        return ()


def _contacts(response: Response) -> Sequence[NameAddr]:
    try:
        return response.contacts
    except SipParseError:
        return ()
