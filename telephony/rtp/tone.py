"""The ringing tone of the United Kingdom as G.711, for a caller who waits.

400 Hz and 450 Hz together: 0.4 s on, 0.2 s off, 0.4 s on, 2 s off (BT SIN 350). 20 ms are whole
periods of each frequency, so all packets with tone are equal, and so are those with silence.
"""

import math

PACKET_SAMPLES = 160
"""20 ms at 8000 Hz."""
CYCLE_PACKETS = 150
"""One cycle of the tone: 3 s."""
_AMPLITUDE = 4_000
"""Of each of the two frequencies, as the value of a 16-bit sample."""


def is_sounding(packet: int) -> bool:
    """Return True if the packet with this index (from 0) contains tone, and not silence."""
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
"""The RTP payloads of a packet of tone and one of silence, by encoding name in lower case."""
