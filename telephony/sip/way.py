"""The path of a request within a dialog to its peer (RFC 3261 12.2.1.1, 18.1.1)."""

from __future__ import annotations

from telephony.sip.core import Core, Local, Way, address_of
from telephony.sip.events import Address
from telephony.sip.transport import DEFAULT_PORTS, is_literal
from telephony.sip.uri import Uri


def way_to(core: Core, next_hop: Uri, peer: Address, pinned: Address | None, at: Local) -> Way:
    """Return the destination, local address and fallback of a dialog's next request.

    If `pinned` (without it, `peer`) is a connection and the next hop has the same host and
    transport, the request uses the connection. Otherwise, without `pinned`, it goes to the next hop
    if that is an IP address that we can reach. In all other cases it goes to `pinned` or `peer`.

    Args:
        core: Holds our local addresses.
        next_hop: The first route or the remote target.
        peer: The address from which the dialog's INVITE came, or to which it went.
        pinned: The address that the dialog's owner has set for every request, or None.
        at: Our address in the dialog.
    """
    known = pinned or peer
    named = _reachable(core, next_hop, at)
    same_peer = named is not None and (named.host, named.transport) == (
        known.host,
        known.transport,
    )
    if named is not None and same_peer and known.reliable:
        return _way(core, known, at, named._replace(name=known.name))
    if named is not None and pinned is None:
        return _way(core, named, at)
    return _way(core, known, at, _behind(known, next_hop))


def _behind(known: Address, next_hop: Uri) -> Address | None:
    """Return a fallback if the peer opened the connection and its URI has a host name, or None."""
    if not known.flow or is_literal(next_hop.host):
        return None
    port = next_hop.port or DEFAULT_PORTS[known.transport]
    name = next_hop.host if known.transport == "TLS" else ""
    return Address(known.host, port, known.transport, name)


def _reachable(core: Core, next_hop: Uri, at: Local) -> Address | None:
    named = address_of(next_hop)
    return None if named is None or core.local_for(named, at) is None else named


def _way(core: Core, there: Address, at: Local, otherwise: Address | None = None) -> Way:
    return Way(there, core.local_for(there, at) or at, otherwise)
