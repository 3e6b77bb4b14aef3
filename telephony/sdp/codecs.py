"""Codecs as SDP names them: identity, the static payload types, and tables by payload type.

Identity is (encoding name without case, clock rate, channels) as in RFC 8866 section 6.6; the
static assignments are those of RFC 3551 section 6 that telephones use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

TELEPHONE_EVENT = "telephone-event"
COMFORT_NOISE = "CN"

DEFAULT_ALLOWED: tuple[str, ...] = (
    "PCMU",
    "PCMA",
    "G722",
    "opus",
    "G729",
    "L16",
    TELEPHONE_EVENT,
    COMFORT_NOISE,
)
"""Encoding names that stay in an offer: codecs that the finaliser can decode, events and CN."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoding of an m-line, without its payload type.

    `clock` is the RTP clock in Hz (8000 for G722, RFC 3551 section 4.5.2). `fmtp` is the text after
    the payload type in the a=fmtp line, or empty without that line.
    """

    name: str
    clock: int
    channels: int = 1
    fmtp: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        """Name in lower case, clock and channels, which are equal for the same codec."""
        return self.name.lower(), self.clock, self.channels

    @property
    def is_event(self) -> bool:
        """True if its packets carry key presses (RFC 4733), which are never recorded."""
        return self.name.lower() == TELEPHONE_EVENT

    @property
    def is_audio(self) -> bool:
        """True if it can carry a conversation: it is neither for events nor for comfort noise."""
        return self.name.lower() not in {TELEPHONE_EVENT, COMFORT_NOISE.lower()}

    def __str__(self) -> str:
        return f"{self.name}/{self.clock}" + (f"/{self.channels}" if self.channels != 1 else "")


STATIC_PAYLOADS: Mapping[int, Codec] = {
    0: Codec("PCMU", 8000),
    3: Codec("GSM", 8000),
    4: Codec("G723", 8000),
    8: Codec("PCMA", 8000),
    9: Codec("G722", 8000),
    10: Codec("L16", 44100, 2),
    11: Codec("L16", 44100),
    13: Codec("CN", 8000),
    15: Codec("G728", 8000),
    18: Codec("G729", 8000),
}
"""Payload types that need no a=rtpmap."""


def find_payload(table: Mapping[int, Codec], codec: Codec) -> int | None:
    """Return the payload type of `codec` in `table`; None if `table` does not have the codec.

    Of several payload types, one with the same fmtp is preferred: several telephone-event lines of
    one clock, or two modes of one codec, differ only in fmtp.
    """
    found = [number for number, other in table.items() if other.identity == codec.identity]
    same = [number for number in found if table[number].fmtp == codec.fmtp]
    return next(iter(same or found), None)


def payload_map(sends: Mapping[int, Codec], accepts: Mapping[int, Codec]) -> dict[int, int]:
    """Return the payload types that packets get on their way from one peer to the other.

    Args:
        sends: The codecs that the sending peer may use (`RemoteMedia.payloads`).
        accepts: The codecs that the receiving peer announced (`RemoteMedia.accepts`).

    Returns:
        Sent type to accepted type of the same codec; types that the receiver does not take are left
        out.
    """
    found = {number: find_payload(accepts, codec) for number, codec in sends.items()}
    return {number: other for number, other in found.items() if other is not None}


def renumbered(table: Mapping[int, Codec], known: Mapping[int, Codec]) -> dict[int, int]:
    """Return new payload types for `table` that give no number of `known` another meaning.

    A codec gets the number that it has in `known`, else its own, else a free dynamic one (RFC 3264
    section 8.3.2).

    Returns:
        Numbers of `table` to new ones, all different; a codec is left out if no number is free.
    """
    numbers: dict[int, int] = {}
    left = dict(known)
    for number, codec in table.items():
        found = find_payload(left, codec)
        if found is not None:
            numbers[number] = found
            del left[found]
    taken = set(known) | set(numbers.values())
    for number in table:
        if number not in numbers:
            spare = (free for free in range(96, 128) if free not in taken and free not in table)
            fresh = next(spare, None) if number in taken else number
            if fresh is not None:
                numbers[number] = fresh
                taken.add(fresh)
    return {number: numbers[number] for number in table if number in numbers}


def payload_rows(table: Mapping[int, Codec]) -> dict[int, tuple[str, int, int, str]]:
    """Return the table as plain rows: {payload type: (name, clock, channels, fmtp)}."""
    return {n: (c.name, c.clock, c.channels, c.fmtp) for n, c in table.items()}


def is_allowed(codec: Codec, allowed: Iterable[str]) -> bool:
    """Return whether the codec's name is among `allowed`, without regard to case."""
    wanted = codec.name.lower()
    return any(name.lower() == wanted for name in allowed)
