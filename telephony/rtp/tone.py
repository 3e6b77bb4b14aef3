"""The ringing tone of the United Kingdom as G.711, for a caller who waits.

The tone consists of 400 Hz and 450 Hz at the same time: 0.4 s on, 0.2 s off, 0.4 s on, 2 s off (BT
SIN 350). A packet of 20 ms contains a whole number of periods of each frequency. So all packets
with tone are equal, and all packets with silence are equal.
"""

import math

PACKET_SAMPLES = 160
"""The number of samples in one packet: 20 ms at 8000 Hz."""
CYCLE_PACKETS = 150
"""The number of packets in one cycle of the tone: 3 s."""
_AMPLITUDE = 4_000
"""The amplitude of each of the two frequencies, as the value of a 16-bit sample."""


def is_sounding(packet: int) -> bool:
    """Return True if a packet contains tone, and False if it contains silence.

    `packet` is the index of the packet; the tone starts with packet 0.
    """
    place = packet % CYCLE_PACKETS
    return place < 20 or 30 <= place < 50


def to_pcmu(sample: int) -> int:
    """Return a 16-bit sample as µ-law (ITU-T G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def to_pcma(sample: int) -> int:
    """Return a 16-bit sample as A-law (ITU-T G.711)."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = (sample if sample >= 0 else ~sample) >> 3
    exponent = max(magnitude.bit_length() - 5, 0)
    mantissa = magnitude >> max(exponent, 1) & 0x0F
    return (sign | exponent << 4 | mantissa) ^ 0x55


def _samples() -> list[int]:
    return [
        round(_AMPLITUDE * sum(math.sin(2 * math.pi * hz * n / 8000) for hz in (400, 450)))
        for n in range(PACKET_SAMPLES)
    ]


RINGING: dict[str, tuple[bytes, bytes]] = {
    "pcmu": (bytes(map(to_pcmu, _samples())), bytes([to_pcmu(0)]) * PACKET_SAMPLES),
    "pcma": (bytes(map(to_pcma, _samples())), bytes([to_pcma(0)]) * PACKET_SAMPLES),
}
"""A table from an encoding name in lower case to two RTP payloads: a packet of tone and a packet of
silence.
"""
