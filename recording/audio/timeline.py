"""Turns a call's RTP packets into the samples of two tracks on one time axis.

The arrival times of a stream's first packets decide where the stream begins. The RTP timestamps
decide where each later packet is (`recording.audio.stream_clock`). The samples of the most recent
ten seconds, called the *window*, can still change; earlier samples are *final*. In place of lost
packets and gaps, there is silence of exactly the same length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from recording.audio.codecs import PayloadCodec, Samples
from recording.audio.payloads import UndecodedPacket
from recording.audio.track import Track
from recording.audio.track_counts import Progress, TrackFacts
from recording.spool.burst import BurstRecord, TrackBurst
from recording.spool.packet_counts import CHANNELS, TRACKS

WINDOW_S = 10
"""The time in seconds for which samples can still change.

If a packet is delayed for longer than this, its audio may be lost.
"""
_BLOCK_S = 10
"""The length in seconds of the longest block of samples.

A longer block costs less for each sample, and takes more memory while it is searched for digits.
"""
_US = 1_000_000


class Timeline:
    """Receives the packets of a call as they arrive, and returns blocks of stereo samples.

    All times are microseconds since the recording's start. Returned samples are removed from
    memory.
    """

    def __init__(self, rate: int) -> None:
        """Set up an empty timeline with 8000 or 16000 samples a second.

        With 8000, `WidebandError` is raised when a packet of a wideband codec is to be decoded. All
        packets must then be processed again with 16000.
        """
        self.rate = rate
        self._tracks = [Track(rate, channel) for channel in CHANNELS]
        self._gaps: deque[tuple[int, int | None]] = deque()
        self._ready: deque[Samples] = deque()
        self._emitted = 0
        self._now_us = 0
        self._held: list[UndecodedPacket] = []
        self._undecoded: list[UndecodedPacket] = []

    @property
    def counts(self) -> list[TrackFacts]:
        """The packet counts of each track, up to the most recent packet."""
        return [track.count() for track in self._tracks]

    @property
    def progress(self) -> list[Progress]:
        """The numbers of heard and lost packets of each track, up to the most recent packet."""
        return [track.progress() for track in self._tracks]

    def set_payload_types(self, track: int, payloads: Mapping[int, PayloadCodec]) -> None:
        """Set the codecs of a track's dynamic payload types, for all later packets."""
        if 0 <= track < TRACKS:
            self._tracks[track].set_payload_types(payloads)

    def packet(self, track: int, at_us: int, data: bytes) -> None:
        """Process one RTP packet. Other data is only counted as malformed."""
        if track < TRACKS:
            self._now_us = at_us
            self._tracks[track].packet(at_us, data)

    def burst(
        self, burst: BurstRecord, shift_us: int, advanced_us: int, step_us: int
    ) -> Iterator[int]:
        """Process many packets, with the same result as if `packet` were called for each.

        At intervals of at least `step_us` from `advanced_us` on, yield the arrival time of the
        latest packet. The caller must then call `advance` with this time. `shift_us` is added to
        each arrival time.
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
        """Begin a gap: the audio is silent, and missing packets are not counted as lost."""
        self._gaps.append((self._sample(from_us), None))
        self.mark_break(from_us)

    def end_gap(self, at_us: int) -> None:
        """End the current gap."""
        if self._gaps and self._gaps[-1][1] is None:
            start, _ = self._gaps.pop()
            self._gaps.append((start, self._sample(at_us)))
        self.mark_break(at_us)

    def silence(self, from_us: int, to_us: int) -> None:
        """Make the audio silent from `from_us` to `to_us`, as in a gap that has ended.

        Final samples do not change.
        """
        span = self._sample(from_us), self._sample(to_us)
        is_open = bool(self._gaps) and self._gaps[-1][1] is None
        self._gaps.insert(len(self._gaps) - is_open, span)

    def mark_break(self, at_us: int | None = None) -> None:
        """Interrupt all streams at `at_us`; None means the arrival of the latest packet.

        Packets that do not arrive during the interruption are not counted as lost. After it, the
        timestamps may begin at any value.
        """
        position = self._sample(self._now_us if at_us is None else at_us)
        for track in self._tracks:
            track.mark_break(position)

    def mark_lost(self, track: int, at_us: int) -> None:
        """Interrupt a track's streams at `at_us`, because the kernel dropped packets."""
        if 0 <= track < TRACKS:
            self._tracks[track].mark_break(self._sample(at_us))

    def undecoded(self) -> list[UndecodedPacket]:
        """Return the undecodable packets that were not returned before.

        Packets of the most recent `WINDOW_S` seconds are returned later. A packet that arrived in a
        gap, or whose audio is partly in a gap, is never returned.
        """
        given, self._undecoded = self._undecoded, []
        return given

    def _finalise_undecoded(self, end: int | None) -> None:
        """Let `undecoded` return the packets outside gaps before sample `end` (None: all)."""
        for number, track in enumerate(self._tracks):
            for each, position in track.undecoded:
                length = self._sample(each.length_us)
                if not self._overlaps_gap(position, position + length):
                    from_us = position * _US // self.rate
                    self._held.append(
                        UndecodedPacket(
                            number,
                            each.at_us,
                            each.codec,
                            each.data,
                            from_us,
                            from_us + each.length_us,
                        )
                    )
            track.undecoded.clear()
        due, self._held = self._held, []
        if end is not None:
            self._held = [r for r in due if self._sample(r.at_us) >= end]
            due = [r for r in due if self._sample(r.at_us) < end]
        due.sort(key=lambda each: each.at_us)
        self._undecoded += [r for r in due if not self._is_in_gap(r)]

    def _is_in_gap(self, packet: UndecodedPacket) -> bool:
        begun, arrived = packet.arrived_us
        return self._overlaps_gap(self._sample(begun), self._sample(arrived - 1) + 1)

    def _overlaps_gap(self, start: int, end: int) -> bool:
        """Return whether one of the positions `start` to `end` (exclusive) is in a gap."""
        return any(
            end > gap_from and (gap_to is None or start < gap_to) for gap_from, gap_to in self._gaps
        )

    def advance(self, now_us: int) -> None:
        """Set the present time. Whole seconds before the latest `WINDOW_S` seconds become final."""
        for track in self._tracks:
            track.advance(now_us)
        horizon = self._sample(now_us) - WINDOW_S * self.rate
        while self._emitted + self.rate <= horizon:
            self._emit(self.rate)

    @property
    def ready_samples(self) -> int:
        """The number of samples of each track that `blocks` would yield now."""
        return sum(map(len, self._ready))

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the samples and undecodable packets in memory."""
        packets = sum(len(each.data) for each in (*self._held, *self._undecoded))
        blocks = sum(block.nbytes for block in self._ready)
        return packets + blocks + sum(track.held_bytes for track in self._tracks)

    def blocks(self) -> Iterator[Samples]:
        """Yield the final samples that were not yielded before.

        Each block is an int16 array of shape (n, 2), one column for each track, of at most
        `_BLOCK_S` seconds.
        """
        while self._ready:
            parts = [self._ready.popleft() for _ in range(min(_BLOCK_S, len(self._ready)))]
            yield _joined(parts) if len(parts) > 1 else parts[0]

    def finish(self, length_us: int) -> None:
        """End the audio at `length_us`, the call's length. `blocks` then yields the rest."""
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


def _joined(parts: list[Samples]) -> Samples:
    """Return the parts as one block, and overwrite them: they can have the tones of a card."""
    block = np.concatenate(parts)
    for part in parts:
        part.fill(0)
    return block
