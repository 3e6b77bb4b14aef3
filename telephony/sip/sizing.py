"""The choice of transport for a long request (RFC 3261 18.1.1): avoid fragmented datagrams.

A peer that refuses TCP gets datagrams after all, and only datagrams for the next ten minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from telephony.sip.compose import Draft
from telephony.sip.core import Core, address_of
from telephony.sip.events import Address
from telephony.sip.message import Request

LONGEST_DATAGRAM: Final = 1300
"""In bytes: the limit where the path's MTU is unknown."""
_REMEMBERED: Final = 600.0
"""The time in seconds for which a peer that refused TCP gets no TCP."""
_MOST_REMEMBERED: Final = 1000


def by_stream(core: Core, draft: Draft, request: Request, now: float) -> Draft | None:
    """Return the same request for TCP if it is too long for UDP; None to send it unchanged.

    It is sent unchanged where we have no TCP, where the peer refused TCP, and where the peer's real
    address differs from the one it names: a connection from outside cannot pass its NAT.
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
    """Send this peer only datagrams for the next ten minutes."""
    if len(core.datagrams_only) >= _MOST_REMEMBERED:
        core.datagrams_only.clear()
    core.datagrams_only[destination] = now + _REMEMBERED
