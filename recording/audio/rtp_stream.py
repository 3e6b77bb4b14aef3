"""Sorts the packets of one RTP stream (one SSRC), and decides the position of each packet.

The *number* of a packet is its extended sequence number, which never wraps. A *stray* is a packet
whose number does not continue the numbers of the stream. The *clock* of a stream converts RTP
timestamps into positions on the track (see `StreamClock`).

A packet waits up to 0.4 seconds for missing packets with lower numbers. All packets wait 0.4
seconds at the start of a stream, after a long silence, and when a packet arrives much earlier or
later than the clock expects. When a packet is only a little late (`StreamClock.is_lagging`), all
packets wait four seconds. The waiting packets show whether the clock is right, or set a new one.
`recording.audio.stream_writer` decodes the packets and writes their audio to the track.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from recording.audio.codecs import NARROW, USUAL_US, PayloadCodec
from recording.audio.network_quality import Jitter, LossBursts, NetworkCount
from recording.audio.packet_queue import HOLD_US, PacketQueue, SequenceExtender, Strays
from recording.audio.stream_clock import QUIET_US, Packet, StreamClock
from recording.audio.stream_writer import HEADER, StreamWriter, TrackSink
from recording.spool.burst import RTP_HEADER, TrackBurst

_MOST_MISSING = 3000
_MOST_BEHIND = 100
_LAG_US = 4_000_000
"""The time in µs after which a large delay of all packets is treated as permanent.

A large delay that ends earlier can be a temporary delay in the network.
"""
_NEVER_US = 1 << 62
_PLAIN = 0x80
"""The first byte of a plain RTP header: version 2, no padding, no extension, no CSRC."""


class StreamState(Enum):
    """The state of a stream's clock. It decides whether packets are written at once, or wait."""

    NEW = "new"
    """No packet was written since the stream began or since it was interrupted.

    The next packet's number and position on the track are not known yet.
    """
    CONFIRMED = "confirmed"
    """The clock is right, so a packet with the expected number is written immediately."""
    DOUBTED = "doubted"
    """The clock may be wrong. The next packets with audio show whether it is right."""
    LAGGING = "lagging"
    """The packets arrive later than the clock expects from their RTP timestamps.

    The network is slow, or the sender's clock stopped for a while. The packets wait until it is
    known which.
    """


