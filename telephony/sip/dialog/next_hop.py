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

    The fallback address is used if no connection to the destination is open.

    If `send_to` is not None, the destination is `send_to`. Otherwise it is `peer`, or the address
    in `target` if both of these are true:

    - `target` contains an IP address that we can reach;
    - its transport is UDP, or `peer` has another IP address or another transport. (With TCP or TLS
      and the same IP address, the existing connection to `peer` is used.)

    Args:
        addresses: Our local addresses.
        target: The URI of the first route, or the remote target if there is no route.
        peer: The address from which the dialog's INVITE came, or to which we sent the INVITE.
        send_to: The address that the application has set for all requests, or None.
        local: Our local address in the dialog.
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
    """Return the address to which we can connect if the peer's connection to us is closed.

    The peer opened this connection from the address `known`. The result has the host of `known` and
    the port of the URI `target`. Return None if the peer opened no connection from `known`, or if
    the host in `target` is an IP address.
    """
    if not known.flow or is_literal(target.host):
        return None
    port = target.port or DEFAULT_PORTS[known.transport]
    name = target.host if known.transport == "TLS" else ""
    return Address(known.host, port, known.transport, name)
