"""One RTP stream (one SSRC): puts its packets in order, decodes them and writes them to a track.

A packet whose predecessor is missing waits 0.4 seconds for it. The first packets after a beginning,
a gap or a doubtful arrival wait as long: together they decide the stream's position. Packets that
simply follow each other gather in a run of up to a second, which is decoded at once.

To "lay" a packet is to write its samples at its position on the track.
"""

from __future__ import annotations

from recording.audio.codecs import NARROW, PayloadCodec
from recording.audio.decoding_run import DecodingRun
from recording.audio.packet_duration import USUAL_US
from recording.audio.packet_queue import HOLD_US, PacketQueue, Strays
from recording.audio.sequence_numbers import SequenceExtender
from recording.audio.stream_clock import QUIET_US, Packet, StreamClock
from recording.audio.stream_decoder import StreamDecoder, StreamDecoders
from recording.audio.track_layer import HEADER, TrackSink, WidebandError
from recording.spool.burst import RTP_HEADER, TrackBurst

_MOST_MISSING = 3000
_MOST_BEHIND = 100
_LAG_US = 4_000_000
"""The time for which late packets gather before the sender's clock counts as having stood still."""
_NEVER_US = 1 << 62
_PLAIN = 0x80
"""Version 2, no padding, no extension, no CSRC."""


