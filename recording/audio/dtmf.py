"""Finds DTMF tones in decoded audio (ITU-T Q.23, Q.24). It does not know what the digits mean.

A tone is the sum of one frequency of a low group and one of a high group. A short frame has a tone
if two frequencies, one of each group, contain most of its energy and are close enough to their
nominal values. Consecutive, overlapping frames with the same tone are one key press. If another
sound covers the tone, more frames are needed, and the key press is unsure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recording.audio.codecs import NARROW, WIDE, Samples

DIGITS: Final = 10
"""The keys 0 to 9 are the digits. The keys from 10 on are `*`, `#` and A to D."""
LONGEST_S: Final = 5
"""The longest key press in seconds. A longer one is reported in parts of this length."""
_LOW: Final = (697.0, 770.0, 852.0, 941.0)
_HIGH: Final = (1209.0, 1336.0, 1477.0, 1633.0)
_KEYS: Final = ((1, 2, 3, 12), (4, 5, 6, 13), (7, 8, 9, 14), (10, 0, 11, 15))
"""The key of each pair of frequencies, by low and high frequency."""
_KEY_TABLE: Final = np.array(_KEYS, dtype=np.int8)
_FRAME: Final = 240
"""The length of a frame in samples at 8 kHz: 30 ms."""
_HOP: Final = 40
"""The distance of two frames in samples at 8 kHz: 5 ms."""
_STEPS: Final = _FRAME // _HOP
"""The number of steps in a frame. A step has `_HOP` samples."""
_GROUP: Final = 64
"""The most rows that are multiplied together."""
_SIGMA: Final = 48.0
"""The standard deviation in samples of the frames' Gaussian window.

Its spectrum is a Gaussian too, so two measurements beside a tone give its frequency and power.
"""
_SIGMA_HZ: Final = NARROW / (2 * np.pi * _SIGMA)
_BESIDE_HZ: Final = 20.0
"""The distance in Hz of the two measurements from a nominal frequency."""
_OFF_FREQUENCY: Final = 0.025
"""The accepted deviation of a frequency. Q.24: 1.5 % must be accepted, 3.5 % must be refused."""
_TWIST: Final = (0.03, 10.0)
"""The accepted power of the high tone, divided by that of the low tone: -15 dB to +10 dB.

