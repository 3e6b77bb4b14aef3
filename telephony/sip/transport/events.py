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

    The transport checks the peer's certificate and decides whether to do so.
    """

    source: Address
    """The peer's address, with the id of the connection that the peer opened (`Address.flow`)."""
    port: int
    """The port in the peer's Via: requests to it may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost(SipEvent):
    """The connection to `peer` is lost, or could not be opened.

    Requests without a response fail with 503 if it could not be opened (`Endpoint.unreachable`),
    and are sent again if it is lost (`Endpoint.connection_lost`).
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped(SipEvent):
    """The core has dropped, and counted (`Endpoint.dropped`), a message from `source`."""

    source: Address
    why: str
    """The reason as a fixed phrase. It contains no part of the message."""
