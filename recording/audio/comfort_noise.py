"""Comfort noise: computes the background noise that a sender describes for a silence.

RFC 3389 defines an RTP payload that describes the noise. This RTP payload has the level of the
noise and, optionally, the shape of the noise's spectrum. A G.729 sender describes the noise in a
special frame (ITU-T G.729, Annex B); this module uses only the level in that frame. For the same
description, each sample of the noise depends only on its position on the audio track. So it makes
no difference whether the noise is computed in one long piece or in several short pieces.
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
    """Return the comfort noise that a packet describes for the silence after it.

    The result is an RFC 3389 payload. It is empty if the packet describes no noise.
    """
    if codec.is_noise:
        return rtp_payload
    if len(rtp_payload) % _FRAME_BYTES == _SID_BYTES and codec.name.upper() == "G729":
        return _sid_level(rtp_payload[-_SID_BYTES:])
    return b""


def is_silence(codec: PayloadCodec, rtp_payload: bytes) -> bool:
    """Return whether a packet with this RTP payload has no audio.

    Such a packet has only comfort noise, only DTMF digits, or an empty RTP payload. Audio that
    cannot be decoded here still counts as audio.
    """
    if not rtp_payload or codec.carries_no_speech:
        return True
    return len(rtp_payload) == _SID_BYTES and codec.name.upper() == "G729"


def _sid_level(frame: bytes) -> bytes:
    """Convert the level in a G.729 silence descriptor (two bytes) to an RFC 3389 payload.

    The five bits before the final bit are an index (RFC 3551, section 4.5.6). The index gives the
    level of the excitation: each of the first six steps of the index adds 4 dB, and each later step
    adds 2 dB. The noise has twice the amplitude of the excitation (ITU-T G.729, Annex B.4.2.1), so
    its level is 6 dB higher.
    """
    index = int.from_bytes(frame, "big") >> 1 & 0x1F
    level_db = min(4 * index - 8, 2 * index + 4) + 6
    return bytes([round(_FULL_DB - level_db)])


class Noise:
    """The noise that one RFC 3389 payload describes, at one sample rate."""

    def __init__(self, rtp_payload: bytes, clock: int, rate: int) -> None:
        """Compute the noise.

        Args:
            rtp_payload: The RFC 3389 payload.
            clock: The rate in Hz at which the sender sampled the noise. All frequencies of the
                noise are below half of this rate.
            rate: The sampling rate of the track, in Hz.
        """
        heard_at = min(max(clock, NARROW), 3 * WIDE)
        self._table = _noise_table(bytes(rtp_payload[: 1 + _MOST_ORDER]), heard_at, rate)

    def samples(self, start: int, count: int) -> Samples:
        """Return `count` samples of noise, beginning with sample number `start` of the track."""
        return self._table[np.arange(start, start + count) % len(self._table)]


@lru_cache(maxsize=16)
def _noise_table(rtp_payload: bytes, clock: int, rate: int) -> Samples:
    """Return `_PERIOD_S` seconds of noise. The noise can be repeated without an audible click.

    The RFC 3389 payload gives the magnitude of the noise at each frequency. The phase at each
    frequency is random.
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
    """Return a random phase for each frequency of the noise, from 0 to half the sampling rate.

    For the same `rate`, the function always returns the same phases.
    """
    count = _PERIOD_S * rate // 2 + 1
    phases = np.random.default_rng(3389).uniform(0, 2 * np.pi, count)
    return np.asarray(np.exp(1j * phases), dtype=np.complex128)


def _envelope(quantised: bytes, points: int) -> NDArray[np.float64]:
    """Return the magnitude response of an all-pole filter from 0 Hz to half the sample rate.

    `quantised` has the filter's reflection coefficients, one byte each. The byte 127 means zero
    (RFC 3389, section 3.2). Levinson's recursion computes the filter from these coefficients; with
    each coefficient, the filter gets one more term. `points` is the length of the Fourier
    transform. The result has `points // 2 + 1` magnitudes.
    """
    filter_ = np.ones(1)
    for byte in quantised:
        k = np.clip((byte - 127) / 128, -0.99, 0.99)
        longer = np.append(filter_, 0.0)
        filter_ = longer + k * longer[::-1]
    powers = np.fft.rfft(filter_, points)
    return np.asarray(1 / np.maximum(np.abs(powers), 1e-3), dtype=np.float64)
