"""Computes the position of each packet of an RTP stream on the track, from timestamp and arrival.

A *position* is a number of samples since the recording's start. The *time base* of a stream is the
position of one timestamp. It is set from the packets with the smallest delay among the stream's
first packets. The position of every other packet is computed from its timestamp and the time base.

The *delay* of a packet is the time from this computed position to its arrival. If the delays show
that the sender's clock is faster or slower than ours, the time base is moved in steps of half a
millisecond. The next few packets must confirm the time base after a gap, and when an arrival
contradicts it. If they do not confirm it, they set a new one, because timestamps may have jumped
while no packet was received.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from recording.audio.codecs import NARROW, PayloadCodec
from recording.audio.comfort_noise import announced_noise, is_silence
from recording.audio.packet_duration import USUAL_US

_US = 1_000_000
_MODULUS = 1 << 32
_SECOND_US = 1_000_000
_FEWEST_A_SECOND = 8
_PROOF_S = 5
_LONGEST_SECOND_US = 5_000_000
"""The time in µs after which the noted delays are evaluated, even if they are few.

Usually the delays of one second of packets are evaluated together. But a sender that is mostly
silent sends fewer packets.
"""
_MOST_STEPS = 4
_PPM = 300
"""The largest error of a sender's clock that is assumed, in parts per million."""
QUIET_US = 2_000_000
"""The length in µs of a silence after which the next packets must confirm the time base.

The sender's clock and ours may have drifted apart during the silence.
"""
LATE_US = 400_000
"""The delay of a packet in µs above which the next packets must confirm the time base.

Either the network is slow, or the sender's clock had stopped for a while.
"""
EARLY_US = 60_000
"""The time in µs: if a packet arrives more than this before it is due, the time base is wrong.

The time base must be wrong because no packet arrives before it was sent.
"""
LAGS_US = 60_000
"""The delay of a packet in µs above which the packets after it must be examined.

Either the network is slow for a while, or the sender's clock has changed.
"""
_SAME_US = 20_000
"""The time in µs: a packet confirms the time base if it is at most this early or late."""
_FEW = 3
_APART_US = 500_000


class _TimestampRate(NamedTuple):
    """The rate at which a stream's timestamps grow: by `ticks` in `in_us` microseconds."""

    ticks: int
    in_us: int
    by_number: bool = False
    """True if sequence numbers are used instead, because the timestamps never change."""


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One RTP packet that is not written to the track yet.

    `at_us` is its arrival in µs since the recording's start.
    """

    sequence: int
    """The extended sequence number, which never wraps."""
    at_us: int = field(compare=False)
    timestamp: int = field(compare=False)
    codec: PayloadCodec = field(compare=False)
    rtp_payload: bytes = field(compare=False)
    data: bytes = field(compare=False)
    """The datagram as it was received."""
    lead_us: int = field(compare=False)
    """The duration of the packet's audio minus the usual 20 ms, in µs.

    It is negative for a packet shorter than 20 ms. It is needed because a packet is sent when its
    last sample is known. If two packets are sent at the same moment, the audio of the longer packet
    began earlier, by the difference of the two durations.
    """

    @property
    def length_us(self) -> int:
        """The duration of the packet's audio, in µs."""
        return self.lead_us + USUAL_US

    @property
    def noise(self) -> bytes:
        """The comfort noise for the silence after this packet, as an RFC 3389 payload.

        It is empty if the packet describes no noise.
        """
        return announced_noise(self.codec, self.rtp_payload)

    @property
    def has_no_audio(self) -> bool:
        """True if the packet has no audio that could be decoded."""
        return is_silence(self.codec, self.rtp_payload)


