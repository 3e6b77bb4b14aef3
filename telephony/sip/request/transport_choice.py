"""The choice of TCP for a long request, to avoid fragmented datagrams (RFC 3261 section 18.1.1).

If the peer refuses TCP, the request is sent by UDP; `TcpRefusals` remembers this for ten minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from telephony.sip.message.messages import Request
from telephony.sip.request.compose import Draft
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import address_of

LONGEST_DATAGRAM: Final = 1300
"""The longest request sent as a datagram, in bytes: the RFC's limit for an unknown MTU."""


def over_tcp(core: Core, draft: Draft, request: Request, now: float) -> Draft | None:
    """Return the draft changed to TCP if the request is too long for UDP; else None.

    None also if we have no TCP address, the peer has refused TCP, or it is behind NAT (its URI has
    another address), so that we cannot open a connection.
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
