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

    The transport decides whether to accept this offer; the decision depends on the peer's
    certificate.
    """

    source: Address
    """The address of the connection."""
    port: int
    """The port in the peer's Via. A request to this port of the peer may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost(SipEvent):
    """The connection to `peer` is lost, or could not be opened.

    Requests to this peer that had no response have failed with 503 (`Endpoint.unreachable`), or are
    sent again (`Endpoint.connection_lost`).
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped(SipEvent):
    """The core has dropped a message from `source`, and has counted it in `Endpoint.dropped`."""

    source: Address
    why: str
    """The reason as a fixed phrase; it never contains a part of the message."""
