"""The `MediaPlane` protocol: the commands that a call gives to the media relay.

The call makes the decisions, and the plane moves the packets. `telephony.aio.relay` is the real
plane; the tests have a fake one. Leg ids are unique over all calls of a process. Directions are
seen from the plane: `a_to_b` maps a payload type received from the peer of leg `a` to the one sent
to the peer of leg `b`.
"""

from typing import Protocol, runtime_checkable

from telephony.sdp import LocalMedia, RemoteMedia


class MediaPlane(Protocol):
    """Binds ports, and relays media between two joined legs."""

    def open(self, leg_id: str, *, ipv6: bool) -> LocalMedia:
        """Bind a pair of RTP and RTCP ports for a leg.

        The ports are IPv6 if `ipv6` is true, else IPv4, if the plane supports both families.

        Raises:
            NoPortsError: No pair in the port range is free.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the pair of ports that the leg had in an earlier process; `local` contains it.

        Raises:
            NoPortsError: The pair is in use, or outside the port range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Set the address to which the leg's media goes, and the directions of the media.

        This can be called again when they change.
        """

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay media between the legs `a` and `b`.

        An earlier join of one of these legs with another leg ends.
        """

    def separate(self, leg_id: str) -> None:
        """Stop relaying media from and to the leg; its ports stay open."""

    def close(self, leg_id: str) -> None:
        """Free the leg's ports."""


@runtime_checkable
class RingbackPlane(Protocol):
    """A media plane that can also play the ringing tone to a caller who waits."""

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's party until `stop_ringback`."""

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone for the leg's party."""
