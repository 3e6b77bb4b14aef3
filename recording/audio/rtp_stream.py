"""One RTP stream (one SSRC): puts its packets in order and decides the position of each packet.

If packets with lower sequence numbers are missing, a packet waits 0.4 seconds for them. The first
packets of a stream also wait 0.4 seconds, and so do the packets after a gap or after an arrival
that contradicts the stream's clock. Together these packets decide the stream's position.
`recording.audio.stream_writer` decodes the packets and writes them to the track.

A *stray* is a packet whose sequence number is far from the next one expected. The *number* of a
packet is its extended sequence number, which never wraps.
"""

from __future__ import annotations

from enum import Enum

from recording.audio.codecs import NARROW, PayloadCodec
from recording.audio.packet_duration import USUAL_US
from recording.audio.packet_queue import HOLD_US, PacketQueue, Strays
from recording.audio.sequence_numbers import SequenceExtender
from recording.audio.stream_clock import QUIET_US, Packet, StreamClock
from recording.audio.stream_writer import StreamWriter
from recording.audio.track_sink import HEADER, TrackSink
from recording.spool.burst import RTP_HEADER, TrackBurst

_MOST_MISSING = 3000
_MOST_BEHIND = 100
_LAG_US = 4_000_000
"""The time in µs for which all packets must be late before their delay is treated as permanent.

Until then, the network may only be slow for a while.
"""
_NEVER_US = 1 << 62
_PLAIN = 0x80
"""The first byte of a plain RTP header: version 2, no padding, no extension, no CSRC."""


class StreamState(Enum):
    """The states of a stream's clock, which decide whether packets are written or must wait."""

    NEW = "new"
    """No packet was written since the stream began or was interrupted.

    The next sequence number and the positions are not known.
    """
    CONFIRMED = "confirmed"
    """Packets have confirmed the clock, so the next packet in order is written immediately."""
    DOUBTED = "doubted"
    """The arrival of a packet contradicted the clock, or no audio has confirmed the clock yet."""
    LAGGING = "lagging"
    """All packets are late: the network is slow, or the sender's clock had stopped for a while."""


