"""Comfort noise: makes the silence that a sender describes audible.

RFC 3389 has a payload for this, with the noise's level and, optionally, the shape of its spectrum.
G.729 has a frame for it (Annex B), of which only the level is used. The noise depends only on the
position in the track, so that it is the same wherever it is cut.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recording.audio.codecs import NARROW, WIDE, PayloadCodec, Samples, clip

_FULL: Final = 32767.0
"""0 dBov: the level of the loudest square wave (RFC 3389, section 3)."""
_PERIOD_S: Final = 4
_MOST_ORDER: Final = 16


_SID_BYTES: Final = 2
_FRAME_BYTES: Final = 10
_FULL_DB: Final = 90.3


def announced_noise(codec: PayloadCodec, rtp_payload: bytes) -> bytes:
    """Return the silence that a packet announces, as an RFC 3389 payload; empty: none."""
    if codec.is_noise:
        return rtp_payload
    if len(rtp_payload) % _FRAME_BYTES == _SID_BYTES and codec.name.upper() == "G729":
        return _sid_level(rtp_payload[-_SID_BYTES:])
    return b""


def is_silence(codec: PayloadCodec, rtp_payload: bytes) -> bool:
    """Return whether a packet holds nothing that could be decoded."""
    if not rtp_payload or codec.carries_no_speech:
        return True
    return len(rtp_payload) == _SID_BYTES and codec.name.upper() == "G729"


def _sid_level(frame: bytes) -> bytes:
    """Return the level in a G.729 silence descriptor, as an RFC 3389 payload.

    It is the five bits before the last (RFC 3551, section 4.5.6). They count steps of 4 dB, from
    the seventh on of 2 dB, of an excitation that results in twice its level (ITU-T G.729, Annex
    B.4.2.1).
    """
    index = int.from_bytes(frame, "big") >> 1 & 0x1F
    level_db = min(4 * index - 8, 2 * index + 4) + 6
    return bytes([round(_FULL_DB - level_db)])


class Noise:
    """The noise that one payload describes, at one sample rate."""

    def __init__(self, rtp_payload: bytes, clock: int, rate: int) -> None:
        """Compute the noise.

        `clock` is the rate at which the sender sampled it, in Hz; there is no noise above half of
        it.
        """
        heard_at = min(max(clock, NARROW), 3 * WIDE)
        self._table = _noise_table(bytes(rtp_payload[: 1 + _MOST_ORDER]), heard_at, rate)

    def samples(self, start: int, count: int) -> Samples:
        """Return `count` samples from position `start` of the track."""
        return self._table[np.arange(start, start + count) % len(self._table)]


@lru_cache(maxsize=16)
def _noise_table(rtp_payload: bytes, clock: int, rate: int) -> Samples:
    """Return some seconds of noise that repeat without a seam.

    The phases are random, the magnitudes are those that the payload gives.
    """
    phases = _phases(rate)
    shape = np.zeros(len(phases))
    heard = _envelope(rtp_payload[1:], _PERIOD_S * clock)[: len(shape)]
    shape[1 : len(heard)] = heard[1:]
    sound = np.fft.irfft(shape * phases, _PERIOD_S * rate)
    level = _FULL * 10 ** (-(rtp_payload[0] & 0x7F) / 20)
    return clip((sound * (level / np.sqrt(np.mean(sound**2)))).astype(np.float32))


@lru_cache(maxsize=2)
def _phases(rate: int) -> NDArray[np.complex128]:
    """Return a random phase for each frequency of the table, from 0 to half the rate."""
    count = _PERIOD_S * rate // 2 + 1
    phases = np.random.default_rng(3389).uniform(0, 2 * np.pi, count)
    return np.asarray(np.exp(1j * phases), dtype=np.complex128)


def _envelope(quantised: bytes, points: int) -> NDArray[np.float64]:
    """Return the magnitudes of an all-pole filter, from 0 to half the sample rate.

    Its reflection coefficients are bytes, 127 for zero (RFC 3389, section 3.2). Levinson's
    recursion leads from one order to the next. `points` counts those of the whole circle.
    """
    filter_ = np.ones(1)
    for byte in quantised:
        k = np.clip((byte - 127) / 128, -0.99, 0.99)
        longer = np.append(filter_, 0.0)
        filter_ = longer + k * longer[::-1]
    powers = np.fft.rfft(filter_, points)
    return np.asarray(1 / np.maximum(np.abs(powers), 1e-3), dtype=np.float64)
