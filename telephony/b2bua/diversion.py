"""What becomes of a 3xx: a target sends a call elsewhere (RFC 3261 8.1.3.4).

Strangers are never called for it: the owner is asked whom, of those that it knows, a Contact
means. Nobody is rung twice for one call, so that two phones cannot send it to and fro.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from telephony.b2bua.leg import Leg
from telephony.b2bua.settings import Target
from telephony.errors import SipParseError
from telephony.sip.message import Response
from telephony.sip.name_addr import NameAddr

Ask = Callable[[NameAddr, float], Sequence[Target]]
"""From a Contact and now, to whom to ring for it; nobody if it is a stranger's."""

MOST: Final = 5
"""Times that one call is sent elsewhere."""


class Diversions:
    """The redirections of one attempt."""

    def __init__(self, ask: Ask) -> None:
        """None yet."""
        self._ask = ask
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Whom to ring in the place of the leg that gave this response; nobody as a rule."""
        if not 300 <= response.status < 400 or self._count >= MOST:
            return ()
        known = {leg.target.uri for leg in rung if leg.target is not None}
        for contact in _contacts(response):
            found = tuple(target for target in self._ask(contact, now) if target.uri not in known)
            if found:
                self._count += 1
                return found
        return ()


def _contacts(response: Response) -> Sequence[NameAddr]:
    try:
        return response.contacts
    except SipParseError:
        return ()
