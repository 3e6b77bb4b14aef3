"""The `MediaPlane` protocol: the commands that a call gives to the media relay.

The call makes the decisions, and the media plane moves the packets. `telephony.aio.relay` is the
real media plane. The tests use a fake media plane. A leg id is unique in a process.
"""

from typing import Protocol, runtime_checkable

from telephony.sdp import LocalMedia, RemoteMedia


class MediaPlane(Protocol):
    """Binds ports, and relays media between two joined legs."""

    def open(self, leg_id: str, *, ipv6: bool, urgent: bool) -> LocalMedia:
        """Bind a pair of RTP and RTCP ports for a leg.

        If `ipv6` is true, the ports have an IPv6 address. If not, they have an IPv4 address. But a
        media plane with only one address family uses that family for all legs. If `urgent` is true,
        the leg may have ports that are reserved for urgent calls.

        Raises:
            NoPortsError: No pair in the port range is free.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the pair of ports in `local`, which the leg had before a restart.

        Raises:
            NoPortsError: The pair is in use, or outside the port range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Set the address to which the leg's media is sent, and the directions of the media.

        Both are in `remote`. Call this method again after each change of the address or directions.
        """

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay media between the legs `a` and `b`.

        `a_to_b` has, for each payload type from the peer of `a`, the payload type that the peer of
        `b` expects. `b_to_a` has the same for the opposite direction. If `a` or `b` was joined with
        another leg before, that join ends.
        """

    def is_own_port(self, host: str, port: int) -> bool:
        """Return whether this is one of our own addresses with a port of our media range."""

    def close(self, leg_id: str) -> None:
        """Free the leg's ports."""


@runtime_checkable
class RingbackPlane(Protocol):
    """A media plane that can also play the ringing tone to a caller who waits."""

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's party until `stop_ringback` is called."""

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone for the leg's party."""
