"""The two parties of a dialog, and the destination of our requests (RFC 3261 12.1 and 12.2.1.1).

The module dialog.py decides which request may be sent, and when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from telephony.errors import SipParseError
from telephony.sip.compose import WITH_CONTACT, Draft, HeaderList
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import SIP_SCHEMES, Uri
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import (
    DEFAULT_PORTS,
    Address,
    LocalAddress,
    LocalAddresses,
    address_of,
    is_literal,
    literal,
)
from telephony.sip.transport.outgoing import NextHop


def target_of(message: Request | Response) -> Uri | None:
    """Return the first sip or sips URI among the Contacts of the message, or None.

    Requests cannot be sent to tel or mailto. If any Contact cannot be parsed, return None.
    """
    try:
        contacts = message.contacts
    except SipParseError:
        return None
    return next((each.uri for each in contacts if each.uri.scheme in SIP_SCHEMES), None)


def path_hosts(request: Request) -> frozenset[str]:
    """Return the IP addresses in the Via fields of a received request, `received` included."""
    try:
        vias = request.vias
    except SipParseError:
        return frozenset()
    named = (host for via in vias for host in (via.host, via.received) if host)
    return frozenset(found for host in named if (found := literal(host)) is not None)


def wants_sips(request: Request) -> bool:
    """Return whether our Contact in responses must be a sips URI (RFC 3261 section 12.1.1)."""
    routes = recorded_routes(request)
    next_hop = routes[0].uri if routes else target_of(request)
    return "sips" in {request.uri.scheme, next_hop.scheme if next_hop else ""}


def recorded_routes(message: Request | Response) -> list[NameAddr]:
    """Return the Record-Route entries, from top to bottom; empty if one cannot be parsed."""
    try:
        return [NameAddr.parse(route) for route in message.headers.get_list("Record-Route")]
    except SipParseError:
        return []


def next_hop(
    addresses: LocalAddresses,
    target: Uri,
    *,
    peer: Address,
    send_to: Address | None,
    local: LocalAddress,
) -> NextHop:
    """Return the destination, local address and fallback address of a dialog's next request.

    `target` is the first route or, without a route, the remote target. If `send_to` is not None, it
    is the destination. Otherwise the destination is the IP address in `target`, if we can reach it,
    or else `peer`. If `target` has the IP address of `peer` and the same transport (TCP or TLS),
    the destination is `peer`, so that the open connection is used. The fallback is used if no
    connection to the destination is open.
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
    """Return the address to connect to if the connection that the peer opened is closed.

    It is the host of `known` with the port of `target`; None if the peer opened no connection, or
    if the host in `target` is an IP address.
    """
    if not known.flow or is_literal(target.host):
        return None
    port = target.port or DEFAULT_PORTS[known.transport]
    name = target.host if known.transport == "TLS" else ""
    return Address(known.host, port, known.transport, name)


class DialogId(NamedTuple):
    """The Call-ID and the two tags, which identify a dialog (RFC 3261 section 12)."""

    call_id: str
    local_tag: str
    remote_tag: str


class DialogAddresses:
    """The two parties of a dialog and their addresses.

    Attributes (read-only, except `send_to`):
        local: Our name, URI and tag: the From of our requests, and the To of the peer's.
        remote: The peer's name, URI and tag.
        remote_target: The peer's Contact URI, which a later INVITE, UPDATE or response can change.
        routes: The route set, in the sequence of the Route header fields in our requests.
        local_address: The address of our socket for this dialog.
        peer: The peer's address, at first the source of its INVITE or the target of our INVITE.
        send_to: The address that the application sets for all our requests, for example that of a
            phone behind NAT. If it is None, `next_hop` chooses between `peer` and the URI of the
            first route or `remote_target`.
        contact: Our Contact in the requests and responses of this dialog.
        path_hosts: The IP addresses in the Via fields of the peer's INVITE; empty if we sent it.
    """

    def __init__(
        self,
        core: Core,
        *,
        call_id: str,
        local: NameAddr,
        remote: NameAddr,
        remote_target: Uri,
        routes: Iterable[NameAddr],
        local_address: LocalAddress,
        peer: Address,
        contact: str,
    ) -> None:
        self.id = DialogId(call_id, local.tag or "", remote.tag or "")
        self.local = local
        self.remote = remote
        self.remote_target = remote_target
        self.routes = tuple(routes)
        self.local_address: Address = local_address.address
        self.peer = peer
        self.send_to: Address | None = None
        self.contact = contact
        self.path_hosts: frozenset[str] = frozenset()
        self._core = core
        self._local_address = local_address
        self._hop: tuple[tuple[Uri, Address, Address | None, int], NextHop] | None = None
        """The values from which the next hop was last computed, and this next hop."""

    @property
    def call_id(self) -> str:
        """The dialog's Call-ID."""
        return self.id.call_id

    @property
    def destination(self) -> Address:
        """The address to which our next request in the dialog is sent."""
        return self._next_hop().destination

    def is_known_host(self, host: str) -> bool:
        """Return whether the peer may send requests of this dialog from the IP address `host`.

        `host` must be the host of `peer` or `send_to`, or be named by the peer's Contact, the route
        set or the Via fields of the peer's INVITE.
        """
        uris = (self.remote_target, *(route.uri for route in self.routes))
        return (
            host == self.peer.host
            or (self.send_to is not None and host == self.send_to.host)
            or host in self.path_hosts
            or any(literal(uri.host) == host for uri in uris)
        )

    def follow(self, peer: Address) -> None:
        """Use `peer` as the address of the peer, which has proved that it moved there.

        If the application has set `send_to`, `send_to` becomes `peer` too.
        """
        self.peer = peer
        if self.send_to is not None:
            self.send_to = peer

    def _draft(self, method: str, number: int, headers: HeaderList, body: bytes) -> Draft:
        given = headers
        if method in WITH_CONTACT and not any(name.lower() == "contact" for name, _ in headers):
            given = (("Contact", self.contact), *headers)
        hop = self._next_hop()
        return Draft(
            method=method,
            uri=self.remote_target,
            from_=self.local,
            to=self.remote,
            call_id=self.id.call_id,
            cseq=number,
            destination=hop.destination,
            local=hop.local,
            routes=self.routes,
            headers=given,
            body=body,
            fallback=hop.fallback,
        )

    def _next_hop(self) -> NextHop:
        addresses = self._core.local_addresses
        target = self.routes[0].uri if self.routes else self.remote_target
        values = target, self.peer, self.send_to, len(addresses)
        if self._hop is None or self._hop[0] != values:
            hop = next_hop(
                addresses, target, peer=self.peer, send_to=self.send_to, local=self._local_address
            )
            self._hop = values, hop
        return self._hop[1]
