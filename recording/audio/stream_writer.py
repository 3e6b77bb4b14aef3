"""Decodes the packets of one RTP stream and writes their samples to a track.

The packets come sorted by sequence number, except late ones. A `StreamClock` computes their
positions in samples. Packets of a stateless decoder (G.711) that follow each other without a break
are collected in a *run* of at most `_MOST` packets, and decoded together.
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

from recording.audio.codecs import NARROW, PayloadCodec, Samples
from recording.audio.network_quality import NetworkCount
from recording.audio.stream_clock import Packet, StreamClock
from recording.audio.stream_decoder import StreamDecoder, StreamDecoders
from recording.audio.track_counts import TrackFacts

HEADER: Final = struct.Struct("!BBHII")
"""Flags, marker and payload type, sequence number, timestamp, SSRC (RFC 3550, section 5.1)."""
_MOST = 50
"""The most packets of a run: one second of audio with packets of 20 ms."""


class WidebandError(Exception):
    """A packet of a wideband codec was received, but the timeline has 8000 samples a second."""


class TrackSink(Protocol):
    """The track to which a stream writes its samples.

    A position is a number of samples since the recording's start. The sample at a position is
    *final* when it can no longer change.
    """

    rate: int
    counted: TrackFacts
    network: NetworkCount

    def write(self, position: int, samples: Samples) -> bool:
        """Write samples at `position`; return False if all these positions are final."""

    def begin_noise(self, position: int, noise: bytes, clock: int) -> None:
        """Fill the silence at `position` with noise (RFC 3389, `clock` Hz) until the next audio."""

    def keep_undecoded(self, packet: Packet, position: int) -> bool:
        """Store an undecodable packet and its position; return False if its time is final."""


class DecodingRun:
    """The RTP payloads of consecutive packets that one stateless decoder will decode together."""

    def __init__(self) -> None:
        self.count = 0
        """The number of packets in `_parts`. One part can hold several packets."""
        self.end = 0
        """The position on the track at which the samples of the added packets end."""
        self.decoder: StreamDecoder | None = None
        self.codec = ""
        self._parts: list[bytes] = []

    def __bool__(self) -> bool:
        return self.count > 0

    @property
    def room(self) -> int:
        """The number of packets that can still be added."""
        return _MOST - self.count

    def begin(self, decoder: StreamDecoder, codec: str, position: int) -> None:
        """Set the decoder, the codec (such as `PCMA/8000`) and the position of the next packets.

        Remove all earlier packets with `take` first.
        """
        self.decoder, self.codec, self.end = decoder, codec, position

    def add(self, rtp_payload: bytes, count: int = 1) -> None:
        """Add the RTP payload of the next packet, or the joined payloads of `count` packets."""
        if self.decoder is not None:
            self._parts.append(rtp_payload)
            self.count += count
            self.end += len(rtp_payload) * self.decoder.scale

    def take(self) -> bytes:
        """Remove all packets and return their joined RTP payloads."""
        rtp_payload = b"".join(self._parts)
        self._parts.clear()
        self.count = 0
        return rtp_payload


class StreamWriter:
    """The writer of one stream's audio; `run` has the packets that are not decoded yet."""

    def __init__(self, track: TrackSink) -> None:
        self.run = DecodingRun()
        self._track = track
        self._decoders = StreamDecoders(track.rate)
        self._end = 0
        """The position on the track at which the most recently written audio ends."""
        self._last: StreamDecoder | None = None
        """The decoder of the most recent audio; it may still have the final millisecond."""

    @property
    def end(self) -> int:
        """The position at which this stream's audio ends, with the packets in `run`."""
        return max(self._end, self.run.end)

    def write(self, packet: Packet, clock: StreamClock) -> bool:
        """Write the next packet of the stream; return True if it waits in `run` instead.

        The comfort noise that a packet describes fills the silence up to the next audio.
        """
        noise = packet.noise
        if packet.has_no_audio:
            if noise:
                self.write_run()
                self.finish()
                position = clock.approximate_position(packet)
                self._track.begin_noise(position, noise, packet.codec.clock)
            return False
        position = clock.next_position(packet, self.end)
        if self._fits_run(packet, position, clock):
            self.run.add(packet.rtp_payload)
            return True
        self.write_run()
        self._decode(packet, position, clock)
        if noise:
            self.finish()
            self._track.begin_noise(self._end, noise, packet.codec.clock)
        return False

    def write_late(self, packet: Packet, clock: StreamClock) -> None:
        """Write a packet that arrived after packets with higher numbers were written."""
        self.write_run()
        # The state of the stream's own decoder, which has decoded later packets, does not fit this
        # packet.
        decoder = StreamDecoder.of(packet.codec, self._track.rate)
        samples = None if decoder is None else decoder.samples(packet.rtp_payload, follows=False)
        position = clock.position(packet)
        if samples is None or not len(samples):
            self._keep_undecoded(packet, position)
        elif not clock.fits(packet) or not self._track.write(position, samples):
            self._track.counted.late += 1

    def write_run(self) -> None:
        """Decode the packets that wait in `run`, write their samples, and empty `run`."""
        decoder = self.run.decoder
        if self.run and decoder is not None:
            rtp_payload = self.run.take()
            start = self.run.end - len(rtp_payload) * decoder.scale
            follows = self._follows_last(decoder, start, touches=start == self._end)
            self._track.write(start, decoder.samples(rtp_payload, follows=follows))
            self._end = self.run.end

    def finish(self, before: int | None = None) -> None:
        """Write the last samples that the decoder still has, up to the position `before`.

        Call this method if the next audio does not directly follow.
        """
        decoder, self._last = self._last, None
        if decoder is not None:
            rest = decoder.flush()
            if before is not None:
                rest = rest[: max(0, before - self._end)]
            if len(rest):
                self._track.write(self._end, rest)

    def _fits_run(self, packet: Packet, position: int, clock: StreamClock) -> bool:
        """Return whether the packet can be added to `run`.

        A full run, or a run of another decoder, is written first. A new run begins at `position`.
        """
        decoder = self._decoder_for(packet.codec)
        if decoder is None or not decoder.stateless or clock.stretch:
            return False
        run = self.run
        if run and decoder is run.decoder and run.room:
            return run.end == position
        self.write_run()
        run.begin(decoder, str(packet.codec), position)
        return True

    def _follows_last(self, decoder: StreamDecoder, start: int, *, touches: bool) -> bool:
        """Return whether the next samples of this decoder directly follow the written audio.

        They do if the decoder is the same and the audio ends at `start` (`touches`). Otherwise,
        also write the end of the earlier decoder's audio.
        """
        follows = touches and decoder is self._last
        if not follows:
            self.finish(start)
        self._last = decoder
        return follows

    def _decode(self, packet: Packet, position: int, clock: StreamClock) -> None:
        decoder = self._decoder_for(packet.codec)
        if decoder is None:
            self._keep_undecoded(packet, position)
            return
        stretch = clock.stretch
        start = position - stretch
        follows = self._follows_last(decoder, start, touches=abs(start - self._end) <= 1)
        if follows and decoder.resamples:
            start = self._end
        samples = decoder.samples(packet.rtp_payload, follows=follows, stretch=stretch)
        if not len(samples):
            self._keep_undecoded(packet, position)
            return
        clock.stretch = 0
        self._end = start + len(samples)
        if not self._track.write(start, samples):
            self._track.counted.late += 1

    def _keep_undecoded(self, packet: Packet, position: int) -> None:
        if self._track.keep_undecoded(packet, position):
            self._track.counted.undecoded += 1
        else:
            self._track.counted.late += 1

    def _decoder_for(self, codec: PayloadCodec) -> StreamDecoder | None:
        decoder = self._decoders.of(codec)
        if decoder is not None and decoder.native_rate > self._track.rate == NARROW:
            raise WidebandError(codec.name)
        return decoder
