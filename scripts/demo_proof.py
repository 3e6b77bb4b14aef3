"""Comparison of sound: the place of a sentence in the sound that was heard or recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from demo_sound import RATE, Samples, clip

_SAID = 0.9
"""The correlation above which a sentence counts as found; G.711 alone gives 0.99."""
_UNSAID = 0.3
"""The correlation below which a sentence counts as absent."""
_PIECE, _SLACK = RATE // 4, RATE // 50
"""The length of a piece that is compared separately, and its largest shift, in samples."""


@dataclass(frozen=True, slots=True)
class Found:
    """The most similar place for a sentence."""

    correlation: float
    """1 for exactly the same sound, near 0 for any other."""
    at_s: float

    @property
    def said(self) -> bool:
        """True if the sentence is there."""
        return self.correlation > _SAID

    @property
    def absent(self) -> bool:
        """True if the sentence is certainly not there."""
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
    # Without the floor, near silence would correlate with anything.
    floor = 0.01 * float(np.sum(wanted**2))
    likeness = products / np.sqrt(np.sum(wanted**2) * np.maximum(energies, floor))
    place = int(np.argmax(likeness))
    whole = float(likeness[place])
    pieces = _in_pieces(wanted, sound, place) if whole <= _SAID else 0.0
    return Found(pieces if pieces > _SAID else whole, place / RATE)


def _in_pieces(wanted: Samples, sound: Samples, place: int) -> float:
    """Return the correlation of the pieces, each at its best place nearby.

    A clock correction during the sentence moves the rest of it by half a millisecond.
    """
    alike = 0.0
    padded = np.concatenate((np.zeros(_SLACK), sound, np.zeros(_PIECE + _SLACK)))
    for at in range(0, len(wanted), _PIECE):
        piece = wanted[at : at + _PIECE]
        around = padded[place + at : place + at + len(piece) + 2 * _SLACK]
        views = np.lib.stride_tricks.sliding_window_view(around, len(piece))
        norms = np.linalg.norm(views, axis=1) * np.linalg.norm(piece) + 1e-9
        alike += float(np.max(views @ piece / norms)) * float(piece @ piece)
    return alike / float(wanted @ wanted)


def between(sound: Samples, from_us: int, to_us: int) -> Samples:
    """Return the samples of a recording that are wholly between two times."""
    first, last = -(-from_us * RATE // 1_000_000), to_us * RATE // 1_000_000
    return sound[first:last]
