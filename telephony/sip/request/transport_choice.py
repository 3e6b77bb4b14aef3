"""The choice of transport for a long request (RFC 3261 18.1.1): avoid fragmented datagrams.

A peer that refuses TCP gets datagrams after all; `TcpRefusals` remembers it for ten minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from telephony.sip.message.messages import Request
from telephony.sip.request.compose import Draft
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import address_of

LONGEST_DATAGRAM: Final = 1300
"""In bytes: the limit where the path's MTU is unknown."""


def over_tcp(core: Core, draft: Draft, request: Request, now: float) -> Draft | None:
    """Return the same request for TCP if it is too long for UDP; None to send it unchanged.

    It is sent unchanged where we have no TCP, where the peer refused TCP, and where the peer's real
    address differs from the one it names: a connection from outside cannot pass its NAT.
    """
    destination = draft.destination
    if destination.reliable or core.tcp_refusals.has(destination, now):
        return None
    target = draft.routes[0].uri if draft.routes else draft.uri
    named = address_of(target)
    if named is not None and named != destination:
        return None
    by_tcp = destination._replace(transport="TCP")
    local = core.local_addresses.reaching(by_tcp, draft.local)
    if local is None or len(bytes(request)) <= LONGEST_DATAGRAM:
        return None
    return replace(draft, destination=by_tcp, local=local, fallback=None)
