"""Sound compared: which sentence stands where in what was heard or recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from demo_sound import RATE, Samples, clip

_SAID = 0.9
"""Correlation from which a sentence counts as found; G.711 alone gives 0.99."""
_UNSAID = 0.3
"""Correlation up to which it counts as absent."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best place for a sentence."""

    correlation: float
    """1 for the very same sound, near 0 for any other."""
    at_s: float

    @property
    def said(self) -> bool:
        """Whether the sentence is there."""
        return self.correlation > _SAID

    @property
    def absent(self) -> bool:
        """Whether it is certainly not."""
        return self.correlation < _UNSAID

    def __str__(self) -> str:
        return f"correlation {self.correlation:.3f} at {self.at_s:.2f} s"


def find(name: str, sound: Samples) -> Found:
    """Look for a sentence in a sound: normalised cross-correlation, by FFT."""
    wanted = clip(name)
    if len(sound) < len(wanted):
        return Found(0.0, 0.0)
    size = 1 << (len(sound) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(wanted, size))
    products = np.fft.irfft(spectrum, size)[: len(sound) - len(wanted) + 1]
    sums = np.concatenate(([0.0], np.cumsum(sound**2)))
    energies = np.maximum(sums[len(wanted) :] - sums[: -len(wanted)], 0.0)
    # Where there is next to no sound, nothing is like anything.
    floor = 0.01 * float(np.sum(wanted**2))
    likeness = products / np.sqrt(np.sum(wanted**2) * np.maximum(energies, floor))
    place = int(np.argmax(likeness))
    return Found(float(likeness[place]), place / RATE)


def between(sound: Samples, from_us: int, to_us: int) -> Samples:
    """A part of a recording; the samples that lie wholly within."""
    first, last = -(-from_us * RATE // 1_000_000), to_us * RATE // 1_000_000
    return sound[first:last]