class StreamClock:
    """Converts timestamps of one stream into positions, and adapts to the sender's clock.

    The module describes the time base, the delay and the position.
    """

    def __init__(self, rate: int, packet: Packet, position: int) -> None:
        self.stretch = 0
        """The number of samples by which the next packet must be longer; shorter if negative."""
        self._rate = rate
        self._early = -EARLY_US * rate // _US
        self._step = rate // 2000
        self.judged_us = packet.at_us
        """The arrival (µs) of the packet at which delays were last compared with the time base."""
        self._proven_us = packet.at_us
        """The time (µs) at which enough delays last confirmed the time base or corrected it."""
        self._moves: dict[int, int] = {}
        """The number of samples by which the time base moves when a packet is reached.

        The key is the extended sequence number of this packet.
        """
        self._rebase(packet, position)

    @classmethod
    def anchored(cls, packets: list[Packet], rate: int, former: StreamClock | None) -> StreamClock:
        """Return the clock for these packets.

        If the clock `former` agrees with the arrivals of the packets, return `former`. Otherwise
        return a new clock, whose time base is set by the packet with the smallest delay. `rate` is
        the track's sampling rate in Hz.
        """
        if former is not None and former._agrees_with(packets):  # noqa: SLF001 - the same class
            return former
        first = min(packets)
        clock = cls(rate, first, 0)
        clock._timestamp_rate = _timestamp_rate_of(packets, former)
        errors = sorted(
            clock.arrival_position(packet) - clock.position(packet) for packet in packets
        )
        apart = _APART_US * rate // _US
        while len(errors) > 1 and errors[1] - errors[0] > apart:
            del errors[0]  # the packet's timestamp is far from the timestamps of all other packets
        clock._base = errors[0]
        return clock

    def _agrees_with(self, packets: list[Packet]) -> bool:
        """Return whether enough of these packets arrived when this clock expects them.

        If so, also correct the time base, and forget the delays that were noted before. The
        correction is at most the drift of a clock with an error of `_PPM` since `_proven_us`.
        """
        if any(packet.codec.clock != self._clock_rate for packet in packets):
            return False
        same = _SAME_US * self._rate // _US
        errors = [self.arrival_position(packet) - self.position(packet) for packet in packets]
        fits = sum(-same <= error <= same for error in errors)
        if fits < min(_FEW, len(errors)) or min(errors) < -same:
            return False
        now_us = min(packet.at_us for packet in packets)
        parted = max(0, now_us - self._proven_us) * _PPM * self._rate // _US // _US
        move = max(-parted, min(parted, *errors))
        self.judged_us = max(packet.at_us for packet in packets)
        if self._is_much(move):
            self._base += move
            self._proven_us = self.judged_us
        self._errors.clear()
        self._minima.clear()
        self._correction = self.stretch = 0
        return True

    def has_rate(self, timestamp_rate: _TimestampRate) -> bool:
        """Return whether this clock uses this rate to convert timestamps into positions."""
        return self._timestamp_rate == timestamp_rate

    def arrival_position(self, packet: Packet) -> int:
        """Return the position that the packet has if its arrival had no delay."""
        return (packet.at_us - packet.lead_us) * self._rate // _US

    def _rebase(self, packet: Packet, position: int) -> None:
        self._base = position
        self._enough = _packets_a_second(packet)
        self.judged_us = self._proven_us = packet.at_us
        self._timestamp, self._sequence = packet.timestamp, packet.sequence
        self._clock_rate = packet.codec.clock
        self._timestamp_rate = _TimestampRate(self._clock_rate or NARROW, _US)
        self._errors: list[int] = []
        self._minima: list[int] = []
        self._correction = self._steps = 0
        self.stretch = 0

    def contradicts(self, packet: Packet) -> bool:
        """Return whether the packet's arrival or clock rate contradicts the time base.

        If so, more packets must confirm the time base or set a new one.
        """
        error = self.arrival_position(packet) - self.position(packet)
        late = error * _US > LATE_US * self._rate
        return late or error < self._early or packet.codec.clock != self._clock_rate

    def fits(self, packet: Packet) -> bool:
        """Return whether the packet has this clock's rate and did not arrive too early.

        A packet is too early if it arrived more than `EARLY_US` before it was due.
        """
        of_the_past = self.arrival_position(packet) - self.position(packet) >= self._early
        return of_the_past and packet.codec.clock == self._clock_rate

    def is_lagging(self, packet: Packet) -> bool:
        """Return whether the packet's delay is above `LAGS_US`.

        The packets after it must then be examined.
        """
        return (self.arrival_position(packet) - self.position(packet)) * _US > LAGS_US * self._rate

    def accept_late(self, packets: list[Packet]) -> bool:
        """Return whether these packets fit this clock and are only late.

        A delay is permanent if all later packets have at least this delay. `next_position` will
        move the time base at the packet with which a permanent delay begins. It moves by the
        smallest delay among this packet and the packets after it.
        """
        ordered = sorted(packets)
        errors = [self.arrival_position(packet) - self.position(packet) for packet in ordered]
        if min(errors) < self._early or any(p.codec.clock != self._clock_rate for p in packets):
            return False
        least = list(accumulate(reversed(errors), min))[::-1]
        if least[0] * _US <= LAGS_US * self._rate:
            return True
        self._errors.clear()
        self._minima.clear()
        moved = self._correction = self.stretch = 0
        for packet, later in zip(ordered, least, strict=True):
            if ordered[-1].at_us - packet.at_us < LATE_US:
                break  # too few packets follow this one to know if its delay is permanent
            if (later - moved) * _US > _SAME_US * self._rate:
                self._moves[packet.sequence] = later - moved
                moved = later
        return True

    def due_us(self, packet: Packet, position: int) -> int:
        """Return the time in µs at which the packet would arrive without delay.

        `position` is the packet's position on the track.
        """
        return position * _US // self._rate + packet.lead_us

    def position(self, packet: Packet) -> int:
        """Return the packet's position according to its timestamp and the time base."""
        ticks, in_us, by_number = self._timestamp_rate
        ahead = (packet.timestamp - self._timestamp) % _MODULUS
        if ahead >= _MODULUS // 2:
            ahead -= _MODULUS
        if by_number:
            ahead = packet.sequence - self._sequence
        return self._base + ahead * self._rate * in_us // (ticks * _US)

    def approximate_position(self, packet: Packet) -> int:
        """Return the position of a packet that has no audio.

        The position is computed from the timestamp if the packet's delay is plausible, otherwise
        from the arrival.
        """
        position, arrival = self.position(packet), self.arrival_position(packet)
        late = LATE_US * self._rate // _US
        fits = packet.codec.clock == self._clock_rate and self._early <= arrival - position <= late
        return position if fits else arrival

    @property
    def _is_correcting(self) -> bool:
        return self._steps > 0 and self._correction != 0

    def note(self, late_us: int) -> bool:
        """Note the delay in µs of a packet that directly follows the last one.

        Return whether the delay was noted. If not, the caller must use `next_position` for this
        packet, because the time base may have to move.
        """
        if len(self._errors) >= self._enough - 1 or self._is_correcting:
            return False
        if not -EARLY_US < late_us < LAGS_US:
            return False
        self._errors.append(late_us * self._rate // _US)
        return True

    def note_all(self, late_us: list[int]) -> int:
        """Note delays in µs as `note` does, up to the first delay that `note` would refuse.

        Return the number of delays that were noted.
        """
        taken = (
            [] if self._is_correcting else late_us[: max(0, self._enough - 1 - len(self._errors))]
        )
        if taken and not (min(taken) > -EARLY_US and max(taken) < LAGS_US):
            wrong = (i for i, late in enumerate(taken) if not -EARLY_US < late < LAGS_US)
            taken = taken[: next(wrong)]
        rate = self._rate
        self._errors += [late * rate // _US for late in taken]
        return len(taken)

    def next_position(self, packet: Packet) -> int:
        """Return the position of the next packet, and correct the time base by its arrival.

        The position is computed from the timestamp, even if the packet is very late. If the packet
        contradicted the time base (`contradicts`, `is_lagging`), the caller has already examined
        the packets after it.
        """
        if self._moves:
            self._base += self._moves.pop(packet.sequence, 0)
        position, arrival = self.position(packet), self.arrival_position(packet)
        error = arrival - position
        if packet.codec.clock != self._clock_rate:
            self._rebase(packet, arrival)
            return arrival
        if error < self._early:
            return arrival  # the packet's timestamp is far from the timestamps of other packets
        if (packet.timestamp - self._timestamp) % _MODULUS > _MODULUS // 4:
            # The reference timestamp must follow before 32-bit timestamps wrap.
            self._base, self._timestamp = position, packet.timestamp
            self._sequence = packet.sequence
        if error * _US <= LAGS_US * self._rate:
            self._errors.append(error)
        self._enough = _packets_a_second(packet)
        since_us = packet.at_us - self.judged_us
        if len(self._errors) >= self._enough or (self._errors and since_us >= _LONGEST_SECOND_US):
            self.judged_us = packet.at_us
            self._steps = max(1, min(_MOST_STEPS, since_us // _SECOND_US))
            self._note_minimum(min(self._errors))
        if self._is_correcting:
            position += self._correction_step()
        return position

    def _note_minimum(self, least: int) -> None:
        """Store the smallest delay (in samples) among the packets of one second.

        Jitter can look like a wrong time base for a while. So the smallest delay in five such
        seconds is taken as the error of the time base. `_correction_step` then corrects the time
        base step by step.
        """
        self._errors.clear()
        if not self._correction:
            self._minima.append(least)
            if len(self._minima) >= _PROOF_S:
                proven = min(self._minima)
                self._minima.clear()
                self._proven_us = self.judged_us
                if self._is_much(proven):
                    self._correction = proven

    def _is_much(self, samples: int) -> bool:
        """Return whether an error of this many samples is worth correcting.

        Jitter can explain a smaller error.
        """
        return abs(samples) > 3 * self._step

    def _correction_step(self) -> int:
        """Move the time base by one step, which is inaudible, and stretch this packet to fit.

        Return the number of samples by which the time base was moved; negative if to an earlier
        position.
        """
        self._steps -= 1
        move = max(-self._step, min(self._step, self._correction))
        self._correction -= move
        self._base += move
        self.stretch = move
        return move


def _timestamp_rate_of(packets: list[Packet], former: StreamClock | None) -> _TimestampRate:
    """Return the rate at which the packets' timestamps grow.

    It is the clock rate of the codec, unless the packets clearly show another rate. Some senders of
    G.722 add 16,000 a second to the timestamp. Some senders of Opus use the sampling rate of their
    microphone, or add 1 for each packet. Some senders never change the timestamp. In all these
    cases, the timestamp grows by the same number from each packet to the next, and the arrivals
    agree with the packets' durations but not with the timestamps.

    `former` is the stream's clock until now. If it already has the other rate, the arrivals need
    not be compared.
    """
    first, last = min(packets), max(packets)
    expected, length_us = _TimestampRate(first.codec.clock or NARROW, _US), first.length_us
    steps = {
        (later.timestamp - packet.timestamp) % _MODULUS
        for packet, later in pairwise(sorted(packets))
        if later.sequence == packet.sequence + 1
    }
    alike = len(steps) == len({(packet.codec, packet.length_us) for packet in packets}) == 1
    step = steps.pop() if alike else 0
    if not alike or first.has_no_audio or step * _US == expected.ticks * length_us:
        return expected
    timestamp_rate = _TimestampRate(step or 1, length_us, by_number=not step)
    count, took_us = last.sequence - first.sequence, last.at_us - first.at_us
    by_length = abs(took_us - count * length_us)
    by_stamps = abs(took_us - count * step * _US // expected.ticks)
    as_before = former is not None and former.has_rate(timestamp_rate)
    return timestamp_rate if as_before or (count >= _FEW and by_length < by_stamps) else expected


def _packets_a_second(packet: Packet) -> int:
    """Return the number of packets a second if all have this packet's duration.

    The result is at least `_FEWEST_A_SECOND`.
    """
    return max(_FEWEST_A_SECOND, _SECOND_US // max(1, packet.length_us))
