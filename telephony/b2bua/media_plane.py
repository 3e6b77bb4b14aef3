"""The media relay as a call sees it: the `MediaPlane` protocol.

The call decides, and the plane moves packets. `telephony.aio.relay` is the real plane; the tests
have a fake one. Leg ids are unique over all calls of a process. Directions are seen from the plane:
`a_to_b` maps a payload type received from `a` to the one sent to `b`.
"""

from typing import Protocol, runtime_checkable

from telephony.sdp import LocalMedia, RemoteMedia


class MediaPlane(Protocol):
    """Binds ports, and relays media between two joined legs."""

    def open(self, leg_id: str, *, ipv6: bool) -> LocalMedia:
        """Bind a pair of RTP and RTCP ports for a leg, of this family if the plane has both.

        Raises:
            NoPortsError: No pair in the port range is free.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the same pair of ports that the leg had in an earlier process.

        Raises:
            NoPortsError: The pair is in use, or outside the port range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Set where the leg's party receives and which way media may flow; can be repeated."""

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay between two legs; this replaces an earlier join of either leg."""

    def separate(self, leg_id: str) -> None:
        """Stop relaying from and to the leg; its ports stay open."""

    def close(self, leg_id: str) -> None:
        """Free the leg's ports."""


@runtime_checkable
class RingbackPlane(Protocol):
    """A plane that can also play the ringing tone, for a caller who waits."""

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's party until `stop_ringback`."""

    def stop_ringback(self, leg_id: str) -> None:
        """Stop the ringing tone."""
