"""Silences card numbers, and digits near a pause, that a party keyed into a call.

The audio passes through a `CardFilter` before it is encoded. The filter looks for runs of digits
that could be a card number, or the part of one before or after a payment pause. It silences each
such run in both channels. The archive must never contain the run, and what is encrypted cannot be
changed. So the filter holds audio back in memory while a run of digits is in progress. It holds
back less than two seconds of any other audio.

The digits are in memory only until their run has ended. They are then overwritten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from recording.audio.codecs import Samples
from recording.audio.dtmf import DIGITS, DtmfDetector, KeyPress, feed_both

DIGIT_GAP_S: Final = 10
"""The longest time in seconds between two digits of the same run.

People read a number in groups, and look at the card between two groups. So this time is longer than
the five seconds after which most dialling systems stop waiting for a digit.
"""
LONGEST_RUN_S: Final = 120
"""The most seconds of audio that are held back for one run.

Of a run that is longer, only the most recent part can still be silenced.
"""
AFTER_CARD_S: Final = 60
"""For this many seconds after a captured card, every key press is silenced.

The expiry date and the security code often follow the card number.
"""
MOST_NEAR_S: Final = 10
"""The largest value of `near_pause_s`.

A run is decided on `DIGIT_GAP_S` seconds after its last digit. All edges of pauses that are at most
as far away are known by then.
"""
NEAR_DIGITS: Final = 3
"""The fewest digits of a run near a pause that are silenced. A security code has three or four.

Before a pause that erased a stretch, one is enough, because the others may be in that stretch.
"""
_CUT_S: Final = 1
"""A run that ends at most so many seconds before a pause is silenced up to the pause.

The pause can cut off the next tone, of which too little is left for the detector to find it.
"""
_MARGIN_S: Final = 0.25
"""The time before and after a run that is silenced too.