class RtpStream:
    """The packets of one SSRC, and the state of the stream's clock.

    This is one class because every arrival can change the expected number, the clock and the state
    together.

    Attributes:
        state: The state of the stream's clock; only `_set_state` changes it.
        missing: The numbers of packets that have not arrived and are no longer waited for, the
            oldest first. The packets may still arrive.
        heard_us: The arrival of the last packet with audio (µs), even if that packet still waits.
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
        """The number of the next packet; None if it is unknown.

        Unless the state is NEW, each packet with a lower number was written or is no longer waited
        for.
        """
        self._audio = StreamWriter(track)
        self._run = self._audio.run
        self._expected: tuple[int, ...] | None = None
        self._length = 0
        self._due_us = 0
        self._step_us = 0

    def _set_state(self, state: StreamState) -> None:
        """Change the state. No other method changes it.

        NEW becomes CONFIRMED or DOUBTED when the first packets have gathered. CONFIRMED becomes
        DOUBTED or LAGGING when the arrival of a packet contradicts the clock. DOUBTED and LAGGING
        become CONFIRMED when the next packets have gathered. An interruption leads from every state
        to NEW.
        """
        self.state = state

    @property
    def _patience_us(self) -> int:
        """The time in µs for which packets must gather before they can confirm the clock."""
        return _LAG_US if self.state is StreamState.LAGGING else HOLD_US

    @property
    def _is_confirmed(self) -> bool:
        return self.state is StreamState.CONFIRMED

    def _is_past(self, number: int) -> bool:
        """Return whether the packet with this number was written or is no longer waited for."""
        if self.state is StreamState.NEW or self._next is None:
            return False
        return number < self._next

    def take_expected(self, head: tuple[int, ...], at_us: int, data: bytes) -> bool:
        """Add a packet to the run if it is exactly the packet expected next, as most packets are.

        Return whether the packet was added. If not, the caller must call `packet`.

        Args:
            head: The fixed RTP header, as in `packet`.
            at_us: The arrival, in µs since the recording's start.
            data: The whole datagram as received.
        """
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

    def take_expected_burst(self, burst: TrackBurst, start: int, end: int) -> int:
        """Add those packets of a burst to the run that `take_expected` would add.

        Begin with the packet `start`, and stop before the packet `end` or at the first packet that
        is not the expected one. Return the number of packets added.
        """
        if burst.length != self._length or self._clock is None:
            return 0
        head = burst.head(start)
        count = min(burst.consecutive(start), end - start, self._run.room)
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
        self._run.add(burst.rtp_payload(start, start + count), count)
        self.heard_us = arrivals[count - 1]
        self._numbering.last = burst.head(start + count - 1)
        self._next = (self._next or 0) + count
        self._expect(flags, kind, sequence + count, timestamp + samples, ssrc)
        self._due_us += count * step_us
        return count

    def _expect(self, flags: int, kind: int, sequence: int, timestamp: int, ssrc: int) -> None:
        self._expected = flags, kind, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc

    def expect_nothing(self) -> None:
        """Make `take_expected` refuse the next packet, so that `packet` examines it fully."""
        self._expected = None

    def packet(
        self,
        at_us: int,
        head: tuple[int, ...],
        codec: PayloadCodec,
        rtp_payload: bytes,
        data: bytes,
    ) -> None:
        """Process any packet: write it, let it wait, or count it as a duplicate or late.

        Args:
            at_us: The arrival, in µs since the recording's start.
            head: The fixed RTP header as five numbers: flags, marker and payload type, sequence
                number, timestamp, SSRC.
            codec: The codec of the payload type.
            rtp_payload: The RTP payload.
            data: The whole datagram as received.
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
            if self._write_packet(packet) and head[0] == _PLAIN:
                self._length = RTP_HEADER + len(rtp_payload)
                samples = len(rtp_payload)
                self._step_us = samples * 1_000_000 // NARROW
                self._due_us = self._clock.due_us(packet, self._run.end)
                self._expect(head[0], head[1] & 0x7F, head[2] + 1, head[3] + samples, head[4])
        elif number in self._waiting:
            count.duplicate += 1
        else:
            count.received += 1
            self._enqueue(packet)

    def _is_stray(self, packet: Packet) -> bool:
        """Return whether the packet is a stray.

        It is a stray if its number is far from the next one expected. It is also a stray if a
        packet with its number was written already, but its timestamp is later than all written
        audio, because then it cannot be a duplicate.
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
        clock = self._clock  # the position of a duplicate is before the end of the written audio
        return clock is not None and clock.position(packet) >= self._audio.end

    def _judge_strays(self, now_us: int) -> None:
        """Restart the stream with the strays if they show that the sender's numbering is new."""
        if self._strays.is_a_beginning(now_us):
            strays, others = self._strays.take_alike()
            self._track.counted.late += others
            self._track.counted.lost += self._lost_before(strays[0])
            self._restart()
            for each in strays:
                head = HEADER.unpack_from(each.data)
                self.packet(each.at_us, head, each.codec, each.rtp_payload, each.data)

    def _lost_before(self, packet: Packet) -> int:
        """Return the number of packets that were lost before a packet with a distant number.

        The missing numbers are lost packets only if their audio fits into the silence before this
        packet. Otherwise the sender has begun a new numbering, and the result is 0.
        """
        if self._next is None or self._clock is None or self._clock.contradicts(packet):
            return 0
        missing = packet.sequence - self._next
        silence_us = packet.at_us - self.heard_us
        return missing if 0 < missing * packet.length_us <= 1.1 * silence_us else 0

    def _drop_strays(self) -> None:
        """Treat the strays as late packets or duplicates, because the old numbering continues."""
        for each in self._strays.take():
            behind = 0 if self._next is None else self._next - each.sequence
            if self.state is not StreamState.NEW and 0 < behind < _MOST_MISSING:
                self._late_packet(each)
            else:
                self._track.counted.late += 1

    def _enqueue(self, packet: Packet) -> None:
        """Add a packet to the waiting packets, and write those that have waited long enough."""
        waiting = self._waiting
        waiting.push(packet)
        if self._next is None:
            self._next = packet.sequence
        self.drain(_NEVER_US if waiting.is_full else packet.at_us)

    def _check_clock(self, packet: Packet) -> None:
        """Change the state if this packet contradicts the clock or follows a long silence.

        This packet and the packets after it then wait, and decide the stream's position again.
        """
        if packet.has_no_audio:
            return
        quiet = packet.at_us - self.heard_us >= QUIET_US
        self.heard_us = max(self.heard_us, packet.at_us)
        if self._clock is None:
            return
        if self.state is StreamState.LAGGING and not self._clock.fits(packet):
            self.flush()  # this packet does not fit the late packets that wait
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
        """Begin the stream again after an interruption.

        Packets that are missing in the interruption are not counted as lost, and the timestamps
        after it may have any value.
        """
        self._restart()

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
        """Write all waiting packets and finish the audio, because no packet directly follows."""
        self.flush()
        self._audio.finish()

    def drain(self, now_us: int) -> None:
        """Write the waiting packets that are next in order or have waited long enough at `now_us`.

        If the clock is not confirmed, packets are written only after they have gathered for
        `_patience_us`.
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
        """Confirm the clock with the waiting packets that have audio, or make a new clock of them.

        If the waiting packets have only comfort noise, make a clock that is not confirmed yet.
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

    def _restart(self) -> None:
        """Write all waiting packets, and forget the numbers and the state of the clock.

        The next packet then begins a new numbering and a new position.
        """
        self.end()
        self._expected = None
        self._track.counted.lost += len(self.missing)
        self.missing.clear()
        self._next = None
        self._set_state(StreamState.NEW)

    def _late_packet(self, packet: Packet) -> None:
        """Write a late packet if its number is in `missing`; otherwise count it as a duplicate."""
        count = self._track.counted
        if packet.sequence not in self.missing:
            count.duplicate += 1
            return
        del self.missing[packet.sequence]
        count.received += 1
        self._note(packet)
        if self._clock is not None and not packet.has_no_audio:
            self._audio.write_late(packet, self._clock)

    def _write_packet(self, packet: Packet) -> bool:
        """Write one packet; the caller no longer waits for packets with lower numbers.

        Return whether the packet was added to the run, with which it is decoded later.
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
        return self._clock is not None and self._audio.write(packet, self._clock)

    def _note(self, packet: Packet) -> None:
        """Count the packet by its codec; count it as withheld if it has no RTP payload."""
        if packet.rtp_payload:
            self._track.counted.codecs[str(packet.codec)] += 1
        else:
            self._track.counted.received -= 1
            self._track.counted.withheld += 1
