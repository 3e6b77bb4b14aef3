"""G.711 (ITU-T): conversion from and to 16-bit PCM, and the ringing tone for a waiting caller.

PCM is linear, little-endian, mono, 8 kHz. The ringing tone is that of the United Kingdom: 400 Hz
and 450 Hz together, 0.4 s on, 0.2 s off, 0.4 s on, 2 s off (BT SIN 350). A packet of 20 ms contains
whole periods of both frequencies, so all packets with tone are equal.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable
from functools import cache
from typing import Final

SILENCE: Final[dict[str, int]] = {"pcmu": 0xFF, "pcma": 0xD5}
"""The byte of a sample with the value zero, by the encoding name in lower case."""
PACKET_SAMPLES = 160
"""The samples of one packet: 20 ms at 8000 Hz."""
CYCLE_PACKETS = 150
"""The packets of one cycle of the tone: 3 s."""
_AMPLITUDE = 4_000
"""The amplitude of each of the two frequencies, as the value of a 16-bit sample."""


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


_ENCODERS: Final[dict[str, Callable[[int], int]]] = {"pcmu": to_pcmu, "pcma": to_pcma}


def encode(pcm: bytes, law: str) -> bytes:
    """Encode 16-bit PCM as G.711 (`pcmu` or `pcma`). An odd final byte is ignored."""
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    table = _encoding(law)
    return bytes(table[sample & 0xFFFF] for sample in samples)


def decode(payload: bytes, law: str) -> bytes:
    """Decode G.711 (`pcmu` or `pcma`) to 16-bit PCM: two bytes for each byte of `payload`."""
    table = _decoding(law)
    return b"".join([table[byte] for byte in payload])


@cache
def _encoding(law: str) -> bytes:
    encoder = _ENCODERS[law]
    words = range(0x10000)
    return bytes(encoder(word - 0x10000 if word & 0x8000 else word) for word in words)


@cache
def _decoding(law: str) -> tuple[bytes, ...]:
    decoder = _from_pcmu if law == "pcmu" else _from_pcma
    return tuple(decoder(byte).to_bytes(2, "little", signed=True) for byte in range(256))


def _from_pcmu(byte: int) -> int:
    byte = ~byte & 0xFF
    magnitude = ((((byte & 0x0F) << 3) + 132) << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude


def _from_pcma(byte: int) -> int:
    byte ^= 0x55
    exponent, mantissa = byte >> 4 & 7, (byte & 0x0F) << 4
    magnitude = mantissa + 8 if exponent == 0 else (mantissa + 264) << exponent - 1
    return magnitude if byte & 0x80 else -magnitude


def is_sounding(packet: int) -> bool:
    """Return True if the packet with this index (from 0) contains tone, and not silence."""
    place = packet % CYCLE_PACKETS
    return place < 20 or 30 <= place < 50


def _samples() -> list[int]:
    return [
        round(_AMPLITUDE * sum(math.sin(2 * math.pi * hz * n / 8000) for hz in (400, 450)))
        for n in range(PACKET_SAMPLES)
    ]


RINGING: dict[str, tuple[bytes, bytes]] = {
    "pcmu": (bytes(map(to_pcmu, _samples())), bytes([SILENCE["pcmu"]]) * PACKET_SAMPLES),
    "pcma": (bytes(map(to_pcma, _samples())), bytes([SILENCE["pcma"]]) * PACKET_SAMPLES),
}
"""The RTP payloads of a packet of tone and one of silence, by encoding name in lower case."""
