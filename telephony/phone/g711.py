"""Conversion between G.711 and 16-bit linear PCM (little-endian, mono, 8 kHz) by tables."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from functools import cache
from typing import Final

from telephony.rtp.tone import to_pcma, to_pcmu

SILENCE: Final[dict[str, int]] = {"pcmu": 0xFF, "pcma": 0xD5}
"""The byte of a sample with the value zero, by the encoding name in lower case."""

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
    """Decode G.711 (`pcmu` or `pcma`) to 16-bit PCM: two bytes for each one."""
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
