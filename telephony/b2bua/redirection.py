"""Redirection: a target responds with a 3xx, so we ring other targets (RFC 3261 8.1.3.4).

The application decides for each Contact which of its own targets to ring; an unknown one is not
rung. In one attempt, no target is rung twice: two phones could otherwise redirect the call to each
other for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from telephony.b2bua.leg import Leg
from telephony.b2bua.settings import Target
from telephony.errors import SipParseError
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Response

FindTargets = Callable[[NameAddr, float], Sequence[Target]]
"""Returns the targets for a Contact of a 3xx at the current time; empty if it is unknown."""

MAX_REDIRECTIONS: Final = 5
"""In one attempt to reach a callee."""


class Redirections:
    """The redirections in one attempt to reach a callee."""

    def __init__(self, find_targets: FindTargets) -> None:
        """Start with a count of 0 redirections."""
        self._find_targets = find_targets
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Return the targets of the first Contact that leads to any target not rung before.

        Empty if there is none, after `MAX_REDIRECTIONS`, or if the response is not a 3xx.
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
