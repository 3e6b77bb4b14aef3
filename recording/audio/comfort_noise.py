"""Comfort noise: computes the background noise that a sender describes for a silence.

An RFC 3389 payload has the level of the noise and, optionally, the shape of its spectrum. A G.729
sender uses a special frame (ITU-T G.729, Annex B), of which only the level is used here. Each
sample of a noise depends only on its position on the track, so the noise may be computed in pieces.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recording.audio.codecs import NARROW, WIDE, PayloadCodec, Samples, clip

_FULL: Final = 32767.0
"""The amplitude of the loudest square wave. Its level is 0 dBov (RFC 3389, section 3)."""
_PERIOD_S: Final = 4
_MOST_ORDER: Final = 16


_SID_BYTES: Final = 2
_FRAME_BYTES: Final = 10
_FULL_DB: Final = 90.3


def announced_noise(codec: PayloadCodec, rtp_payload: bytes) -> bytes:
    """Return the comfort noise (an RFC 3389 payload) that a packet announces; b"" for none."""
    if codec.is_noise:
        return rtp_payload
    if len(rtp_payload) % _FRAME_BYTES == _SID_BYTES and codec.name.upper() == "G729":
        return _sid_level(rtp_payload[-_SID_BYTES:])
    return b""


def is_silence(codec: PayloadCodec, rtp_payload: bytes) -> bool:
    """Return whether a packet has only comfort noise, only DTMF digits, or an empty RTP payload.

    Audio that cannot be decoded here still counts as audio.
    """
    if not rtp_payload or codec.carries_no_speech:
        return True
    return len(rtp_payload) == _SID_BYTES and codec.name.upper() == "G729"


def _sid_level(frame: bytes) -> bytes:
    """Convert the level in a G.729 silence descriptor (two bytes) to an RFC 3389 payload.

    The five bits before the final bit are an index (RFC 3551, section 4.5.6) of the level of the
    excitation: each of the first six steps adds 4 dB, and each later step 2 dB. The noise has twice
    the amplitude (ITU-T G.729, Annex B.4.2.1), so its level is 6 dB higher.
    """
    index = int.from_bytes(frame, "big") >> 1 & 0x1F
    level_db = min(4 * index - 8, 2 * index + 4) + 6
    return bytes([round(_FULL_DB - level_db)])


class Noise:
    """The noise that one RFC 3389 payload describes, at one sample rate."""

    def __init__(self, rtp_payload: bytes, clock: int, rate: int) -> None:
        """Compute the noise for a track of `rate` Hz.

        The sender sampled it at `clock` Hz, so all its frequencies are below half of this rate.
        """
        heard_at = min(max(clock, NARROW), 3 * WIDE)
        self._table = _noise_table(bytes(rtp_payload[: 1 + _MOST_ORDER]), heard_at, rate)

    def samples(self, start: int, count: int) -> Samples:
        """Return `count` samples of noise, beginning with sample number `start` of the track."""
        return self._table[np.arange(start, start + count) % len(self._table)]


@lru_cache(maxsize=16)
def _noise_table(rtp_payload: bytes, clock: int, rate: int) -> Samples:
    """Return `_PERIOD_S` seconds of noise that can be repeated without an audible click.

    The RFC 3389 payload gives the magnitude at each frequency. The phase is random.
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
    """Return random phases, always the same, for the frequencies up to half the sampling rate."""
    count = _PERIOD_S * rate // 2 + 1
    phases = np.random.default_rng(3389).uniform(0, 2 * np.pi, count)
    return np.asarray(np.exp(1j * phases), dtype=np.complex128)


def _envelope(quantised: bytes, points: int) -> NDArray[np.float64]:
    """Return the magnitude response of an all-pole filter from 0 Hz to half the sample rate.

    `quantised` has its reflection coefficients, one byte each; 127 means zero (RFC 3389, section
    3.2). The result has `points // 2 + 1` magnitudes.
    """
    filter_ = np.ones(1)
    for byte in quantised:
        k = np.clip((byte - 127) / 128, -0.99, 0.99)
        longer = np.append(filter_, 0.0)
        filter_ = longer + k * longer[::-1]
    powers = np.fft.rfft(filter_, points)
    return np.asarray(1 / np.maximum(np.abs(powers), 1e-3), dtype=np.float64)