It covers the beginning and end of a tone, which a codec or an echo can lengthen.
"""
_LENGTHS: Final = range(13, 20)
"""The lengths of card numbers in digits (ISO/IEC 7812-1 and the issuers' own rules)."""
_SHORTEST_OF: Final = {2: 16, 3: 14, 4: 13, 5: 13, 6: 13}
"""The shortest card number in digits, by its first digit. Other first digits are not of cards.

2: Mastercard, Mir. 3: American Express, Diners Club, JCB. 4: Visa. 5: Mastercard, Maestro. 6:
Maestro, Discover, UnionPay. The table is wide on purpose: to silence an account number by mistake
does less harm than to keep a card number.
"""
_TRACKS: Final = 2


def is_card_number(digits: bytes | memoryview) -> bool:
    """Return whether the digits, each a byte from 0 to 9, could be the number of a payment card.

    The length and the first digit must be those of a card, and the check digit must be right
    (ISO/IEC 7812-1, annex B: the Luhn formula).
    """
    if len(digits) not in _LENGTHS or len(digits) < _SHORTEST_OF.get(digits[0], 99):
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (doubled + sum(digits[::-2])) % 10 == 0


class _Run:
    """A run: the digits of one party that follow each other within `DIGIT_GAP_S` seconds.

    The values of the latest digits are in one buffer of fixed size, of which no copy is made.
    """

    def __init__(self, press: KeyPress, *, captured: bool) -> None:
        """Begin a run. The caller must also give its first key press to `add`."""
        self.captured = captured
        """True if the run must be silenced."""
        self.start = press.start
        """The first sample that must be held back for this run."""
        self.end = press.start
        """The sample after the latest key press."""
        self.digits = 0
        self._values = memoryview(bytearray(_LENGTHS[-1]))
        """The values of the latest digits; the latest one is the last byte."""

    def add(self, press: KeyPress) -> bool:
        """Add a key press; return whether it completes a card number.

        The keys `*`, `#` and A to D are part of the run, but not of a number.
        """
        self.end = press.end
        if press.continued or press.key >= DIGITS:
            return False
        self.digits += 1
        self._values[:-1] = self._values[1:]
        self._values[-1] = press.key
        completes = any(
            is_card_number(self._values[-length:]) for length in _LENGTHS if length <= self.digits
        )
        self.captured = self.captured or completes
        return completes

    def is_near(self, edge: _Edge, distance: int) -> bool:
        """Return whether the run must be silenced because of a pause's edge.

        `distance` is the most samples between the edge and the nearest digit.
        """
        if not self.start - distance <= edge.at <= self.end + distance:
            return False
        before_erased = edge.begins_erased and self.start < edge.at
        return self.digits >= (1 if before_erased else NEAR_DIGITS)

    def forget(self) -> None:
        """Overwrite the digits."""
        self._values[:] = bytes(len(self._values))


@dataclass(frozen=True, slots=True)
class _Edge:
    """The position at which a payment pause, or the stretch that it erased, begins or ends."""

    at: int
    begins_erased: bool


class CardFilter:
    """Takes blocks of stereo samples, and returns them with captured cards silenced.

    A position is a number of samples since the recording's start. The blocks are changed in place,
    so that no copy of the silenced samples stays in memory.
    """

    def __init__(self, rate: int, near_pause_s: float = 0.0) -> None:
        """Set up a filter for audio with `rate` samples a second: 8000 or 16000.

        If `near_pause_s` is not 0, runs of digits are silenced too if they sound at most this many
        seconds from the start or end of a payment pause. At most `MOST_NEAR_S`.
        """
        if not 0 <= near_pause_s <= MOST_NEAR_S:
            raise ValueError(f"near_pause_s must be from 0 to {MOST_NEAR_S}")
        self.rate = rate
        self.captured: list[tuple[int, int]] = []
        """The silenced intervals of card numbers, in order, not touching.

        Each has its start and its end (exclusive) in samples.
        """
        self.near_pause: list[tuple[int, int]] = []
        """The same of digits near a pause; some of them may be in `captured` too."""
        self.ended = False
        """True after `finish`: everything is decided."""
        self._near = int(near_pause_s * rate)
        self._margin = int(_MARGIN_S * rate)
        self._detectors = DtmfDetector(rate), DtmfDetector(rate)
        self._runs: list[_Run | None] = [None] * _TRACKS
        self._edges: deque[_Edge] = deque()
        self._held: deque[Samples] = deque()
        self._ready: deque[Samples] = deque()
        self._released = self._end = 0
        self._card_until = 0

    @property
    def released(self) -> int:
        """The position up to which the audio was released. It does not change any more."""
        return self._released

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the audio that is held back."""
        return sum(block.nbytes for block in self._held)

    def mark_pause_edge(self, position: int, *, begins_erased: bool = False) -> None:
        """Note that a payment pause, or the stretch that it erased, begins or ends at `position`.

        An edge must be noted before audio is fed that is `MOST_NEAR_S` seconds later.
        """
        if self._near:
            self._edges.append(_Edge(position, begins_erased))

    def feed(self, block: Samples) -> None:
        """Take the next samples of both parties: an int16 array of shape (n, 2)."""
        begin, self._end = self._end, self._end + len(block)
        self._held.append(block)
        presses = feed_both(self._detectors, block)
        found = [(press, track) for track in range(_TRACKS) for press in presses[track]]
        # The margin of a silenced run can end in this block. It is silenced only now, because the
        # detectors must hear a digit that begins in it.
        if self.captured and self.captured[-1][1] > begin:
            block[: self.captured[-1][1] - begin] = 0
        self._add(found)
        self._release()

    def finish(self) -> None:
        """End the audio, and release the rest of it."""
        last = [
            (press, track)
            for track, detector in enumerate(self._detectors)
            for press in detector.finish()
        ]
        self._add(last)
        for track in range(_TRACKS):
            self._close(track)
        for spans in (self.captured, self.near_pause):
            if spans and spans[-1][1] > self._end:
                spans[-1] = (spans[-1][0], self._end)
        self._ready.extend(self._held)
        self._held.clear()
        self._released = self._end
        self.ended = True

    def blocks(self) -> Iterator[Samples]:
        """Yield the blocks that were released and not yielded before."""
        while self._ready:
            yield self._ready.popleft()

    def is_silenced(self, start: int, end: int) -> bool:
        """Return whether one of the positions `start` to `end` (exclusive) is silenced."""
        spans = (*self.captured, *self.near_pause)
        return any(start < to and from_ < end for from_, to in spans)

    def _add(self, found: list[tuple[KeyPress, int]]) -> None:
        for press, track in sorted(found, key=lambda each: each[0].start):
            run = self._runs[track]
            if run is not None and press.start > run.end + DIGIT_GAP_S * self.rate:
                self._close(track)
                run = None
            if run is None:
                run = _Run(press, captured=press.start < self._card_until)
                self._runs[track] = run
            if run.add(press):
                self._card_until = press.end + AFTER_CARD_S * self.rate
            if run.captured:
                self.captured = _joined([*self.captured, self._silence(run.start, run.end)])
                run.start = run.end

    def _silence(self, start: int, end: int) -> tuple[int, int]:
        """Silence the audio from `start` to `end` and the margins; return what was silenced."""
        millisecond = self.rate // 1000
        start = max(self._released, (start - self._margin) // millisecond * millisecond)
        end = -(-(end + self._margin) // millisecond) * millisecond
        at = self._released
        for block in self._held:
            block[max(0, start - at) : max(0, end - at)] = 0
            at += len(block)
        return start, end

    def _close(self, track: int) -> None:
        """End a party's run, if there is one."""
        run, self._runs[track] = self._runs[track], None
        if run is None:
            return
        edges = [edge.at for edge in self._edges if run.is_near(edge, self._near)]
        if edges and not run.captured:
            cut = [at for at in edges if run.end < at <= run.end + _CUT_S * self.rate]
            span = self._silence(run.start, min(cut, default=run.end))
            self.near_pause = _joined([*self.near_pause, span])
        run.forget()

    def _release(self) -> None:
        """End the runs that are over, and release the audio that cannot be part of a run."""
        free = self._end
        for track, detector in enumerate(self._detectors):
            settled = detector.settled
            run = self._runs[track]
            if run is not None and settled > run.end + DIGIT_GAP_S * self.rate:
                self._close(track)
                run = None
            if run is not None:
                run.start = max(run.start, self._end - LONGEST_RUN_S * self.rate)
                settled = min(settled, run.start)
            free = min(free, settled)
        free -= self._margin + self.rate // 1000
        while self._held and self._released + len(self._held[0]) <= free:
            self._released += len(self._held[0])
            self._ready.append(self._held.popleft())
        # A long block is released in parts of at least a second.
        if self._held and free - self._released >= self.rate:
            block, count = self._held.popleft(), free - self._released
            self._ready.append(block[:count])
            # Without the copy, the few samples that are held would keep the whole block in memory.
            self._held.appendleft(block[count:].copy())
            block[count:] = 0
            self._released = free
        while self._edges and self._edges[0].at < self._released - self._near:
            self._edges.popleft()


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of the intervals, sorted by start."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
