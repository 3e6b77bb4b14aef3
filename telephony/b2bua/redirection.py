"""Redirection: a target responds with a 3xx, so we ring other targets (RFC 3261 8.1.3.4).

The application has a list of its own targets. For each Contact in the 3xx, the application decides
which of these targets to ring. If a Contact matches none of these targets, it is not rung. In one
attempt to reach a callee, no target is rung twice: two phones could otherwise redirect the call to
each other for ever.
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
"""A function that finds the targets for a redirection.

The arguments are a Contact from the 3xx and the current time. The function returns the targets to
ring. The result is empty if the address of the Contact is unknown.
"""

MAX_REDIRECTIONS: Final = 5
"""The largest number of redirections in one attempt to reach a callee."""


class Redirections:
    """The redirections in one attempt to reach a callee."""

    def __init__(self, find_targets: FindTargets) -> None:
        """Create the object with a count of 0 redirections."""
        self._find_targets = find_targets
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Return the targets to ring in place of the leg that sent this response.

        `rung` contains the legs that this attempt has already rung. Their targets are not returned.
        If several Contacts lead to new targets, only the first of these Contacts is used. The
        result is empty in three cases: the response is not a 3xx, no Contact leads to a new target,
        or there have already been `MAX_REDIRECTIONS` redirections.
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
