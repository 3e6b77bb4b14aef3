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
"""Encoding names that offers are cut to: what the finaliser can decode, plus events and CN."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoding of an m-line, without its payload type.

    `clock` is the RTP clock in Hz (8000 for G722, RFC 3551 section 4.5.2); `fmtp` the text after
    the payload type of the a=fmtp line, empty where there is none.
    """

    name: str
    clock: int
    channels: int = 1
    fmtp: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        """What makes two codecs the same: name without case, clock, channels."""
        return self.name.lower(), self.clock, self.channels

    @property
    def is_event(self) -> bool:
        """Whether its packets carry key presses (RFC 4733), which are never recorded."""
        return self.name.lower() == TELEPHONE_EVENT

    @property
    def is_audio(self) -> bool:
        """Whether a conversation can be held in it: neither events nor comfort noise."""
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
    """The payload type of `codec` in `table`, the one with the same fmtp where there are several.

    Several telephone-event lines of one clock, or two modes of one codec, differ in fmtp alone.
    """
    found = [number for number, other in table.items() if other.identity == codec.identity]
    same = [number for number in found if table[number].fmtp == codec.fmtp]
    return next(iter(same or found), None)


def payload_map(sends: Mapping[int, Codec], accepts: Mapping[int, Codec]) -> dict[int, int]:
    """Which payload type a packet gets on its way from one peer to the other.

    Args:
        sends: what the sending peer may use (`RemoteMedia.payloads`).
        accepts: what the receiving peer announced (`RemoteMedia.accepts`).

    Returns:
        Sent type to accepted type, same codec; what the receiver does not take is left out.
    """
    found = {number: find_payload(accepts, codec) for number, codec in sends.items()}
    return {number: other for number, other in found.items() if other is not None}


def renumbered(table: Mapping[int, Codec], known: Mapping[int, Codec]) -> dict[int, int]:
    """New payload types for `table` that give none of `known` another meaning.

    A codec has the number that it has in `known`, else its own, else a free dynamic one
    (RFC 3264 section 8.3.2).

    Returns:
        Numbers of `table` to new ones, all different; what finds none free is left out.
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
    """The table as plain rows for a recorder: {payload type: (name, clock, channels, fmtp)}."""
    return {n: (c.name, c.clock, c.channels, c.fmtp) for n, c in table.items()}


def is_allowed(codec: Codec, allowed: Iterable[str]) -> bool:
    """Whether the codec's name is among `allowed`, without regard to case."""
    wanted = codec.name.lower()
    return any(name.lower() == wanted for name in allowed)
