"""Decodes the packets of one RTP stream and writes their samples to a track.

`recording.audio.rtp_stream` calls this module with the packets sorted by sequence number. A
`StreamClock` computes each packet's position on the track, in samples. Packets that follow each
other without a break are collected in a *run*, which is at most one second long. The packets of a
run are decoded together.
"""

from __future__ import annotations

from recording.audio.codecs import NARROW, PayloadCodec
from recording.audio.decoding_run import DecodingRun
from recording.audio.stream_clock import Packet, StreamClock
from recording.audio.stream_decoder import StreamDecoder, StreamDecoders
from recording.audio.track_sink import TrackSink, WidebandError


class StreamWriter:
    """The writer of one stream's audio.

    Attributes:
        run: The current run: packets that follow each other without a break and are not decoded
            yet.
    """

    def __init__(self, track: TrackSink) -> None:
        self.run = DecodingRun()
        self._track = track
        self._decoders = StreamDecoders(track.rate)
        self._end = 0
        """The position on the track at which the most recently written audio ends."""
        self._last: StreamDecoder | None = None
        """The decoder of the most recently written audio.

        The decoder's resampler may still have the final millisecond of this audio.
        """

    @property
    def end(self) -> int:
        """The position on the track at which this stream's audio ends, in samples.

        The packets that wait in `run` count as audio.
        """
        return max(self._end, self.run.end)

    def write(self, packet: Packet, clock: StreamClock) -> bool:
        """Write the next packet of the stream to the track, or add it to `run`.

        `run` has packets that wait; later they are decoded together and written. Return True if the
        packet was added to `run`. If the packet describes comfort noise, fill the silence up to the
        next audio with this noise.
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
        """Write a packet that arrived after packets with higher sequence numbers were written."""
        self.write_run()
        # The stream's own decoder has already decoded later packets, so its state does not fit this
        # packet. Therefore a new decoder is used.
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
        """Write the last samples of the most recent audio, which the decoder still has.

        Call this method if the next audio does not directly follow this audio. Only samples
        before the position `before` are written. If `before` is None, all are written.
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

        `position` is the packet's position on the track. If `run` is full or has packets for
        another decoder, write these packets to the track and empty `run`. If `run` is empty, it
        begins at `position`, so the packet can be added.
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

        This is the case if the same decoder decoded the written audio and `touches` is true.
        `touches` says that the written audio ends at `start`, where the next samples begin. If the
        result is False, this method calls `finish`.
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
