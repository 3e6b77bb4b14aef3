"""Which transport a long request takes (RFC 3261 18.1.1): a datagram must not be cut on its way.

A peer that refuses TCP gets datagrams after all, and for a while nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from telephony.sip.compose import Draft
from telephony.sip.core import Core, address_of
from telephony.sip.events import Address
from telephony.sip.message import Request

LONGEST_DATAGRAM: Final = 1300
"""Bytes, where the path's MTU is unknown."""
_REMEMBERED: Final = 600.0
"""Seconds for which a peer that refused TCP is not asked again."""
_MOST_REMEMBERED: Final = 1000


def by_stream(core: Core, draft: Draft, request: Request, now: float) -> Draft | None:
    """The same request over TCP, if it is too long for UDP; None if it goes as it is.

    It does where we have no TCP, where the peer refused it, and where the peer is not at the
    address that it names: no connection gets through address translation from outside.
    """
    there = draft.destination
    if there.reliable or core.datagrams_only.get(there, now) > now:
        return None
    next_hop = draft.routes[0].uri if draft.routes else draft.uri
    named = address_of(next_hop)
    if named is not None and named != there:
        return None
    over_tcp = there._replace(transport="TCP")
    local = core.local_for(over_tcp, draft.local)
    if local is None or len(bytes(request)) <= LONGEST_DATAGRAM:
        return None
    return replace(draft, destination=over_tcp, local=local, otherwise=None)


def remember_refusal(core: Core, destination: Address, now: float) -> None:
    """Send this peer datagrams alone, for ten minutes."""
    if len(core.datagrams_only) >= _MOST_REMEMBERED:
        core.datagrams_only.clear()
    core.datagrams_only[destination] = now + _REMEMBERED
