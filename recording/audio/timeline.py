"""Turns a call's RTP packets into samples: two tracks on one time axis.

Arrival decides where a stream begins; RTP timestamps decide the position of each of its packets
(`recording.audio.track`). Both tracks fill a window of ten seconds; samples that leave it are
final. Missing and lost packets and gaps become exact silence of the correct length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from recording.audio.codecs import PayloadCodec, Samples
from recording.audio.raw_packets import UndecodedPacket
from recording.audio.track import Track, TrackCount, WidebandError
from recording.spool.burst import BurstRecord, TrackBurst

__all__ = ["Timeline", "TrackCount", "WidebandError"]

TRACKS = 2
WINDOW_S = 10
"""The longest delay of a packet; one that is held back for longer is left out."""
_HEADER = 12
_US = 1_000_000


class Timeline:
    """Takes packets in the order of their arrival and returns blocks of stereo samples.

    Offsets are microseconds since the recording's start. The window limits the memory used.
    """

    def __init__(self, rate: int) -> None:
        """`rate` is 8000 or 16000 samples a second.

        At 8000 the first packet of a wideband codec raises `WidebandError`; then begin again at
        16000.
        """
        self.rate = rate
        self._tracks = [Track(rate) for _ in range(TRACKS)]
        self._gaps: deque[tuple[int, int | None]] = deque()
        self._ready: deque[Samples] = deque()
        self._emitted = 0
        self._now_us = 0
        self._held: list[UndecodedPacket] = []
        self._undecoded: list[UndecodedPacket] = []

    @property
    def counts(self) -> list[TrackCount]:
        """The packet counts of each track so far."""
        return [track.count() for track in self._tracks]

    def set_payload_types(self, track: int, payloads: Mapping[int, PayloadCodec]) -> None:
        """Set the codecs of a track's payload types from now on."""
        if 0 <= track < TRACKS:
            self._tracks[track].set_payload_types(payloads)

    def packet(self, track: int, at_us: int, data: bytes) -> None:
        """Take one RTP packet. Data that is not RTP is counted and left out."""
        if track < TRACKS:
            self._now_us = at_us
            self._tracks[track].packet(at_us, data)

    def burst(
        self, burst: BurstRecord, shift_us: int, advanced_us: int, step_us: int
    ) -> Iterator[int]:
        """Take many packets, with the same result as `packet` for each; yield times to advance to.

        `shift_us` is added to the packets' times. A time is yielded, for `advance`, after the first
        packet that is at least `step_us` later than the last yielded time (at first `advanced_us`).
        """
        at_us = burst.at_us + shift_us
        picks = [np.flatnonzero(burst.track == track) for track in range(TRACKS)]
        parts = [TrackBurst(at_us[pick], burst.data[pick]) for pick in picks]
        done = [0] * TRACKS
        start = 0
        while start < len(at_us):
            late = at_us[start:] >= advanced_us + step_us
            first = int(np.argmax(late))
            end = start + first + 1 if late[first] else len(at_us)
            for track, pick in enumerate(picks):
                upto = int(np.searchsorted(pick, end))
                self._tracks[track].burst(parts[track], done[track], upto)
                done[track] = upto
            self._now_us = int(at_us[end - 1])
            if late[first]:
                advanced_us = self._now_us
                yield advanced_us
            start = end

    def begin_gap(self, from_us: int) -> None:
        """Begin a gap: silence from `from_us` on, and missing packets are not lost."""
        self._gaps.append((self._sample(from_us), None))
        self.mark_break(from_us)

    def end_gap(self, at_us: int) -> None:
        """End the gap at `at_us`."""
        if self._gaps and self._gaps[-1][1] is None:
            start, _ = self._gaps.pop()
            self._gaps.append((start, self._sample(at_us)))
        self.mark_break(at_us)

    def mark_break(self, at_us: int | None = None) -> None:
        """Expect a break in both tracks: missing packets are not lost, and timestamps may jump.

        `at_us` is the time of the break; None means the time of the last packet.
        """
        position = self._sample(self._now_us if at_us is None else at_us)
        for track in self._tracks:
            track.mark_break(position)

    def undecoded(self) -> list[UndecodedPacket]:
        """Return the packets that could not be decoded, once each, as soon as they are final.

        Packets that arrived in a gap or have audio from one are left out.
        """
        given, self._undecoded = self._undecoded, []
        return given

    def _finalise_undecoded(self, end: int | None) -> None:
        """Make undecodable packets available that arrived before `end`, which is final now.

        None as `end` means all of them.
        """
        for number, track in enumerate(self._tracks):
            for each, position in track.undecoded:
                length = self._sample(each.length_us)
                if not self._overlaps_gap(position, position + length):
                    self._held.append(UndecodedPacket(number, each.at_us, each.codec, each.data))
            track.undecoded.clear()
        due, self._held = self._held, []
        if end is not None:
            self._held = [r for r in due if self._sample(r.at_us) >= end]
            due = [r for r in due if self._sample(r.at_us) < end]
        due.sort(key=lambda each: each.at_us)
        self._undecoded += [r for r in due if not self._is_in_gap(r)]

    def _is_in_gap(self, packet: UndecodedPacket) -> bool:
        arrived = self._sample(packet.at_us)
        begun = self._sample(packet.at_us - packet.codec.duration_us(packet.data[_HEADER:]))
        return self._overlaps_gap(begun, arrived + 1)

    def _overlaps_gap(self, start: int, end: int) -> bool:
        """Return whether a gap overlaps these positions."""
        return any(
            end > gap_from and (gap_to is None or start < gap_to) for gap_from, gap_to in self._gaps
        )

    def advance(self, now_us: int) -> None:
        """Move the window to end at `now_us`: samples before it become final."""
        for track in self._tracks:
            track.advance(now_us)
        horizon = self._sample(now_us) - WINDOW_S * self.rate
        while self._emitted + self.rate <= horizon:
            self._emit(self.rate)

    def blocks(self) -> Iterator[Samples]:
        """Yield the final samples, once each, as int16 arrays of shape (n, 2)."""
        while self._ready:
            yield self._ready.popleft()

    def finish(self, length_us: int) -> None:
        """Make all samples final, up to exactly the call's length."""
        for track in self._tracks:
            track.flush()
        end = self._sample(length_us)
        while self._emitted < end:
            self._emit(min(self.rate, end - self._emitted))
        self._finalise_undecoded(None)

    def _sample(self, at_us: int) -> int:
        return at_us * self.rate // _US

    def _emit(self, count: int) -> None:
        start, end = self._emitted, self._emitted + count
        block = np.stack([track.take(count) for track in self._tracks], axis=1)
        for gap_from, gap_to in self._gaps:
            to = end if gap_to is None else gap_to
            block[max(0, gap_from - start) : max(0, to - start)] = 0
        self._finalise_undecoded(end)
        while self._gaps and self._gaps[0][1] is not None and self._gaps[0][1] <= start:
            self._gaps.popleft()
        self._emitted = end
        self._ready.append(block)
