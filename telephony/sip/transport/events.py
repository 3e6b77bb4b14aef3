"""The base of all events, and the events about connections and dropped messages."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.sip.transport.address import Address


@dataclass(frozen=True, slots=True)
class SipEvent:
    """The base of all events that the SIP core reports to the application."""


@dataclass(frozen=True, slots=True)
class ConnectionOffered(SipEvent):
    """A peer lets us send requests over the connection that it opened (`alias`, RFC 5923).

    The transport decides whether the peer may do so, from the certificate that the peer showed.
    """

    source: Address
    """The connection."""
    port: int
    """The port in the peer's Via: requests to this port may use the connection."""


@dataclass(frozen=True, slots=True)
class PeerLost(SipEvent):
    """The connection to `peer` is lost, or could not be made.

    Requests there without a response have failed with 503, or are sent again
    (`Endpoint.connection_lost`).
    """

    peer: Address


@dataclass(frozen=True, slots=True)
class MessageDropped(SipEvent):
    """A message that the core dropped; it is only counted (`Endpoint.dropped`)."""

    source: Address
    why: str
    """A fixed phrase, never a part of the message."""
