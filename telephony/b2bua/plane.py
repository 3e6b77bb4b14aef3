"""What a call wants of whoever moves its media: the `MediaPlane` protocol.

The call decides, the plane moves packets. `telephony.aio.relay` is the real one; the
tests have a fake. Leg ids are unique over all calls of a process. Directions are seen
from the plane: `a_to_b` maps a payload type received from `a` to the one sent to `b`.
"""

from typing import Protocol, runtime_checkable

from telephony.sdp import LocalMedia, RemoteMedia


class MediaPlane(Protocol):
    """Binds ports, and relays between the two legs that are joined."""

    def open(self, leg_id: str, *, ipv6: bool) -> LocalMedia:
        """Bind an RTP and RTCP pair for a leg, of this family if the plane has both.

        Raises:
            NoPortsError: the range is used up.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the very pair that the leg had in an earlier life of the process.

        Raises:
            NoPortsError: it is in use, or not of the range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Say where the leg's party receives, and which way media may flow; may be repeated."""

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay between two legs, in place of any earlier join of either."""

    def part(self, leg_id: str) -> None:
        """Relay nothing from or to the leg; its ports stay open."""

    def close(self, leg_id: str) -> None:
        """Free the leg's ports."""


@runtime_checkable
class RingbackPlane(Protocol):
    """A plane that can also play: the caller waits while an advisor is rung again."""

    def start_ringback(self, leg_id: str) -> None:
        """Play the ringing tone to the leg's party until told otherwise."""

    def stop_ringback(self, leg_id: str) -> None:
        """Play it no longer."""
