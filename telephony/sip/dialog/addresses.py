"""The two parties of a dialog, and the destination of our requests (RFC 3261 section 12.2.1.1).

The module dialog.py decides which request may be sent, and when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from telephony.sip.dialog.next_hop import next_hop
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri
from telephony.sip.request.compose import WITH_CONTACT, Draft, HeaderList
from telephony.sip.transaction.core import Core
from telephony.sip.transport.address import Address, literal
from telephony.sip.transport.local_addresses import LocalAddress
from telephony.sip.transport.outgoing import NextHop


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
        remote_target: The peer's Contact URI, which an INVITE or UPDATE can change.
        routes: The route set, in the sequence of the Route header fields in our requests.
        local_address: The address of our socket for this dialog.
        peer: The address from which the dialog's INVITE came, or to which we sent it.
        send_to: The application's address for all our requests, as for a phone behind NAT. None
            lets `next_hop` choose between `peer` and the URI of the first route or `remote_target`.
        path_hosts: The hosts in the Via header fields of the peer's INVITE, its path.
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
        """The values of the latest next hop, and this next hop."""

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

        It is the peer's, or one that the peer's Contact, the route set or the INVITE's Via fields
        name.
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

        If all our requests go to an address of the application, they now go to `peer`.
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
        """Return the next hop; it is computed again when one of its values has changed."""
        addresses = self._core.local_addresses
        target = self.routes[0].uri if self.routes else self.remote_target
        values = target, self.peer, self.send_to, len(addresses)
        if self._hop is None or self._hop[0] != values:
            hop = next_hop(
                addresses, target, peer=self.peer, send_to=self.send_to, local=self._local_address
            )
            self._hop = values, hop
        return self._hop[1]
