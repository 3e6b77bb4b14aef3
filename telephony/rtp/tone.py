"""The ringing tone of the United Kingdom as G.711, for a caller who waits.

It consists of 400 Hz and 450 Hz at the same time: 0.4 s on, 0.2 s off, 0.4 s on, 2 s off (BT SIN
350). Both frequencies have a whole number of periods in 20 ms. So one packet of tone and one packet
of silence are enough.
"""

import math

PACKET_SAMPLES = 160
"""The number of samples in one packet: 20 ms at 8000 Hz."""
CYCLE_PACKETS = 150
"""The number of packets in one cycle of the tone: 3 s."""
_AMPLITUDE = 4_000
"""The amplitude of each of the two frequencies, in units of a 16-bit sample."""


def is_sounding(packet: int) -> bool:
    """Return whether a packet holds tone; if not, it holds silence.

    `packet` is the packet's number, counted from 0 at the start of the tone.
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
"""The RTP payload of a packet of tone and of a packet of silence, by encoding name in lower case.
"""
