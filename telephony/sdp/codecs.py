"""Codecs as SDP describes them: their identity, the static payload types, and codec tables.

The identity is the encoding name (in any case), the clock rate and the number of channels (RFC 8866
section 6.6). A codec table maps payload types to codecs. Of the static payload types (RFC 3551
section 6), only those that telephones use are here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

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
"""The encoding names of the codecs that may stay in an offer, unless others are configured.

The finaliser can decode the audio codecs. The other two are for DTMF digits and comfort noise.
"""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec of an m= line, without its payload type.

    `clock` is the RTP clock in Hz (8000 for G722, RFC 3551 section 4.5.2). `fmtp` is the text after
    the payload type in a=fmtp; "" without one.
    """

    name: str
    clock: int
    channels: int = 1
    fmtp: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        """The codec's name in lower case, its clock in Hz and its channels, without its fmtp."""
        return self.name.lower(), self.clock, self.channels

    @property
    def is_event(self) -> bool:
        """True for telephone-event (RFC 4733): DTMF digits."""
        return self.name.lower() == TELEPHONE_EVENT

    @property
    def is_audio(self) -> bool:
        """True if the codec is for speech, and not for DTMF digits or comfort noise."""
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
"""Static payload types, which need no a=rtpmap line."""


def find_payload(table: Mapping[int, Codec], codec: Codec) -> int | None:
    """Return the payload type of `codec` in `table`, or None. Prefer an entry with the same fmtp.

    A table can have a codec several times with different fmtp: two telephone-event lines with one
    clock, or two modes of one codec.
    """
    wanted = codec.identity
    found = [number for number, other in table.items() if other.identity == wanted]
    same = [number for number in found if table[number].fmtp == codec.fmtp]
    return next(iter(same or found), None)


def payload_map(sends: Mapping[int, Codec], accepts: Mapping[int, Codec]) -> dict[int, int]:
    """Return {sender's payload type: receiver's} for the codecs that the receiver accepts.

    `sends` is the sender's `RemoteMedia.payloads`, `accepts` the receiver's `RemoteMedia.accepts`.
    """
    found = {number: find_payload(accepts, codec) for number, codec in sends.items()}
    return {number: other for number, other in found.items() if other is not None}


def renumbered(table: Mapping[int, Codec], known: Mapping[int, Codec]) -> dict[int, int]:
    """Return {payload type in `table`: new payload type}, without a conflict with `known`.

    A payload type in use must not change its codec (RFC 3264 section 8.3.2). A known codec gets its
    payload type from `known`. Another codec keeps its payload type if that is free, or gets a free
    dynamic one. If no payload type is free, the codec is left out.
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
    """Return the codec table as plain values: {payload type: (name, clock, channels, fmtp)}."""
    return {n: (c.name, c.clock, c.channels, c.fmtp) for n, c in table.items()}


def is_allowed(codec: Codec, allowed: Iterable[str]) -> bool:
    """Return whether the codec's name is in `allowed`, without regard to case."""
    return codec.name.lower() in _lower(tuple(allowed))


@lru_cache(maxsize=16)
def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
