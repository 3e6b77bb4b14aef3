"""The sound of the simulated parties: noise with the rhythm of syllables, new for each run.

No two pieces of it are similar, so a sent piece can be found in the received or recorded sound. Its
similarity shows how much the telephone line changed it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.int16]
"""Audio samples, mono, 8000 samples a second."""

RATE: Final = 8000
_SYLLABLE: Final = 1200
_PIECE: Final = RATE // 2
_LATEST: Final = 2 * RATE
"""The longest delay, in samples, with which the sent noise may arrive at the other phone."""
_MISSING: Final = RATE // 10
"""The most samples that may be missing at the start: packets can arrive before the answer."""
_PEAK: Final = 20_000
_ROWS: Final = (697, 770, 852, 941)
_COLUMNS: Final = (1209, 1336, 1477)
"""The frequencies of the keys of a telephone in Hz (ITU-T Q.23)."""
_TONE: Final = 6000
"""The amplitude of each of the two tones of a key."""
_PASSES: Final = (300, 3200)
"""The band in Hz that every telephone line transmits."""


def speech(seconds: float, seed: int) -> Samples:
    """Return `seconds` of noise from 300 to 3200 Hz with the rhythm of speech, made from `seed`."""
    noise = np.random.default_rng(seed)
    count = int(seconds * RATE)
    spectrum = np.fft.rfft(noise.standard_normal(count))
    pitch = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(pitch < _PASSES[0]) | (pitch > _PASSES[1])] = 0
    loudness = noise.uniform(0.3, 1.0, count // _SYLLABLE + 2)
    places = np.arange(len(loudness)) * _SYLLABLE
    sound = np.fft.irfft(spectrum, count) * np.interp(np.arange(count), places, loudness)
    loudest = np.abs(sound).max()
    return np.asarray(sound / loudest * _PEAK, dtype=np.int16)


def tone(seconds: float, *pitches: float, amplitude: float = _TONE) -> Samples:
    """Return the sum of sines with these frequencies in Hz, each with this amplitude."""
    times = np.arange(int(seconds * RATE)) / RATE * 2 * np.pi
    sound = np.sum([np.sin(pitch * times) for pitch in pitches], axis=0) * amplitude
    return np.asarray(np.rint(sound), dtype=np.int16)


def tones(digits: str) -> Samples:
    """Return digits as the tones of a telephone's keys: each 0.1 s long, and 0.1 s apart."""
    sounds = []
    for digit in digits:
        row, column = divmod("123456789*0#".index(digit), 3)
        sounds += [tone(0.1, _ROWS[row], _COLUMNS[column]), np.zeros(RATE // 10, np.int16)]
    return np.concatenate(sounds)


def to_pcm(samples: Samples) -> bytes:
    """Return the samples as bytes, in the format that a phone sends (16 bits, little-endian)."""
    return samples.astype("<i2").tobytes()


def from_pcm(pcm: bytes) -> Samples:
    """Return the samples in the bytes that a phone received (16 bits, little-endian)."""
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.int16)


def similarity_at(heard: Samples, said: Samples) -> float:
    """Return how similar the received sound `heard` is to the sound `said`, 0 to 1.

    `said` must begin at most `_LATEST` samples after the start of `heard`, or `_MISSING` before it.
    Half seconds are searched for separately, because a telephone line may stretch and shift the
    sound.
    """
    pieces = _pieces(said)
    there = np.concatenate([np.zeros(_MISSING, dtype=np.int16), heard])
    longest = _MISSING + _LATEST
    found = [find(there[at : at + len(piece) + longest], piece)[1] for at, piece in pieces]
    return float(np.mean(found))


def similarities_anywhere(recorded: Samples, said: Samples, pieces: int = 8) -> list[float]:
    """Search for some half seconds of `said`; return the best similarity of each."""
    every = _pieces(said)
    return [find(recorded, piece)[1] for _, piece in every[:: max(1, len(every) // pieces)]]


def _pieces(said: Samples) -> list[tuple[int, Samples]]:
    last = max(len(said) - _PIECE, 0)
    return [(at, said[at : at + _PIECE]) for at in range(0, last + 1, _PIECE)]


def find(heard: Samples, said: Samples) -> tuple[int, float]:
    """Return where `said` most likely begins in `heard` (samples), and their correlation (0 to 1).

    A part of `said` may be missing at the end of `heard`.
    """
    wanted = said.astype(np.float64)
    there = np.concatenate([heard.astype(np.float64), np.zeros(len(wanted))])
    size = 1 << (len(there) + len(wanted)).bit_length()
    product = np.fft.rfft(there, size) * np.conj(np.fft.rfft(wanted, size))
    match = np.fft.irfft(product, size)[: len(there) - len(wanted) + 1]
    start = int(np.argmax(match))
    return start, correlation(there[start : start + len(wanted)], wanted)


def correlation(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the correlation of two sounds of the same length, 0 to 1; 0 if one is silent."""
    norm = float(np.linalg.norm(one) * np.linalg.norm(other))
    return max(0.0, float(one @ other) / norm) if norm else 0.0
