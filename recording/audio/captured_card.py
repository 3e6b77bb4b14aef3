"""Silences card numbers, and digits near a pause, that a party keyed into a call.

Audio passes through a `CardFilter` before it is encoded. In both channels, the filter silences each
run of digits with a possible card number, the digits keyed soon after it, and digits near a pause.
What is encrypted cannot be changed, so the filter holds audio back in memory while a run is in
progress, and less than two seconds of any other audio. The digits of a run are overwritten when it
has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from recording.audio.codecs import Samples
from recording.audio.dtmf import DIGITS, DtmfDetector, KeyPress, feed_both
from recording.spool.packet_counts import TRACKS

DIGIT_GAP_S: Final = 10
"""The longest time in seconds between two digits of the same group.

It is longer than the five seconds of most dialling systems, because people look at the card.
"""
GROUP_GAP_S: Final = 30
"""The longest time in seconds between two groups of the same run.

People who read a number in groups may be interrupted between them.
"""
UNSURE_GAP_S: Final = 3
"""The longest time in seconds between an unsure digit and the digit before it in its run.

Speech and music have unsure digits too, which must not hold audio back for longer.
"""
LONGEST_RUN_S: Final = 120
"""The most seconds of audio that are held back for one run, and so can be silenced."""
AFTER_CARD_S: Final = 180
"""For this many seconds after a captured card, every sure key press is silenced with its run.

The expiry date and the security code often follow the card number.
"""
MOST_NEAR_S: Final = 10
"""The largest value of `near_pause_s`.

The filter decides on a group at least `DIGIT_GAP_S` seconds after its last digit. By then, it knows
all edges of pauses that are at most this far from the group.
"""
NEAR_DIGITS: Final = 3
"""The fewest digits of a group near a pause that are silenced. A security code has three or four.

Before a pause that erased a stretch, one digit is enough: the others may be in that stretch.
"""
_CUT_S: Final = 1
"""A silenced group that ends at most this many seconds before a pause is silenced up to the pause.