class RtpStream:
    """The packets of one SSRC, and the state of the stream's clock.

    This class is not divided, because one packet can change the expected packet number, the clock
    and its state. The stream does not wait for the packets `missing` (oldest first), but they may
    still arrive. `heard_us` is the arrival (µs) of the latest packet with audio, which may still be
    waiting.
    """

    def __init__(self, track: TrackSink) -> None:
        self.state = StreamState.NEW
        self.missing: dict[int, None] = {}
        self.heard_us = 0
        self._track = track
        self._numbering = SequenceExtender()
        self._waiting = PacketQueue()
        self._strays = Strays()
        self._clock: StreamClock | None = None
        self._next: int | None = None
        """The number of the packet that is expected next; None if the number is unknown.

        The stream does not wait for packets with lower numbers, except in the state NEW.
        """
        self._audio = StreamWriter(track)
        self._run = self._audio.run
        self._expected: tuple[int, ...] | None = None
        self._length = 0
        self._due_us = 0
        self._step_us = 0
        self._jitter = Jitter(track.network)
        self._bursts = LossBursts()
        self._late_us = 0
        """The delay in µs of the packet before the expected one."""

    def _set_state(self, state: StreamState) -> None:
        """Change the state. Only this method changes the state.

        In all states except CONFIRMED, packets wait for `_patience_us`. After that, the state
        becomes CONFIRMED if one of the waiting packets has audio, and otherwise DOUBTED.

        CONFIRMED becomes LAGGING when a packet is late. It becomes DOUBTED after a long silence, or
        when a packet is very late, is too early or has another clock rate. LAGGING becomes DOUBTED
        when a packet is too early or has another clock rate. When the stream is interrupted, every
        state becomes NEW.
        """
        self.state = state

    @property
    def _patience_us(self) -> int:
        """The time in µs for which packets must wait in all states except CONFIRMED."""
        return _LAG_US if self.state is StreamState.LAGGING else HOLD_US

    @property
    def _is_confirmed(self) -> bool:
        return self.state is StreamState.CONFIRMED

    def _is_past(self, number: int) -> bool:
        """Return whether the packet with this number was written, or is not waited for."""
        if self.state is StreamState.NEW or self._next is None:
            return False
        return number < self._next

    def take_expected(self, head: tuple[int, ...], at_us: int, data: bytes) -> bool:
        """Take a packet if it is the expected one. Return whether it was taken.

        This is the fast path for most packets, which are decoded later, many at once. An expected
        packet is not taken if `run` is full or the clock may need a correction. A packet that was
        not taken must be given to `packet`, which describes the arguments.
        """
        if head != self._expected or len(data) != self._length or not self._run.room:
            return False
        late_us = at_us - self._due_us
        if self._clock is None or not self._clock.note(late_us):
            return False
        self._measure_expected([late_us], at_us, head[3])
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

    def take_expected_burst(self, burst: TrackBurst, start: int, end: int) -> int:
        """Do the work of `take_expected` for several packets. Return how many were taken.

        Begin with the packet at `start`. Stop before `end`, or at a packet that `take_expected`
        would refuse.
        """
        if burst.length != self._length or self._clock is None:
            return 0
        head = burst.head(start)
        count = min(burst.consecutive(start), end - start, self._run.room)
        if head != self._expected or count <= 0:
            return 0
        due_us, step_us = self._due_us, self._step_us
        arrivals = burst.at_us[start : start + count]
        late_us = [at - due_us - i * step_us for i, at in enumerate(arrivals)]
        count = self._clock.note_all(late_us)
        if not count:
            return 0
        newest = burst.head(start + count - 1)
        self._measure_expected(late_us[:count], arrivals[count - 1], newest[3])
        flags, kind, sequence, timestamp, ssrc = head
        samples = count * (self._length - RTP_HEADER)
        counted = self._track.counted
        counted.received += count
        counted.codecs[self._run.codec] += count
        self._run.add(burst.rtp_payload(start, start + count), count)
        self.heard_us = arrivals[count - 1]
        self._numbering.last = newest
        self._next = (self._next or 0) + count
        self._expect(flags, kind, sequence + count, timestamp + samples, ssrc)
        self._due_us += count * step_us
        return count

    def _expect(self, flags: int, kind: int, sequence: int, timestamp: int, ssrc: int) -> None:
        self._expected = flags, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc

    def _measure_expected(self, late_us: list[int], at_us: int, timestamp: int) -> None:
        """Add expected packets to the jitter. `at_us` and `timestamp` are of the final packet."""
        lead_us = self._step_us - USUAL_US
        self._jitter.consecutive(self._late_us, late_us, at_us - lead_us, timestamp)
        self._late_us = late_us[-1]

    def _measure(self, packet: Packet) -> None:
        """Add a packet with audio, which may be out of order, to the jitter."""
        if self._clock is not None and not packet.has_no_audio:
            self._jitter.packet(packet.at_us - packet.lead_us, *self._clock.timing(packet))

    def expect_nothing(self) -> None:
        """Make `take_expected` refuse the next packet, so that `packet` handles it."""
        self._expected = None

    def packet(
        self,
        at_us: int,
        head: tuple[int, ...],
        codec: PayloadCodec,
        rtp_payload: bytes,
        data: bytes,
    ) -> None:
        """Write a packet, let it wait, or count it as a duplicate or a late packet.

        `at_us` is its arrival, in µs since the recording's start. `head` is the fixed RTP header as
        five numbers: the first byte (with the flags), the second byte (marker and payload type),
        the sequence number, the timestamp, and the SSRC. `data` is the whole datagram as received.
        """
        count = self._track.counted
        self._expected = None
        number = self._numbering.extend(head, self._next)
        lead_us = codec.duration_us(rtp_payload) - USUAL_US
        packet = Packet(number, at_us, head[3], codec, rtp_payload, data, lead_us)
        if self._is_stray(packet):
            self._strays.add(packet)
            self._judge_strays(at_us)
            return
        self._drop_strays()
        self._check_clock(packet)
        if self._is_past(number):
            self._late_packet(packet)
        elif number == self._next and not self._waiting and self._clock and self._is_confirmed:
            count.received += 1
            self._measure(packet)
            if self._write_packet(packet) and head[0] == _PLAIN:
                self._length = RTP_HEADER + len(rtp_payload)
                samples = len(rtp_payload)
                self._step_us = samples * 1_000_000 // NARROW
                self._due_us = self._clock.due_us(packet, self._run.end)
                self._late_us = at_us - self._due_us + self._step_us
                self._expect(head[0], head[1] & 0x7F, head[2] + 1, head[3] + samples, head[4])
        elif number in self._waiting:
            count.duplicate += 1
        else:
            count.received += 1
            self._measure(packet)
            self._enqueue(packet)

    def _is_stray(self, packet: Packet) -> bool:
        """Return whether the packet's number does not continue the numbers of the stream.

        The number is far from the expected one. Or a packet with the same number was written
        already, but this packet's timestamp is after all written audio, so it is not a duplicate.
        """
        if self._next is None:
            return False
        ahead = packet.sequence - self._next
        if not -_MOST_BEHIND < ahead < _MOST_MISSING:
            return True
        if not self._is_past(packet.sequence) or packet.sequence in self.missing:
            return False
        if packet.has_no_audio:
            return False
        # A copy of the packet that was written would have a position before the end of the written
        # audio.
        clock = self._clock
        return clock is not None and clock.position(packet) >= self._audio.end

    def _judge_strays(self, now_us: int) -> None:
        """Restart the stream with the strays, if the sender has begun a new numbering."""
        if self._strays.is_a_beginning(now_us):
            strays, others = self._strays.take_alike()
            self._track.counted.late += others
            self._track.counted.unplaced += others
            self._lose(self._lost_before(strays[0]))
            self.mark_break()
            for each in strays:
                head = HEADER.unpack_from(each.data)
                self.packet(each.at_us, head, each.codec, each.rtp_payload, each.data)

    def _lost_before(self, packet: Packet) -> range:
        """Return the numbers of the packets that were lost before the stray `packet`.

        Packets were lost only if their audio fits into the silence before `packet`, and `packet`
        agrees with the clock. Otherwise the sender has begun a new numbering.
        """
        if self._next is None or self._clock is None or self._clock.contradicts(packet):
            return range(0)
        missing = packet.sequence - self._next
        silence_us = packet.at_us - self.heard_us
        fits = 0 < missing * packet.length_us <= 1.1 * silence_us
        return range(self._next, packet.sequence) if fits else range(0)

    def _lose(self, numbers: Collection[int]) -> None:
        self._track.counted.lost += len(numbers)
        self._bursts.add(numbers, self._track.network)

    def give_up_missing(self) -> None:
        """Count all missing packets as lost, because the stream no longer waits for them."""
        self._jitter.flush()
        self._lose(sorted(self.missing))
        self.missing.clear()

    def finish_jitter(self) -> None:
        """Add the jitter of all packets to the track's count."""
        self._jitter.flush()

    def count_missing(self, count: NetworkCount) -> None:
        """Add the packets that are missing at present to the bursts in `count`."""
        self._bursts.copy().add(sorted(self.missing), count)

    def _drop_strays(self) -> None:
        """Remove all strays, because the sender did not begin a new numbering.

        A stray is written if it is one of the `missing` packets, and otherwise only counted.
        """
        for each in self._strays.take():
            behind = 0 if self._next is None else self._next - each.sequence
            if self.state is not StreamState.NEW and 0 < behind < _MOST_MISSING:
                self._late_packet(each)
            else:
                self._track.counted.late += 1
                self._track.counted.unplaced += 1

    def _enqueue(self, packet: Packet) -> None:
        waiting = self._waiting
        waiting.push(packet)
        if self._next is None:
            self._next = packet.sequence
        self.drain(_NEVER_US if waiting.is_full else packet.at_us)

    def _check_clock(self, packet: Packet) -> None:
        """Change the state if this packet does not agree with the clock, or after a silence.

        A packet does not agree if it is too early or too late, or has another clock rate. After a
        change, this packet and the next must wait: they show whether the clock is right.
        """
        if packet.has_no_audio:
            return
        quiet = packet.at_us - self.heard_us >= QUIET_US
        self.heard_us = max(self.heard_us, packet.at_us)
        if quiet:
            # The packets from before the silence are checked without this packet, because the
            # sender's clock may have drifted during the silence.
            self.drain(packet.at_us)
        if self._clock is None:
            return
        if self.state is StreamState.LAGGING and not self._clock.fits(packet):
            # The waiting packets all arrived late, but this one is too early or has another clock
            # rate, so they are written now.
            self.flush()
            self._set_state(StreamState.DOUBTED)
        if not self._is_confirmed:
            return
        if self._next is None or packet.sequence < self._next:
            return
        if quiet:
            self.end()
            self._set_state(StreamState.DOUBTED)
        elif self._clock.contradicts(packet):
            self.flush()
            self._set_state(StreamState.DOUBTED)
        elif packet.sequence == self._next and not self._waiting and self._clock.is_lagging(packet):
            self._set_state(StreamState.LAGGING)

    def mark_break(self) -> None:
        """Write the waiting packets. Begin again with the next one (see `Timeline.mark_break`)."""
        self.end()
        self._expected = None
        self.give_up_missing()
        self._next = None
        self._set_state(StreamState.NEW)

    def flush(self) -> None:
        """Write all waiting packets to the track now."""
        if len(self._strays) > 1:
            self._judge_strays(_NEVER_US)
        self._drop_strays()
        if self._waiting:
            self.drain(_NEVER_US)
        self._audio.write_run()

    def advance(self, now_us: int) -> None:
        """Write the packets that have waited long enough at the time `now_us`."""
        self._judge_strays(now_us)
        self.drain(now_us)
        self._audio.write_run()
        if now_us - self.heard_us >= QUIET_US:
            self._audio.finish()

    def end(self) -> None:
        """Write all waiting packets, and the samples that the decoder still has.

        Call this when the next audio does not directly follow the written audio.
        """
        self.flush()
        self._audio.finish()

    def drain(self, now_us: int) -> None:
        """Write the packets that have waited long enough at the time `now_us`.

        In the state CONFIRMED, a packet waits for its turn, but at most `HOLD_US`. In all other
        states, all packets wait until the first one has waited for `_patience_us`. They then show
        whether the clock is right.
        """
        waiting = self._waiting
        if not waiting:
            return
        if not self._is_confirmed:
            if now_us - waiting.since_us < self._patience_us:
                return
            self._confirm_clock()
        while waiting and (
            waiting.first.sequence == self._next or now_us - waiting.first.at_us >= HOLD_US
        ):
            self._write_packet(waiting.pop())

    def _confirm_clock(self) -> None:
        """Check the clock with the waiting packets that have audio, or make a new one.

        Without such packets, those with comfort noise are used. The state is then DOUBTED, because
        the clock must be checked again with audio.
        """
        if self.state is StreamState.NEW:
            self._next = self._waiting.first.sequence
        rate = self._track.rate
        heard = [packet for packet in self._waiting if not packet.has_no_audio]
        noises = [packet for packet in self._waiting if packet.noise]
        lagging = self.state is StreamState.LAGGING
        self._set_state(StreamState.CONFIRMED if heard else StreamState.DOUBTED)
        if heard:
            if not lagging or self._clock is None or not self._clock.accept_late(heard):
                self._clock = StreamClock.anchored(heard, rate, self._clock)
        elif noises:
            self._clock = StreamClock.anchored(noises, rate, self._clock)

    def _late_packet(self, packet: Packet) -> None:
        count = self._track.counted
        if packet.sequence not in self.missing:
            count.duplicate += 1
            return
        del self.missing[packet.sequence]
        count.received += 1
        self._measure(packet)
        self._note(packet)
        if self._clock is not None and not packet.has_no_audio:
            self._audio.write_late(packet, self._clock)

    def _write_packet(self, packet: Packet) -> bool:
        """Write one packet. Do not wait for packets with lower numbers from now on.

        Return True if the packet will be decoded later, together with the next packets.
        """
        if self._next is None:
            return False
        if packet.sequence > self._next:
            self.missing.update(dict.fromkeys(range(self._next, packet.sequence)))
            while len(self.missing) > _MOST_MISSING:
                oldest = next(iter(self.missing))
                del self.missing[oldest]
                self._lose((oldest,))
        self._next = packet.sequence + 1
        self._note(packet)
        return self._clock is not None and self._audio.write(packet, self._clock)

    def _note(self, packet: Packet) -> None:
        if packet.rtp_payload:
            self._track.counted.codecs[str(packet.codec)] += 1
        else:
            self._track.counted.received -= 1
            self._track.counted.withheld += 1
