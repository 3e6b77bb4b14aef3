"""One RTP stream (one SSRC): its packets put in order, decoded, and laid on a track.

A packet whose predecessor is missing waits 0.4 seconds for it, and so do the first packets
after a beginning, a gap or a doubt: together they tell where the stream lies. Packets that
simply follow each other gather in a run of up to a second, which is decoded at once.
"""

from __future__ import annotations

from recording.burst import RTP_HEADER, TrackBurst
from recording.codecs import NARROW, PayloadCodec
from recording.packet_time import USUAL_US
from recording.timeline_clock import QUIET_US, Packet, StreamClock
from recording.timeline_layer import HEADER, Layer, WidebandError
from recording.timeline_numbers import Numbering
from recording.timeline_queue import HOLD_US, Queue, Strays
from recording.timeline_run import Run
from recording.voice import Voice, Voices

_MOST_MISSING = 3000
_MOST_BEHIND = 100
_LAG_US = 4_000_000
"""So long a sender is listened to before its clock is said to have stood still for a moment."""
_NEVER_US = 1 << 62
_PLAIN = 0x80
"""Version 2, no padding, no extension, no CSRC."""


class Stream:
    """The packets of one SSRC."""

    def __init__(self, track: Layer) -> None:
        self.missing: dict[int, None] = {}
        self._track = track
        self._numbering = Numbering()
        self._waiting = Queue()
        self._patience_us = HOLD_US  # what waits gathers for so long before it tells of the clock
        self._next: int | None = None
        self._numbered = False
        """Whether what precedes `_next` was laid or given up."""
        self._settled = False
        """Whether the clock is believed."""
        self._strays = Strays()
        self._clock: StreamClock | None = None
        self.heard_us = 0
        """Arrival of the last packet of sound, whether it is laid yet or waits."""
        self._voices = Voices(track.rate)
        self._end = 0
        """Where what was laid last ends."""
        self._last: Voice | None = None
        """Which made that, and may still hold its last millisecond."""
        self._run = Run()
        self._expected: tuple[int, ...] | None = None
        self._length = 0
        self._due_us = 0
        self._step_us = 0

    def continues(self, head: tuple[int, ...], at_us: int, data: bytes) -> bool:
        """Take the packet if it is what was expected next, which most packets are."""
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
        """As `continues`, for a burst's packets up to the first that it refuses; how many."""
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
        """The next packet is looked at closely."""
        self._expected = None

    def packet(
        self, at_us: int, head: tuple[int, ...], codec: PayloadCodec, payload: bytes, data: bytes
    ) -> None:
        """Take any packet, which came as `data`.

        `head` is its fixed header: flags, kind, sequence, timestamp, SSRC.
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
        """Whether its number, or its timestamp with this number, is none of the stream's."""
        if self._next is None:
            return False
        ahead = packet.sequence - self._next
        if not -_MOST_BEHIND < ahead < _MOST_MISSING:
            return True
        if ahead >= 0 or not self._numbered or packet.silent or packet.sequence in self.missing:
            return False
        clock = self._clock  # what was laid before is no older than it
        return clock is not None and clock.place(packet) >= max(self._end, self._run.end)

    def _judge_strays(self, now_us: int) -> None:
        """If nothing else came for so long, the sender counts anew from the first of them."""
        if self._strays.is_a_beginning(now_us):
            strays, others = self._strays.take_alike()
            self._track.counted.late += others
            self._track.counted.lost += self._gone_before(strays[0])
            self._restart()
            for each in strays:
                head = HEADER.unpack_from(each.data)
                self.packet(each.at_us, head, each.codec, each.payload, each.data)

    def _gone_before(self, packet: Packet) -> int:
        """How many packets are missing before a distant one, if its sender counted on."""
        if self._next is None or self._clock is None or self._clock.doubts(packet):
            return 0
        missing = packet.sequence - self._next
        silence_us = packet.at_us - self.heard_us
        return missing if 0 < missing * packet.length_us <= 1.1 * silence_us else 0

    def _disown_strays(self) -> None:
        """The stream goes on: they are late, if they were not here before."""
        for each in self._strays.take():
            behind = 0 if self._next is None else self._next - each.sequence
            if self._numbered and 0 < behind < _MOST_MISSING:
                self._straggler(each)
            else:
                self._track.counted.late += 1

    def _wait(self, packet: Packet) -> None:
        """Let it wait for those before it, and see who has waited long enough."""
        waiting = self._waiting
        waiting.push(packet)
        if self._next is None:
            self._next = packet.sequence
        self.drain(_NEVER_US if waiting.is_full else packet.at_us)

    def _doubt(self, packet: Packet) -> None:
        """Let this packet and those after it tell where the stream lies, if the clock is wrong."""
        if packet.silent:
            return
        quiet = packet.at_us - self.heard_us >= QUIET_US
        self.heard_us = max(self.heard_us, packet.at_us)
        if self._clock is None:
            return
        if self._patience_us == _LAG_US and not self._clock.knows(packet):
            self.flush()  # it is no more of those that the others are late with
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
        """What does not come now was not lost, and timestamps go on as they like."""
        self._restart()

    def flush(self) -> None:
        """Wait no longer."""
        if len(self._strays) > 1:
            self._judge_strays(_NEVER_US)
        self._disown_strays()
        if self._waiting:
            self.drain(_NEVER_US)
        self._lay_run()

    def advance(self, now_us: int) -> None:
        """Leave nothing in hand that could be laid."""
        self._judge_strays(now_us)
        self.drain(now_us)
        self._lay_run()
        if now_us - self.heard_us >= QUIET_US:
            self._break_off()

    def end(self) -> None:
        """Nothing more will come."""
        self.flush()
        self._break_off()

    def _break_off(self, before: int | None = None) -> None:
        """What was laid last ends there: lay the rest of it, up to `before`."""
        voice, self._last = self._last, None
        if voice is not None:
            rest = voice.rest()
            if before is not None:
                rest = rest[: max(0, before - self._end)]
            if len(rest):
                self._track.put(self._end, rest)

    def drain(self, now_us: int) -> None:
        """Lay what is next in order, or has waited long enough."""
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
        """Where the stream lies is told by what has gathered, if there is sound among it."""
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
        """Number and place what follows without regard to what was."""
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
        voice = Voice.of(packet.codec, self._track.rate)  # the stream's own is beyond this packet
        samples = None if voice is None else voice.samples(packet.payload, follows=False)
        position = self._clock.place(packet)
        if samples is None or not len(samples):
            self._refuse(packet, position)
        elif not self._clock.knows(packet) or not self._track.put(position, samples):
            count.late += 1

    def _lay(self, packet: Packet) -> bool:
        """Place one packet, all before it being laid or given up; whether it is in the run."""
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
        """Whether the packet continues, or can begin, a run that is decoded at once."""
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

    def _continues(self, voice: Voice, start: int, *, joins: bool) -> bool:
        """Whether what this voice says next follows; if not, what was laid last is finished."""
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

    def _voice(self, codec: PayloadCodec) -> Voice | None:
        voice = self._voices.of(codec)
        if voice is not None and voice.native > self._track.rate == NARROW:
            raise WidebandError(codec.name)
        return voice
