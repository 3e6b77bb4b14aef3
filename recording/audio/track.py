"""One track of the timeline: the RTP streams of one party, and this party's most recent samples.

A sample is *final* when `Track.take` has returned it. It can then no longer change, and the track
soon removes it from its buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recording.audio.codecs import NARROW, STATIC, PayloadCodec, Samples
from recording.audio.comfort_noise import Noise
from recording.audio.network_quality import NetworkCount, network_facts
from recording.audio.rtp_stream import RtpStream
from recording.audio.stream_clock import Packet
from recording.audio.stream_writer import HEADER
from recording.audio.track_counts import Progress, TrackFacts, no_track_packets
from recording.spool.burst import TrackBurst

_MOST_STREAMS = 4
_US = 1_000_000
_ROOM_S = 18
"""The length of the sample buffer in seconds.

It has room for the ten seconds that can still change, for some seconds of packets that arrive early
or are decoded together, and for `_GIVEN_S`. If it is too short, it grows for a while.
"""
_GIVEN_S = 4
"""The seconds of final samples that are removed from the buffer together."""


class Track:
    """The samples of one party, and its packet counts.

    A position is a number of samples since the recording's start.
    """

    def __init__(self, rate: int, channel: str) -> None:
        self.rate = rate
        self.counted = no_track_packets(channel)
        self.network = NetworkCount()
        self._payloads: dict[int, PayloadCodec] = dict(STATIC)
        self._streams: dict[int, RtpStream] = {}
        self._samples = np.zeros(_ROOM_S * rate, dtype=np.int16)
        self._origin = 0
        """The position of the first sample in the buffer."""
        self._start = 0
        """The position of the first sample that is not final."""
        self._noise: Noise | None = None
        self._noise_at = 0
        """The position up to which comfort noise is written."""
        self.undecoded: list[tuple[Packet, int]] = []
        """The undecodable packets with the positions of their audio; `Timeline` removes them."""

    def count(self) -> TrackFacts:
        """Return the packet counts. Packets that are missing at present are counted as lost."""
        missing = sum(len(stream.missing) for stream in self._streams.values())
        for stream in self._streams.values():
            stream.finish_jitter()
        network = replace(self.network)
        for stream in self._streams.values():
            stream.count_missing(network)
        counted = replace(self.counted, lost=self.counted.lost + missing)
        return replace(counted, network=network_facts(counted, network))

    def progress(self) -> Progress:
        """Return how many packets were heard and lost until now. A lost packet may still arrive."""
        missing = sum(len(stream.missing) for stream in self._streams.values())
        return Progress(self.counted.heard, self.counted.lost + missing)

    def set_payload_types(self, payloads: Mapping[int, PayloadCodec]) -> None:
        """Replace the codecs of all dynamic payload types."""
        self._payloads = {**STATIC, **payloads}
        for stream in self._streams.values():
            stream.expect_nothing()

    def packet(self, at_us: int, data: bytes) -> None:
        """Process one datagram that arrived at `at_us` (µs since the recording's start)."""
        if len(data) < HEADER.size or data[0] >> 6 != 2:
            self.counted.malformed += 1
            return
        head = HEADER.unpack_from(data)
        stream = self._streams.get(head[4])
        if stream is not None and stream.take_expected(head, at_us, data):
            return
        flags, kind, _, _, ssrc = head
        rtp_payload = data[12:] if flags == 0x80 else _rtp_payload(data, flags)
        codec = self._payloads.get(kind & 0x7F)
        if codec is None:
            codec = PayloadCodec(f"payload-type-{kind & 0x7F}", NARROW)
        stream = stream or self._new_stream(ssrc)
        stream.packet(at_us, head, codec, rtp_payload, data)

    def burst(self, burst: TrackBurst, start: int, end: int) -> None:
        """Process packets `start` to `end` (exclusive), with the effect of `packet` for each."""
        while start < end:
            stream = self._streams.get(burst.ssrc(start))
            taken = 0 if stream is None else stream.take_expected_burst(burst, start, end)
            if not taken:
                self.packet(burst.at_us[start], burst.datagram(start))
                taken = 1
            start += taken

    def _new_stream(self, ssrc: int) -> RtpStream:
        while len(self._streams) >= _MOST_STREAMS:
            longest_ago = min(self._streams, key=lambda each: self._streams[each].heard_us)
            left = self._streams.pop(longest_ago)
            left.end()
            left.give_up_missing()
        self._streams[ssrc] = RtpStream(self)
        return self._streams[ssrc]

    def mark_break(self, position: int) -> None:
        """Interrupt all streams (see `Timeline.mark_break`); end comfort noise at `position`."""
        for stream in self._streams.values():
            stream.mark_break()
        self._end_noise(position)

    def advance(self, now_us: int) -> None:
        """Write the audio of the packets that have waited long enough at `now_us`."""
        for stream in self._streams.values():
            stream.advance(now_us)

    def flush(self) -> None:
        """Write the audio of all waiting packets, because no more packets follow."""
        for stream in self._streams.values():
            stream.end()

    def keep_undecoded(self, packet: Packet, position: int) -> bool:
        """Store a packet that cannot be decoded, and return True.

        If `take` has already returned the samples at its positions, return False: the gaps there
        are no longer known, so the packet may belong to a gap, such as a payment.
        """
        if position + packet.length_us * self.rate // _US < self._start:
            return False
        self.undecoded.append((packet, position))
        return True

    def begin_noise(self, position: int, noise: bytes, clock: int) -> None:
        """Fill the silence at `position` with noise (RFC 3389, `clock` Hz) until the next audio."""
        self._end_noise(position)
        self._noise = Noise(noise, clock, self.rate)
        self._noise_at = position

    def _end_noise(self, position: int) -> None:
        self._write_noise(position)
        self._noise = None

    def _write_noise(self, end: int) -> None:
        start = max(self._noise_at, self._start)
        if self._noise is not None and start < end:
            self._write(start, self._noise.samples(start, end - start))
            self._noise_at = end

    def write(self, position: int, samples: Samples) -> bool:
        """Write samples that begin at `position`.

        Samples at positions that `take` has already returned are not written. Return False if none
        is written for this reason.
        """
        if self._noise is not None and position >= self._noise_at:
            self._end_noise(position)
        return self._write(position, samples)

    def _write(self, position: int, samples: Samples) -> bool:
        if position < self._start:
            samples, position = samples[self._start - position :], self._start
            if not len(samples):
                return False
        offset = position - self._origin
        end = offset + len(samples)
        if end > len(self._samples):
            grown = np.zeros(end + self.rate, dtype=np.int16)
            grown[: len(self._samples)] = self._samples
            self._samples = grown
        self._samples[offset:end] = samples
        return True

    def take(self, count: int) -> Samples:
        """Return the next `count` samples, which can then no longer change."""
        self._write_noise(self._start + count)
        begin = self._start - self._origin
        taken = np.zeros(count, dtype=np.int16)
        there = self._samples[begin : begin + count]
        taken[: len(there)] = there
        self._start += count
        if self._start - self._origin >= _GIVEN_S * self.rate:
            self._make_room()
        return taken

    def _make_room(self) -> None:
        """Remove the final samples from the buffer, and overwrite them."""
        rest = self._samples[self._start - self._origin :]
        if len(rest) > _ROOM_S * self.rate or len(self._samples) > _ROOM_S * self.rate:
            samples = np.zeros(max(_ROOM_S * self.rate, len(rest)), dtype=np.int16)
            samples[: len(rest)] = rest
            self._samples = samples
        else:
            self._samples[: len(rest)] = rest
            self._samples[len(rest) :] = 0
        self._origin = self._start

    @property
    def held_bytes(self) -> int:
        """The size in bytes of the buffer of samples."""
        return self._samples.nbytes


def _rtp_payload(data: bytes, flags: int) -> bytes:
    """Return the RTP payload of a datagram (RFC 3550, section 5.1).

    It is the part between the header extension and the padding; empty if the lengths are wrong.
    `flags` is the first byte.
    """
    start = 12 + 4 * (flags & 0x0F)
    if flags & 0x10 and len(data) >= start + 4:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - data[-1] if flags & 0x20 else len(data)
    return data[start:end] if start < end else b""