Q.24 requires -8 dB to +4 dB. A missed digit does more harm than a wrong one.
"""
_QUIETEST: Final = 25.0
"""The lowest amplitude of each tone, in units of int16: about 62 dB below full scale."""
_PURE: Final = 0.7
"""A key is sure if its two tones have at least this part of the frame's energy."""
_COVERED: Final = 0.5
"""A key is unsure if its tones have at least this part of the energy, but less than `_PURE`."""
_UNSURE: Final = 16
"""The number that is added to the key of a frame that is unsure."""
_PERHAPS: Final = 0.085
"""The smallest part of a frame's energy at its two nominal frequencies.

Only frames that reach it are measured exactly. It is small, because a tone that is 2.5 % off has
most of its power beside the nominal frequency.
"""
_SHORTEST: Final = 4
"""The fewest sure frames with the same tone that make a key press.

A tone of 40 ms, which Q.24 requires, has six or seven such frames.
"""
_SHORTEST_UNSURE: Final = 8
"""The fewest frames that make a key press if fewer than `_SHORTEST` of them are sure."""
_LONGEST_HOLE: Final = 4
"""The most frames without a tone that do not end a key press.

A pause of 40 ms, which Q.24 requires between two digits, takes five or more.
"""
_PERHAPS_PAUSE: Final = 3
"""The fewest frames without a tone that may be a pause between two presses of the same key.

A pause of 30 ms takes three or four. A lost packet of 20 ms takes at most two.
"""
_LONGEST_FRAMES: Final = LONGEST_S * NARROW // _HOP
_EDGE: Final = 24
"""The distance in samples at 8 kHz from the middle of a tone's first frame to the tone's start."""
_Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One key press: its tone sounds from the sample `start` to the sample `end` (exclusive).

    `key` is 0 to 9 for a digit. It is not in the object's text form, so that no log contains it.
    `continued` marks the later parts of a key press that is longer than `LONGEST_S`. `unsure` means
    that another sound covers the tone or resembles a tone. `times` is how often the key may have
    been pressed, with a hole between (a short pause or a lost packet).
    """

    start: int
    end: int
    key: int = field(repr=False)
    continued: bool = False
    unsure: bool = False
    times: int = 1


class DtmfDetector:
    """Finds the key presses in the audio of one party, which comes in blocks of any size.

    The detector stores less than 30 ms of audio, and at most one key press.
    """

    def __init__(self, rate: int) -> None:
        self._scale = rate // NARROW
        if self._scale * NARROW != rate or rate not in {NARROW, WIDE}:
            raise ValueError("the rate must be 8000 or 16000")
        self._odd = np.zeros(0, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)
        self._next = 0
        """The number of the next frame. Frame `n` begins at the sample `n * _HOP`, at 8 kHz."""
        self._key = -1
        """The key of the present tone; -1 if there is none."""
        self._first = self._last = 0
        """The first and the latest frame of the present tone."""
        self._frames = 0
        """The number of frames with the present tone that were not reported yet."""
        self._sure = 0
        """The number of sure frames among those in `_frames`."""
        self._continued = False
        self._times = 1

    @property
    def settled(self) -> int:
        """The sample before which no key press can begin that was not reported yet."""
        frame = self._next if self._key < 0 else self._first
        return self._start(frame)

    def feed(self, samples: Samples) -> list[KeyPress]:
        """Process the next samples of one channel. Return the key presses that have ended."""
        return self.read(_keys_of(self.cut(samples)))

    def cut(self, samples: Samples) -> _Floats:
        """Return the steps of the frames that are complete now, of shape (n, 40).

        A frame begins with each step but the last five. The keys of the frames must be given to
        `read`.
        """
        rest = np.concatenate([self._rest, self._narrow(samples)])
        steps = len(rest) // _HOP
        self._rest = rest[max(0, steps - _STEPS + 1) * _HOP :].copy()
        return rest[: steps * _HOP].reshape(steps, _HOP)

    def read(self, keys: NDArray[np.int8]) -> list[KeyPress]:
        """Process the frames' keys, which are overwritten. Return the presses that have ended."""
        found = list(self._presses(keys)) if len(keys) else []
        self._next += len(keys)
        keys.fill(-1)
        return found

    def finish(self) -> list[KeyPress]:
        """End the audio. Return the key press that has not ended before, if there is one."""
        found = [] if self._key < 0 else list(self._end())
        self._rest = self._rest[:0]
        return found

    def _narrow(self, samples: Samples) -> _Floats:
        """Return the samples at 8 kHz. A short low-pass filter is enough below 1.7 kHz."""
        wide = samples.astype(np.float32)
        if self._scale == 1:
            return wide
        wide = np.concatenate([self._odd, wide])
        count = max(0, (len(wide) - 1) // 2)
        self._odd = wide[2 * count :].copy()
        middle = wide[1 : 2 * count : 2]
        narrow: _Floats = wide[0 : 2 * count : 2] + 2 * middle + wide[2 : 2 * count + 1 : 2]
        return narrow * np.float32(0.25)

    def _start(self, frame: int) -> int:
        return max(0, frame * _HOP + _FRAME // 2 - _EDGE) * self._scale

    def _presses(self, keys: NDArray[np.int8]) -> Iterator[KeyPress]:
        tones = np.flatnonzero(keys >= 0)
        for number, value in zip((tones + self._next).tolist(), keys[tones].tolist(), strict=True):
            if self._key >= 0 and number - self._last > _LONGEST_HOLE + 1:
                yield from self._end()
            sure, key = value < _UNSURE, value % _UNSURE
            if key == self._key:
                self._times += number - self._last > _PERHAPS_PAUSE
                self._last = number
                self._frames += 1
                self._sure += sure
                if number - self._first >= _LONGEST_FRAMES:
                    yield from self._end()
                    self._begin(key, number, sure=sure, continued=True)
            # An unsure frame in the middle of a tone does not end it.
            elif sure or self._key < 0:
                yield from self._end()
                self._begin(key, number, sure=sure, continued=False)
        if self._key >= 0 and self._next + len(keys) - 1 - self._last > _LONGEST_HOLE:
            yield from self._end()

    def _begin(self, key: int, frame: int, *, sure: bool, continued: bool) -> None:
        self._key, self._first, self._last, self._frames = key, frame, frame, 1
        self._sure, self._times, self._continued = int(sure), 1, continued

    def _end(self) -> Iterator[KeyPress]:
        key, self._key = self._key, -1
        unsure = self._sure < _SHORTEST
        long_enough = not unsure or self._frames >= _SHORTEST_UNSURE or self._continued
        if key < 0 or not long_enough:
            return
        end = (self._last * _HOP + _FRAME // 2 + _EDGE) * self._scale
        yield KeyPress(self._start(self._first), end, key, self._continued, unsure, self._times)


def feed_both(
    detectors: tuple[DtmfDetector, DtmfDetector], block: Samples
) -> tuple[list[KeyPress], list[KeyPress]]:
    """Feed the two columns of a stereo block, of shape (n, 2), to two detectors.

    The result is that of two calls of `DtmfDetector.feed`, but the frames of both parties are
    measured together, which takes less time.
    """
    one, other = detectors
    left, right = one.cut(block[:, 0]), other.cut(block[:, 1])
    keys = _keys_of(np.concatenate([left, right]))
    # The frames that begin in one channel and end in the other are left out.
    ours = max(0, len(left) - _STEPS + 1)
    return one.read(keys[:ours]), other.read(keys[len(left) :])


def _waves(frequencies: tuple[float, ...], window: _Floats) -> _Floats:
    """Return the columns with which a frame is multiplied to get its parts at these frequencies."""
    at = np.arange(_FRAME)[:, None] - (_FRAME - 1) / 2
    phase = 2 * np.pi * at * np.array(frequencies)[None, :] / NARROW
    waves = np.concatenate([np.cos(phase), np.sin(phase)], axis=1) * window[:, None]
    return waves.astype(np.float32)


def _product(rows: _Floats, factor: _Floats, group: int) -> _Floats:
    """Return `rows @ factor`, calculated in this thread only: `group` rows at a time.

    For a larger product, OpenBLAS would wake a thread on each processor. These threads would
    disturb the sealing of other calls, and cost more than they save.
    """
    groups = -(-len(rows) // group)
    padded = np.zeros((groups * group, rows.shape[1]), dtype=np.float32)
    padded[: len(rows)] = rows
    product: _Floats = padded.reshape(groups, group, rows.shape[1]) @ factor
    return product.reshape(groups * group, -1)[: len(rows)]


def _by_steps(columns: _Floats) -> _Floats:
    """Return the columns for frames, of shape (240, n), as columns for steps: (40, 6 * n)."""
    steps = columns.reshape(_STEPS, _HOP, -1)
    return np.ascontiguousarray(steps.transpose(1, 0, 2).reshape(_HOP, -1))


def _of_frames(steps: _Floats, columns: _Floats) -> _Floats:
    """Return the product of each frame with columns from `_by_steps`.

    Frames overlap, so it takes less time to multiply each step once and to add the results.
    """
    count = len(steps) - _STEPS + 1
    parts = _product(steps, columns, _GROUP).reshape(len(steps), _STEPS, -1)
    total: _Floats = parts[:count, 0].copy()
    for step in range(1, _STEPS):
        total += parts[step : count + step, step]
    return total


def _power(parts: _Floats) -> _Floats:
    """Return the power of each frame at each frequency, on the scale of the frame's energy.

    `parts` are the products with the columns from `_waves`.
    """
    half = parts.shape[1] // 2
    power: _Floats = parts[:, :half] ** 2 + parts[:, half:] ** 2
    return power * np.float32(_TO_ENERGY)


_WINDOW: Final[_Floats] = np.exp(
    -0.5 * ((np.arange(_FRAME) - (_FRAME - 1) / 2) / _SIGMA) ** 2
).astype(np.float32)
_SQUARES: Final[_Floats] = _WINDOW**2
_TO_ENERGY: Final = 2 * float(_SQUARES.sum()) / float(_WINDOW.sum()) ** 2
_ENERGY_OF_QUIETEST: Final = _QUIETEST**2 / 2 * float(_SQUARES.sum())
_SQUARES_BY_STEPS: Final = _by_steps(_SQUARES[:, None])
_NOMINAL: Final = _by_steps(_waves((*_LOW, *_HIGH), _WINDOW))
_BESIDE: Final = _waves(
    (
        *(f - _BESIDE_HZ for f in (*_LOW, *_HIGH)),
        *(f + _BESIDE_HZ for f in (*_LOW, *_HIGH)),
    ),
    _WINDOW,
)
_FREQUENCIES: Final = np.array((*_LOW, *_HIGH), dtype=np.float32)


def _keys_of(steps: _Floats) -> NDArray[np.int8]:
    """Return the key of each frame's tone, plus `_UNSURE` if it is unsure; -1 without a tone."""
    count = max(0, len(steps) - _STEPS + 1)
    keys = np.full(count, -1, dtype=np.int8)
    if not count:
        return keys
    energy = _of_frames(steps * steps, _SQUARES_BY_STEPS)[:, 0]
    if np.max(energy) < 2 * _ENERGY_OF_QUIETEST:
        return keys
    power = _power(_of_frames(steps, _NOMINAL))
    row, column = power[:, :4].argmax(axis=1), power[:, 4:].argmax(axis=1)
    each = np.arange(count)
    both = power[each, row] + power[each, 4 + column]
    perhaps = np.flatnonzero((both >= _PERHAPS * energy) & (energy >= 2 * _ENERGY_OF_QUIETEST))
    if not len(perhaps):
        return keys
    row, column, energy = row[perhaps], column[perhaps], energy[perhaps]
    frames = steps[perhaps[:, None] + np.arange(_STEPS)].reshape(-1, _FRAME)
    beside = np.maximum(_power(_product(frames, _BESIDE, _GROUP // 2)), 1e-9)
    low, low_right = _exact(beside, row)
    high, high_right = _exact(beside, 4 + column)
    good = low_right & high_right
    good &= (low >= _ENERGY_OF_QUIETEST) & (high >= _ENERGY_OF_QUIETEST)
    good &= (high >= _TWIST[0] * low) & (high <= _TWIST[1] * low)
    good &= low + high >= _COVERED * energy
    unsure = (low + high < _PURE * energy)[good]
    keys[perhaps[good]] = _KEY_TABLE[row[good], column[good]] + _UNSURE * unsure
    return keys


def _exact(beside: _Floats, which: NDArray[Any]) -> tuple[_Floats, NDArray[np.bool_]]:
    """Return the energy of a tone, and whether its frequency is right, for each frame.

    `beside` has the powers below and above each nominal frequency. `which` is the index of the
    nominal frequency of each frame's tone.
    """
    each = np.arange(len(which))
    below, above = np.log(beside[each, which]), np.log(beside[each, 8 + which])
    off_hz = _SIGMA_HZ**2 * (above - below) / (4 * _BESIDE_HZ)
    peak = (below + above) / 2 + (_BESIDE_HZ**2 + off_hz**2) / _SIGMA_HZ**2
    right = np.abs(off_hz) <= _OFF_FREQUENCY * _FREQUENCIES[which]
    return np.exp(np.minimum(peak, 80.0)).astype(np.float32), right
