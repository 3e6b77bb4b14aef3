"""Redirection: by a 3xx response, a target sends a call to other targets (RFC 3261 8.1.3.4).

The application knows its own targets. It decides which of them a Contact in the 3xx means, and an
unknown address is never called. No target is rung twice for one call, so two phones cannot redirect
a call to each other for ever.
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
"""A callback that finds the targets for a redirection.

It receives a Contact from the 3xx and the current time. It returns the targets to ring, and no
target if it does not know the address.
"""

MAX_REDIRECTIONS: Final = 5
"""The largest number of redirections in one call."""


class Redirections:
    """The redirections in one attempt to reach a callee."""

    def __init__(self, find_targets: FindTargets) -> None:
        """Create the object; no redirection has happened yet."""
        self._find_targets = find_targets
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Return the targets to ring in place of the leg that sent this response.

        `rung` holds the legs that were rung before; their targets are left out. The result is empty
        if the response is not a 3xx, or has no Contact that leads to another known target. It is
        also empty after `MAX_REDIRECTIONS` redirections.
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
