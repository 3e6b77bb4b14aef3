"""Codecs as SDP describes them: their identity, the static payload types, and codec tables.

The identity of a codec consists of its encoding name without regard to case, its clock rate and its
number of channels (RFC 8866 section 6.6). A codec table maps payload types to codecs. RFC 3551
section 6 defines the static payload types; this module has only those that telephones use.
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
"""The encoding names that an offer may contain; we remove all other codecs from an offer.

The finaliser can decode the audio codecs in this tuple. The other two names are for DTMF digits
(telephone-event) and comfort noise (CN).
"""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec of an m-line, without its payload type.

    `clock` is the RTP clock in Hz (8000 for G722, RFC 3551 section 4.5.2). `fmtp` is the text after
    the payload type in the a=fmtp line; it is empty if there is no such line.
    """

    name: str
    clock: int
    channels: int = 1
    fmtp: str = ""

    @property
    def identity(self) -> tuple[str, int, int]:
        """The codec's name in lower case, its clock in Hz and its number of channels.

        Two codecs with the same identity are the same codec, even if their fmtp differs.
        """
        return self.name.lower(), self.clock, self.channels

    @property
    def is_event(self) -> bool:
        """True for telephone-event (RFC 4733): DTMF digits, which are never recorded."""
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
"""A table of the static payload types and their codecs.

A static payload type needs no a=rtpmap line.
"""


def find_payload(table: Mapping[int, Codec], codec: Codec) -> int | None:
    """Return the payload type of `codec` in `table`; None if `table` does not contain the codec.

    If several payload types have this codec, prefer a payload type with the same fmtp. A table can
    contain the same codec several times with different fmtp: for example, two telephone-event lines
    with the same clock, or two modes of one codec.
    """
    found = [number for number, other in table.items() if other.identity == codec.identity]
    same = [number for number in found if table[number].fmtp == codec.fmtp]
    return next(iter(same or found), None)


def payload_map(sends: Mapping[int, Codec], accepts: Mapping[int, Codec]) -> dict[int, int]:
    """Return the table that translates payload types between a sending and a receiving peer.

    Args:
        sends: The codecs that the sending peer may use (`RemoteMedia.payloads`).
        accepts: The codecs that the receiving peer announced (`RemoteMedia.accepts`).

    Returns:
        A table from the sender's payload type to the receiver's payload type. Codecs that the
        receiver does not accept are not in the table.
    """
    found = {number: find_payload(accepts, codec) for number, codec in sends.items()}
    return {number: other for number, other in found.items() if other is not None}


def renumbered(table: Mapping[int, Codec], known: Mapping[int, Codec]) -> dict[int, int]:
    """Return new payload types for the codecs in `table`, without a conflict with `known`.

    `known` is the codec table that is in use. A payload type in `known` must not change its codec
    (RFC 3264 section 8.3.2). A codec that is also in `known` gets its payload type from `known`.
    Any other codec keeps its payload type from `table` if this payload type is free. Otherwise the
    codec gets a free dynamic payload type.

    Returns:
        A table from the payload type in `table` to the new payload type. All new payload types are
        different. A codec for which no payload type is free is not in the result.
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
    """Return whether the codec's name is in `allowed`; upper and lower case make no difference."""
    return codec.name.lower() in _lower(tuple(allowed))


@lru_cache(maxsize=16)
def _lower(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)
