"""The commands that a call gives to the media relay (`telephony.aio.relay`, or a fake in tests).

The call decides, and the media plane moves the packets. A leg id is unique in a process.
"""

from typing import Protocol, runtime_checkable

from telephony.sdp import LocalMedia, RemoteMedia


class MediaPlane(Protocol):
    """Binds ports, and relays media between two joined legs."""

    def open(self, leg_id: str, *, ipv6: bool, urgent: bool) -> LocalMedia:
        """Bind a pair of RTP and RTCP ports for a leg; `urgent` allows reserved ports.

        A media plane with only one address family uses it whatever `ipv6` says.

        Raises:
            NoPortsError: No pair in the port range is free.
        """

    def reopen(self, leg_id: str, local: LocalMedia) -> LocalMedia:
        """Bind the pair of ports in `local`, which the leg had before a restart.

        Raises:
            NoPortsError: The pair is in use, or outside the port range.
        """

    def configure(self, leg_id: str, remote: RemoteMedia) -> None:
        """Set, or change, the address for the leg's media and the directions of the media."""

    def join(self, a: str, b: str, a_to_b: dict[int, int], b_to_a: dict[int, int]) -> None:
        """Relay media between `a` and `b` with their payload types; earlier joins end."""

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
