"""The next hop of a request within a dialog (RFC 3261 sections 12.2.1.1 and 18.1.1)."""

from __future__ import annotations

from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import DEFAULT_PORTS, Address, address_of, is_literal
from telephony.sip.transport.local_addresses import LocalAddress, LocalAddresses
from telephony.sip.transport.outgoing import NextHop


def next_hop(
    addresses: LocalAddresses,
    target: Uri,
    *,
    peer: Address,
    send_to: Address | None,
    local: LocalAddress,
) -> NextHop:
    """Return the destination, local address and fallback address of a dialog's next request.

    The fallback is used if no connection to the destination is open. The destination is `send_to`.
    If that is None, it is `peer`, or the address in `target` if both of these are true:

    - `target`, the first route or else the remote target, has an IP address that we can reach;
    - its transport is UDP, or `peer` has another IP address or transport. (With TCP or TLS and the
      same IP address, the existing connection to `peer` is used.)
    """
    known = send_to or peer
    named = address_of(target)
    if named is not None and addresses.reaching(named, local) is None:
        named = None
    same_peer = named is not None and (named.host, named.transport) == (
        known.host,
        known.transport,
    )
    if named is not None and same_peer and known.reliable:
        destination, fallback = known, named._replace(name=known.name)
    elif named is not None and send_to is None:
        destination, fallback = named, None
    else:
        destination, fallback = known, _connect_fallback(known, target)
    return NextHop(destination, addresses.reaching(destination, local) or local, fallback)


def _connect_fallback(known: Address, target: Uri) -> Address | None:
    """Return where to connect if the connection that the peer opened from `known` is closed.

    It is the host of `known` with the port of `target`; None if the peer opened no connection, or
    if the host in `target` is an IP address.
    """
    if not known.flow or is_literal(target.host):
        return None
    port = target.port or DEFAULT_PORTS[known.transport]
    name = target.host if known.transport == "TLS" else ""
    return Address(known.host, port, known.transport, name)