class RtpStream:
    """The packets of one SSRC."""

    def __init__(self, track: TrackSink) -> None:
        self.missing: dict[int, None] = {}
        self._track = track
        self._numbering = SequenceExtender()
        self._waiting = PacketQueue()
        self._patience_us = HOLD_US  # packets gather for this time, then settle the clock
        self._next: int | None = None
        self._numbered = False
        """True if all packets before `_next` were laid or given up."""
        self._settled = False
        """True once packets have confirmed the clock, until an arrival contradicts it."""
        self._strays = Strays()
        self._clock: StreamClock | None = None
        self.heard_us = 0
        """The arrival of the last packet with audio, which may still wait."""
        self._voices = StreamDecoders(track.rate)
        self._end = 0
        """The position at which the audio that was laid last ends."""
        self._last: StreamDecoder | None = None
        """The voice that decoded it, which may still hold its last millisecond."""
        self._run = DecodingRun()
        self._expected: tuple[int, ...] | None = None
        self._length = 0
        self._due_us = 0
        self._step_us = 0

    def continues(self, head: tuple[int, ...], at_us: int, data: bytes) -> bool:
        """Take the packet if it is exactly the expected one, as most are; return whether it is."""
        if head != self._expected or len(data) != self._length or not self._run.room:
            return False
        if self._clock is None or not self._clock.note(at_us - self._due_us):
            return False
        flags, kind, sequence, timestamp, ssrc = self._numbering.last = head
        samples = self._length - RTP_HEADER
        self.heard_us = at_us
        counted = self._track.counted
        counted.received += 1
        counted.codecs[self._run.codec] += 1
        self._run.add(data[RTP_HEADER:])
        self._next = (self._next or 0) + 1
        self._expect(flags, kind, sequence + 1, timestamp + samples, ssrc)
        self._due_us += self._step_us
        return True

    def continues_all(self, burst: TrackBurst, start: int, end: int) -> int:
        """Do `continues` for a burst's packets up to the first refused one; return how many."""
        if burst.length != self._length or self._clock is None:
            return 0
        head = burst.head(start)
        count = min(burst.successors(start), end - start, self._run.room)
        if head != self._expected or count <= 0:
            return 0
        due_us, step_us = self._due_us, self._step_us
        arrivals = burst.at_us[start : start + count]
        count = self._clock.note_all([at - due_us - i * step_us for i, at in enumerate(arrivals)])
        if not count:
            return 0
        flags, kind, sequence, timestamp, ssrc = head
        samples = count * (self._length - RTP_HEADER)
        counted = self._track.counted
        counted.received += count
        counted.codecs[self._run.codec] += count
        self._run.add(burst.payload(start, start + count), count)
        self.heard_us = arrivals[count - 1]
        self._numbering.last = burst.head(start + count - 1)
        self._next = (self._next or 0) + count
        self._expect(flags, kind, sequence + count, timestamp + samples, ssrc)
        self._due_us += count * step_us
        return count

    def _expect(self, flags: int, kind: int, sequence: int, timestamp: int, ssrc: int) -> None:
        self._expected = flags, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc

    def expect_nothing(self) -> None:
        """Make the next packet go through `packet`, which examines it fully."""
        self._expected = None

    def packet(
        self, at_us: int, head: tuple[int, ...], codec: PayloadCodec, payload: bytes, data: bytes
    ) -> None:
        """Take any packet.

        Args:
            at_us: The arrival, in µs since the recording's start.
            head: The fixed header: flags, marker and payload type, sequence, timestamp, SSRC.
            codec: The codec of the payload type.
            payload: The RTP payload.
            data: The whole datagram as received.
        """
        count = self._track.counted
        self._expected = None
        number = self._numbering.number(head, self._next)
        lead_us = codec.duration_us(payload) - USUAL_US
        packet = Packet(number, at_us, head[3], codec, payload, data, lead_us)
        if self._is_stray(packet):
            self._strays.add(packet)
            self._judge_strays(at_us)
            return
        self._disown_strays()
        self._doubt(packet)
        if self._numbered and self._next is not None and number < self._next:
            self._straggler(packet)
        elif number == self._next and not self._waiting and self._clock and self._settled:
            count.received += 1
            if self._lay(packet) and head[0] == _PLAIN:
                self._length = RTP_HEADER + len(payload)
                samples = len(payload)
                self._step_us = samples * 1_000_000 // NARROW
                self._due_us = self._clock.due_us(packet, self._run.end)
                self._expect(head[0], head[1] & 0x7F, head[2] + 1, head[3] + samples, head[4])
        elif number in self._waiting:
            count.duplicate += 1
        else:
            count.received += 1
            self._wait(packet)

    def _is_stray(self, packet: Packet) -> bool:
        """Return whether the packet does not fit the stream.

        Either its number is far from the next one, or its number was laid already and its timestamp
        is later than all that was laid, so that it is not a duplicate.
        """
        if self._next is None:
            return False
        ahead = packet.sequence - self._next
        if not -_MOST_BEHIND < ahead < _MOST_MISSING:
            return True
        if ahead >= 0 or not self._numbered or packet.silent or packet.sequence in self.missing:
            return False
        clock = self._clock  # a real duplicate has a position before the end of the audio
        return clock is not None and clock.place(packet) >= max(self._end, self._run.end)

    def _judge_strays(self, now_us: int) -> None:
        """Restart the stream with the strays if they are a new beginning of it."""
        if self._strays.is_a_beginning(now_us):
            strays, others = self._strays.take_alike()
            self._track.counted.late += others
            self._track.counted.lost += self._gone_before(strays[0])
            self._restart()
            for each in strays:
                head = HEADER.unpack_from(each.data)
                self.packet(each.at_us, head, each.codec, each.payload, each.data)

    def _gone_before(self, packet: Packet) -> int:
        """Return the number of packets lost before a packet with a distant number.

        It is 0 if the sender has restarted its numbering: the missing numbers then stand for more
        audio than the silence could hold.
        """
        if self._next is None or self._clock is None or self._clock.doubts(packet):
            return 0
        missing = packet.sequence - self._next
        silence_us = packet.at_us - self.heard_us
        return missing if 0 < missing * packet.length_us <= 1.1 * silence_us else 0

    def _disown_strays(self) -> None:
        """Treat the strays as late packets or duplicates, because the stream continues."""
        for each in self._strays.take():
            behind = 0 if self._next is None else self._next - each.sequence
            if self._numbered and 0 < behind < _MOST_MISSING:
                self._straggler(each)
            else:
                self._track.counted.late += 1

    def _wait(self, packet: Packet) -> None:
        """Let a packet wait for those before it, and lay the packets that waited long enough."""
        waiting = self._waiting
        waiting.push(packet)
        if self._next is None:
            self._next = packet.sequence
        self.drain(_NEVER_US if waiting.is_full else packet.at_us)

    def _doubt(self, packet: Packet) -> None:
        """Mark the clock as not settled if this packet contradicts it or follows a long silence.

        This packet and those after it then wait, and decide the stream's position again.
        """
        if packet.silent:
            return
        quiet = packet.at_us - self.heard_us >= QUIET_US
        self.heard_us = max(self.heard_us, packet.at_us)
        if self._clock is None:
            return
        if self._patience_us == _LAG_US and not self._clock.knows(packet):
            self.flush()  # this packet does not belong to the late ones that wait
            self._settled = False
        if not self._settled:
            return
        if self._next is None or packet.sequence < self._next:
            return
        if quiet:
            self.end()
            self._settled = False
        elif self._clock.doubts(packet):
            self.flush()
            self._settled = False
        elif packet.sequence == self._next and not self._waiting and self._clock.lags(packet):
            self._settled = False
            self._patience_us = _LAG_US

    def interrupt(self) -> None:
        """Begin again after an interruption.

        Packets that are missing in it are not counted as lost, and timestamps may jump.
        """
        self._restart()

    def flush(self) -> None:
        """Lay all packets that wait."""
        if len(self._strays) > 1:
            self._judge_strays(_NEVER_US)
        self._disown_strays()
        if self._waiting:
            self.drain(_NEVER_US)
        self._lay_run()

    def advance(self, now_us: int) -> None:
        """Lay everything that need not wait any longer at `now_us`."""
        self._judge_strays(now_us)
        self.drain(now_us)
        self._lay_run()
        if now_us - self.heard_us >= QUIET_US:
            self._break_off()

    def end(self) -> None:
        """Lay everything that waits and finish the audio, because no packet follows."""
        self.flush()
        self._break_off()

    def _break_off(self, before: int | None = None) -> None:
        """Finish the audio that was laid last: lay the samples its voice still holds.

        With `before`, only those before this position are laid.
        """
        voice, self._last = self._last, None
        if voice is not None:
            rest = voice.rest()
            if before is not None:
                rest = rest[: max(0, before - self._end)]
            if len(rest):
                self._track.put(self._end, rest)

    def drain(self, now_us: int) -> None:
        """Lay the packets that are next in order or have waited long enough.

        With an unsettled clock, nothing is laid until the packets have gathered for long enough.
        """
        waiting = self._waiting
        if not waiting:
            return
        if not self._settled:
            if now_us - waiting.since_us < self._patience_us:
                return
            self._settle()
        while waiting and (
            waiting.first.sequence == self._next or now_us - waiting.first.at_us >= HOLD_US
        ):
            self._lay(waiting.pop())

    def _settle(self) -> None:
        """Settle the clock with the waiting packets, if there is audio among them.

        If there is only comfort noise, it gives a clock that is not settled yet.
        """
        if not self._numbered:
            self._next = self._waiting.first.sequence
            self._numbered = True
        rate = self._track.rate
        heard = [packet for packet in self._waiting if not packet.silent]
        noises = [packet for packet in self._waiting if packet.noise]
        lagging, self._patience_us = self._patience_us == _LAG_US, HOLD_US
        if heard:
            if not lagging or self._clock is None or not self._clock.explains(heard):
                self._clock = StreamClock.anchored(heard, rate, self._clock)
            self._settled = True
        elif noises:
            self._clock = StreamClock.anchored(noises, rate, self._clock)

    def _restart(self) -> None:
        """Finish what is there, and number and place the next packets independently of it."""
        self.end()
        self._expected = None
        self._track.counted.lost += len(self.missing)
        self.missing.clear()
        self._next = None
        self._numbered = self._settled = False

    def _straggler(self, packet: Packet) -> None:
        count = self._track.counted
        if packet.sequence not in self.missing:
            count.duplicate += 1
            return
        del self.missing[packet.sequence]
        count.received += 1
        self._note(packet)
        if self._clock is None or packet.silent:
            return
        self._lay_run()
        voice = StreamDecoder.of(
            packet.codec, self._track.rate
        )  # the stream's voice is past this packet
        samples = None if voice is None else voice.samples(packet.payload, follows=False)
        position = self._clock.place(packet)
        if samples is None or not len(samples):
            self._refuse(packet, position)
        elif not self._clock.knows(packet) or not self._track.put(position, samples):
            count.late += 1

    def _lay(self, packet: Packet) -> bool:
        """Lay one packet after all before it were laid or given up.

        Returns whether the packet was added to the run, to be decoded with it later.
        """
        if self._next is None:
            return False
        if packet.sequence > self._next:
            self.missing.update(dict.fromkeys(range(self._next, packet.sequence)))
            while len(self.missing) > _MOST_MISSING:
                del self.missing[next(iter(self.missing))]
                self._track.counted.lost += 1
        self._next = packet.sequence + 1
        self._note(packet)
        clock = self._clock
        if clock is None:
            return False
        noise = packet.noise
        if noise and packet.silent:
            self._lay_run()
            self._break_off()
            self._track.comfort(clock.roughly(packet), noise, packet.codec.clock)
        if packet.silent:
            return False
        position = clock.follow(packet)
        if self._joins(packet, position):
            self._run.add(packet.payload)
            return True
        self._lay_run()
        self._decode(packet, position)
        if noise:
            self._break_off()
            self._track.comfort(self._end, noise, packet.codec.clock)
        return False

    def _note(self, packet: Packet) -> None:
        if packet.payload:
            self._track.counted.codecs[str(packet.codec)] += 1
        else:
            self._track.counted.received -= 1
            self._track.counted.withheld += 1

    def _joins(self, packet: Packet, position: int) -> bool:
        """Return whether the packet continues the run or begins a new one, which this prepares."""
        voice = self._voice(packet.codec)
        if voice is None or not voice.stateless:
            return False
        if self._clock is None or self._clock.stretch:
            return False
        run = self._run
        if run and voice is run.voice and run.room:
            return run.end == position
        self._lay_run()
        run.begin(voice, str(packet.codec), position)
        return True

    def _lay_run(self) -> None:
        voice = self._run.voice
        if self._run and voice is not None:
            payload = self._run.take()
            start = self._run.end - len(payload) * voice.scale
            follows = self._continues(voice, start, joins=start == self._end)
            self._track.put(start, voice.samples(payload, follows=follows))
            self._end = self._run.end

    def _continues(self, voice: StreamDecoder, start: int, *, joins: bool) -> bool:
        """Return whether this voice's next samples directly follow the last ones.

        If not, finish the audio that was laid last.
        """
        follows = joins and voice is self._last
        if not follows:
            self._break_off(start)
        self._last = voice
        return follows

    def _decode(self, packet: Packet, position: int) -> None:
        voice, clock = self._voice(packet.codec), self._clock
        if voice is None or clock is None:
            self._refuse(packet, position)
            return
        stretch = clock.stretch
        start = position - stretch
        follows = self._continues(voice, start, joins=abs(start - self._end) <= 1)
        if follows and voice.resamples:
            start = self._end
        samples = voice.samples(packet.payload, follows=follows, stretch=stretch)
        if not len(samples):
            self._refuse(packet, position)
            return
        clock.stretch = 0
        self._end = start + len(samples)
        if not self._track.put(start, samples):
            self._track.counted.late += 1

    def _refuse(self, packet: Packet, position: int) -> None:
        if self._track.refuse(packet, position):
            self._track.counted.undecoded += 1
        else:
            self._track.counted.late += 1

    def _voice(self, codec: PayloadCodec) -> StreamDecoder | None:
        voice = self._voices.of(codec)
        if voice is not None and voice.native > self._track.rate == NARROW:
            raise WidebandError(codec.name)
        return voice
