"""The base class of all events, and the events about connections and dropped messages."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.transport.address import Address


@dataclass(frozen=True, slots=True)
class SipEvent:
    """The base class of all events that the SIP core reports to the application."""


@dataclass(frozen=True, slots=True)
class ConnectionOffered(SipEvent):
    """A peer allows us to send requests over the connection that it opened (`alias`, RFC 5923).

    The transport checks the peer's certificate and decides whether to send requests over this
    connection.
    """

    source: Address
    """The peer's address, with the id of the connection that the peer opened (`Address.flow`)."""
    port: int
    """The port in the peer's Via. Our requests to this port of the peer may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost(SipEvent):
    """The connection to `peer` is lost, or could not be opened.

    If the connection could not be opened (`Endpoint.unreachable`), requests that have received no
    response fail with 503. If the connection is lost (`Endpoint.connection_lost`), these requests
    are sent again.
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped(SipEvent):
    """The core has dropped a message from `source`.

    `Endpoint.dropped` also counts this message.
    """

    source: Address
    why: str
    """The reason as a fixed phrase. It contains no part of the message."""