The pause can cut the next tone so short that the detector does not find it.
"""
_MARGIN_S: Final = 0.25
"""The seconds silenced before and after a group: a codec or an echo can lengthen a tone."""
_LENGTHS: Final = range(13, 20)
"""The lengths of card numbers in digits (ISO/IEC 7812-1 and the issuers' own rules)."""
_SHORTEST_OF: Final = {2: 16, 3: 14, 4: 13, 5: 13, 6: 13}
"""The shortest card number in digits, by its first digit. No card has another first digit.

2: Mastercard, Mir. 3: American Express, Diners Club, JCB. 4: Visa. 5: Mastercard, Maestro. 6:
Maestro, Discover, UnionPay. The table is wide on purpose: to silence an account number by mistake
does less harm than to keep a card number.
"""


def is_card_number(digits: bytes | memoryview) -> bool:
    """Return whether the digits, each a byte from 0 to 9, could be the number of a payment card.

    The length and the first digit must be those of a card, and the check digit must be right
    (ISO/IEC 7812-1, annex B: the Luhn formula).
    """
    if len(digits) not in _LENGTHS or len(digits) < _SHORTEST_OF.get(digits[0], 99):
        return False
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (doubled + sum(digits[::-2])) % 10 == 0


@dataclass(frozen=True, slots=True)
class _Edge:
    """The position at which a payment pause, or the stretch that it erased, begins or ends."""

    at: int
    begins_erased: bool


class _Digits:
    """The latest digits of a run, read in one way: with or without unsure or repeated digits.

    Their values are in one buffer without copies, so that all of them can be overwritten.
    """

    def __init__(self, *, unsure: bool, repeated: bool) -> None:
        """Count a digit as often as its key may have been pressed if `repeated`, otherwise once."""
        self._unsure = unsure
        self._repeated = repeated
        self._values = memoryview(bytearray(_LENGTHS[-1]))
        """The values. The latest value is the last byte."""
        self._begins: deque[bool] = deque(maxlen=_LENGTHS[-1])
        """For each of these digits, whether it begins a group."""
        self._begins_next = False

    def add(self, press: KeyPress, *, begins: bool) -> bool:
        """Add a digit, which may begin a group. Return whether it completes a card number.

        A number that extends over several groups must begin at the beginning of a group.
        """
        self._begins_next |= begins
        if press.unsure and not self._unsure:
            return False
        times = press.times if self._repeated else 1
        completes = [self._append(press.key) for _ in range(times)]
        return any(completes)

    def _append(self, key: int) -> bool:
        self._values[:-1] = self._values[1:]
        self._values[-1] = key
        self._begins.append(self._begins_next)
        self._begins_next = False
        begun = list(self._begins)
        return any(
            is_card_number(self._values[-length:]) and (begun[-length] or not any(begun[-length:]))
            for length in _LENGTHS
            if length <= len(begun)
        )

    def forget(self) -> None:
        self._values[:] = bytes(len(self._values))


@dataclass(slots=True)
class _Group:
    """A group: the key presses of one party that follow each other within `DIGIT_GAP_S` seconds."""

    start: int
    end: int
    digits: int = 0
    """The sure digits, each counted as often as its key may have been pressed."""

    def is_near(self, edge: _Edge, distance: int) -> bool:
        """Return whether the group must be silenced because of a pause's edge.

        The edge must be at most `distance` samples from the group, and the group long enough (see
        `NEAR_DIGITS`).
        """
        if not self.start - distance <= edge.at <= self.end + distance:
            return False
        before_erased = edge.begins_erased and self.start < edge.at
        return self.digits >= (1 if before_erased else NEAR_DIGITS)


class _Run:
    """A run: the groups of one party that follow each other within `GROUP_GAP_S` seconds."""

    def __init__(self, rate: int) -> None:
        self.captured = False
        """True if the run must be silenced."""
        self.groups: list[_Group] = []
        self._rate = rate
        self._sure = False
        self._digits = [
            _Digits(unsure=unsure, repeated=repeated)
            for unsure in (True, False)
            for repeated in (True, False)
        ]

    @property
    def start(self) -> int:
        return self.groups[0].start

    @property
    def end(self) -> int:
        return self.groups[-1].end

    def reaches(self, position: int) -> bool:
        gap_s = GROUP_GAP_S if self._sure else UNSURE_GAP_S
        return position <= self.end + gap_s * self._rate

    def takes(self, press: KeyPress) -> bool:
        if not self.groups:
            return True
        is_soon = press.start <= self.end + UNSURE_GAP_S * self._rate
        return is_soon or (self.reaches(press.start) and not press.unsure)

    def begins_group(self, press: KeyPress) -> bool:
        return not self.groups or press.start > self.end + DIGIT_GAP_S * self._rate

    def add(self, press: KeyPress) -> bool:
        """Add a key press. Return whether it completes a card number.

        The keys `*`, `#` and A to D are part of the run, but not of a number.
        """
        begins = self.begins_group(press)
        if begins:
            self.groups.append(_Group(press.start, press.end))
        self.groups[-1].end = press.end
        self._sure |= not press.unsure
        if press.continued or press.key >= DIGITS:
            return False
        self.groups[-1].digits += 0 if press.unsure else press.times
        completes = [digits.add(press, begins=begins) for digits in self._digits]
        self.captured = self.captured or any(completes)
        return any(completes)

    def release(self, position: int) -> None:
        """Remove from the run what is before `position`, so that audio before it is released."""
        while len(self.groups) > 1 and self.groups[0].end <= position:
            self.groups.pop(0)
        self.groups[0].start = max(self.groups[0].start, position)

    def forget(self) -> None:
        for digits in self._digits:
            digits.forget()


class CardFilter:
    """Takes blocks of stereo samples, and silences card numbers and digits near pauses in them.

    A position is a number of samples since the recording's start. The blocks are changed in place,
    so that no copy of the silenced samples stays in memory.
    """

    def __init__(self, rate: int, near_pause_s: float = 0.0) -> None:
        """Set up a filter for audio with 8000 or 16000 samples a second.

        If `near_pause_s` (up to `MOST_NEAR_S`) is not 0, groups of digits at most this many seconds
        from the start or end of a payment pause are silenced too.
        """
        if not 0 <= near_pause_s <= MOST_NEAR_S:
            raise ValueError(f"near_pause_s must be from 0 to {MOST_NEAR_S}")
        self.rate = rate
        self.captured: list[tuple[int, int]] = []
        """The silenced intervals of card numbers and of the digits after them.

        Each is [start, end) in samples. They are in order, and do not touch.
        """
        self.near_pause: list[tuple[int, int]] = []
        """The silenced intervals of digits near a pause. They may overlap `captured`."""
        self.ended = False
        """True after `finish`: everything is decided."""
        self._near = int(near_pause_s * rate)
        self._margin = int(_MARGIN_S * rate)
        self._detectors = DtmfDetector(rate), DtmfDetector(rate)
        self._runs: list[_Run | None] = [None] * TRACKS
        self._edges: deque[_Edge] = deque()
        self._held: deque[Samples] = deque()
        self._ready: deque[Samples] = deque()
        self._released = self._end = 0
        self._card_until = 0

    @property
    def released(self) -> int:
        """The position up to which the audio was released, and does not change any more."""
        return self._released

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the audio that is held back."""
        return sum(block.nbytes for block in self._held)

    def mark_pause_edge(self, position: int, *, begins_erased: bool = False) -> None:
        """Note where a payment pause, or the stretch that it erased, begins or ends.

        This must happen before audio is fed that is `MOST_NEAR_S` seconds later.
        """
        if self._near:
            self._edges.append(_Edge(position, begins_erased))

    def feed(self, block: Samples) -> None:
        """Take the next samples of both parties: an int16 array of shape (n, 2)."""
        begin, self._end = self._end, self._end + len(block)
        self._held.append(block)
        presses = feed_both(self._detectors, block)
        found = [(press, track) for track in range(TRACKS) for press in presses[track]]
        # The margin of a run that ends in this block is silenced only now, because the detectors
        # must hear a digit that begins in the margin.
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
        for track in range(TRACKS):
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
            if run is not None and not run.reaches(press.start):
                self._close(track)
                run = None
            if run is None:
                run = self._runs[track] = _Run(self.rate)
            if not run.takes(press):
                continue
            if run.begins_group(press):
                self._end_group(run)
            run.captured |= press.start < self._card_until and not press.unsure
            if run.add(press):
                self._card_until = press.end + AFTER_CARD_S * self.rate
            if run.captured:
                spans = [self._silence(group.start, group.end) for group in run.groups]
                self.captured = _joined([*self.captured, *spans])
                run.release(run.end)

    def _silence(self, start: int, end: int) -> tuple[int, int]:
        """Silence the audio from `start` to `end` and the margins. Return what was silenced."""
        millisecond = self.rate // 1000
        start = max(self._released, (start - self._margin) // millisecond * millisecond)
        end = -(-(end + self._margin) // millisecond) * millisecond
        at = self._released
        for block in self._held:
            block[max(0, start - at) : max(0, end - at)] = 0
            at += len(block)
        return start, end

    def _close(self, track: int) -> None:
        run, self._runs[track] = self._runs[track], None
        if run is None:
            return
        self._end_group(run)
        run.forget()

    def _end_group(self, run: _Run) -> None:
        if not run.groups or run.captured:
            return
        group = run.groups[-1]
        edges = [edge.at for edge in self._edges if group.is_near(edge, self._near)]
        if edges:
            cut = [at for at in edges if group.end < at <= group.end + _CUT_S * self.rate]
            span = self._silence(group.start, min(cut, default=group.end))
            self.near_pause = _joined([*self.near_pause, span])

    def _release(self) -> None:
        """End the runs that are over, and release the audio that cannot be part of a run."""
        free = self._end
        for track, detector in enumerate(self._detectors):
            settled = detector.settled
            run = self._runs[track]
            if run is not None and not run.reaches(settled):
                self._close(track)
                run = None
            if run is not None:
                run.release(self._end - LONGEST_RUN_S * self.rate)
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
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
