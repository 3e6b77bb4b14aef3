"""Computes the position of each packet of an RTP stream on the track.

A *track* is one channel of the stereo recording: the audio of one side of the call. A *position* is
a number of samples since the recording's start. The *time base* of a stream is one timestamp and
its position, from which the positions of all timestamps are computed. The first packets of a stream
set the time base: the packet that the network delayed least gets the position of its arrival.

The *delay* of a packet is the time from its computed position to its arrival. If the delays show
that the sender's clock is faster or slower than ours, the time base is moved: in steps of half a
millisecond in speech, and at once in a silence. `recording.audio.delay_envelope` estimates the
drift of the sender's clock, also across silences.

After a gap, or when a packet arrives much too early or too late, the sender's timestamps may have
jumped. The next few packets then confirm the time base or set a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from recording.audio.codecs import NARROW, USUAL_US, PayloadCodec
from recording.audio.comfort_noise import announced_noise, is_silence
from recording.audio.delay_envelope import MOST_DRIFT, Delay, DelayEnvelope

_US = 1_000_000
_MODULUS = 1 << 32
_SECOND_US = 1_000_000
_FEWEST_A_SECOND = 8
_PROOF = 5
_LONGEST_SECOND_S = 2
"""The time in seconds after which the stored delays are evaluated, even if there are few of them.

Usually they are evaluated after a second of packets, but a sender may be mostly silent.
"""
_SILENCE_S = 0.1
"""The length in seconds of a silence in which a correction of the time base cannot be heard."""
_MOST_STEPS = 4
QUIET_US = 2_000_000
"""The length in µs of a silence after which the next packets must confirm the time base.

Meanwhile, the difference between the sender's clock and our clock may have changed.
"""
LATE_US = 400_000
"""The delay of a packet in µs above which the next packets must confirm the time base.

With such a delay, the network is slow, or the sender's clock stopped for a while.
"""
EARLY_US = 60_000
"""The largest time in µs by which a packet may arrive before it is due.

If it is earlier, the time base is wrong, because no packet can arrive before it is sent.
"""
LAGS_US = 60_000
"""The delay of a packet in µs above which the packets after it must be examined.

They show whether the network is slow for a while or the sender's clock has changed.
"""
_SAME_US = 20_000
"""A packet confirms the time base if it arrives at most this time, in µs, early or late.

If the jitter is large, it may be later (`_MOST_JITTER`).
"""
_MOST_JITTER = 1.5
"""The largest delay that confirms the time base, as a multiple of the average jitter."""
_FEW = 3
_APART_US = 500_000
_LONGEST_STALL_US = 10_000_000
"""The longest time in µs for which a network is assumed to hold back packets in a stall."""


class _TimestampRate(NamedTuple):
    """The rate at which a stream's timestamps grow: by `ticks` in each `in_us` microseconds."""

    ticks: int
    in_us: int
    by_number: bool = False
    """True if the sender never changes the timestamp: sequence numbers give the positions."""


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One RTP packet that is not written to the track yet.

    `at_us` is the packet's arrival time in µs since the recording's start.
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

    A packet is sent when its audio ends, so the audio of a packet of 60 ms began 40 ms earlier than
    that of a packet of 20 ms which is sent at the same time.
    """

    @property
    def length_us(self) -> int:
        """The duration of the packet's audio, in µs."""
        return self.lead_us + USUAL_US

    @property
    def noise(self) -> bytes:
        """The comfort noise (RFC 3389) for the silence after this packet, or b""."""
        return announced_noise(self.codec, self.rtp_payload)

    @property
    def has_no_audio(self) -> bool:
        """True if the packet has only comfort noise, only DTMF digits, or no RTP payload."""
        return is_silence(self.codec, self.rtp_payload)


class StreamClock:
    """Converts the timestamps of one stream into positions; it follows the sender's clock."""

    def __init__(self, rate: int, packet: Packet, position: int) -> None:
        self.stretch = 0
        """The samples by which the next packet's audio must be made longer (or shorter)."""
        self._rate = rate
        self._early = -EARLY_US * rate // _US
        self._step = rate // 2000
        self._moves: dict[int, int] = {}
        """Planned moves of the time base in samples, by the sequence number where each begins."""
        self._errors: list[int] = []
        """The delays, in samples, that are not added to the envelope yet."""
        self._envelope = DelayEnvelope(rate)
        """The delays that the packets would have if the time base had not been moved."""
        self._rebase(packet, position)

    @classmethod
    def anchored(cls, packets: list[Packet], rate: int, former: StreamClock | None) -> StreamClock:
        """Return the clock that gives the positions of these packets.

        It is `former` if enough of them arrived when that clock expects them. Otherwise the packet
        with the smallest delay sets the time base of a new clock. `rate` is the track's sampling
        rate in Hz.
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
            # The smallest delay is much smaller than all others, so its packet's timestamp is
            # wrong.
            del errors[0]
        clock._base = errors[0]
        return clock

    def _agrees_with(self, packets: list[Packet]) -> bool:
        """Return True if enough of these packets arrived when this clock expects them.

        The clock expects a packet within the bounds that are known for the sender's drift (see
        `DelayEnvelope.bounds`). If enough did, correct the time base within these bounds, as the
        smallest delay shows. After a stall of the network, return True without a correction.
        """
        if any(packet.codec.clock != self._clock_rate for packet in packets):
            return False
        self._add_to_envelope()
        at = min(self.arrival_position(packet) for packet in packets)
        delays = [self.arrival_position(packet) - self.position(packet) for packet in packets]
        most = min(delays) + LAGS_US * self._rate // _US
        smallest = Delay.of(at, [delay for delay in delays if delay <= most])
        least, envelope = smallest.least, self._envelope
        low, high = self._expected_delays(at)
        same = _SAME_US * self._rate / _US
        wide = max(same, _MOST_JITTER * max(smallest.jitter, envelope.jitter))
        if least > high + same and self._is_after_stall(packets):
            self._correction = self.stretch = self._evaluated = 0
            return True
        fits = sum(low - same <= delay <= high + wide for delay in delays)
        if fits < min(_FEW, smallest.packets) or least < low - same:
            return False
        if least - envelope.largest_excess(smallest) > high + same:
            return False
        move = max(low, min(high, least - envelope.probable_excess(smallest)))
        self._correction = self.stretch = self._evaluated = 0
        self._correct(round(min(least, move)))
        return True

    def _is_after_stall(self, packets: list[Packet]) -> bool:
        """Return whether the network held back these packets and then delivered them at once.

        They arrived in less than half of the time in which they were sent. The delays are then
        still becoming smaller, so they show nothing about the sender's clock.
        """
        first, last = min(packets), max(packets)
        if not _FEW <= len(packets) <= last.sequence - first.sequence + 1 < 2 * len(packets):
            return False
        sent = self.position(last) - self.position(first)
        took = self.arrival_position(last) - self.arrival_position(first)
        delay = self.arrival_position(first) - self.position(first)
        return 2 * took < sent and delay * _US <= _LONGEST_STALL_US * self._rate

    def _expected_delays(self, at: int) -> tuple[float, float]:
        """Return the lowest and the highest delay of a packet without jitter, in samples."""
        if self._envelope:
            low, high = self._envelope.bounds(at)
            return low - self._moved, high - self._moved
        parted = max(0, at - self._delays_from) * MOST_DRIFT
        return -parted, parted

    def _correct(self, by: int) -> None:
        if self._is_much(by):
            self._move(by)

    def _move(self, by: int) -> None:
        self._base += by
        self._moved += by
        self._errors = [error - by for error in self._errors]

    def _add_to_envelope(self) -> None:
        if self._errors:
            self._envelope.add(Delay.of(self._delays_from, self._errors, self._moved))
            self._errors = []

    def has_rate(self, timestamp_rate: _TimestampRate) -> bool:
        """Return whether this clock uses this rate to convert timestamps into positions."""
        return self._timestamp_rate == timestamp_rate

    def arrival_position(self, packet: Packet) -> int:
        """Return the position of a packet, in samples, if its network delay were zero."""
        return (packet.at_us - packet.lead_us) * self._rate // _US

    def _rebase(self, packet: Packet, position: int) -> None:
        self._base = position
        self._moved = 0
        """The samples by which the time base was moved since it was set."""
        self._enough = _packets_a_second(packet)
        self._timestamp, self._sequence = packet.timestamp, packet.sequence
        self._clock_rate = packet.codec.clock
        self._timestamp_rate = _TimestampRate(self._clock_rate or NARROW, _US)
        self._errors = []
        self._delays_from = self.arrival_position(packet)
        """The time, in samples, at which the delays in `_errors` begin."""
        self._envelope = DelayEnvelope(self._rate)
        self._evaluated = 0
        """The number of times that delays were evaluated since the time base was set or checked."""
        self._correction = self._steps = 0
        self.stretch = 0

    def contradicts(self, packet: Packet) -> bool:
        """Return whether the packet contradicts the time base.

        It does if it arrived more than `EARLY_US` too early or `LATE_US` too late, or if its codec
        has another clock rate. The next packets must then confirm the time base or set a new one.
        """
        error = self.arrival_position(packet) - self.position(packet)
        late = error * _US > LATE_US * self._rate
        return late or error < self._early or packet.codec.clock != self._clock_rate

    def fits(self, packet: Packet) -> bool:
        """Return whether the packet has the same clock rate and is at most `EARLY_US` early."""
        of_the_past = self.arrival_position(packet) - self.position(packet) >= self._early
        return of_the_past and packet.codec.clock == self._clock_rate

    def is_lagging(self, packet: Packet) -> bool:
        """Return whether the packet's delay is above `LAGS_US`."""
        return (self.arrival_position(packet) - self.position(packet)) * _US > LAGS_US * self._rate

    def accept_late(self, packets: list[Packet]) -> bool:
        """Return whether all these packets, even late ones, fit this clock (see `fits`).

        If they do, and all delays are above `LAGS_US`, also plan moves of the time base for
        `next_position`. The permanent part of a packet's delay is the smallest delay of this packet
        and all later ones. A move is planned where the permanent part has grown by more than
        `_SAME_US` since the previous move.
        """
        ordered = sorted(packets)
        errors = [self.arrival_position(packet) - self.position(packet) for packet in ordered]
        if min(errors) < self._early or any(p.codec.clock != self._clock_rate for p in packets):
            return False
        least = list(accumulate(reversed(errors), min))[::-1]
        if least[0] * _US <= LAGS_US * self._rate:
            return True
        self._errors = []
        moved = self._correction = self.stretch = 0
        for packet, later in zip(ordered, least, strict=True):
            if ordered[-1].at_us - packet.at_us < LATE_US:
                # Too few packets follow to show whether this delay is permanent.
                break
            if (later - moved) * _US > _SAME_US * self._rate:
                self._moves[packet.sequence] = later - moved
                moved = later
        return True

    def timing(self, packet: Packet) -> tuple[int, int, int]:
        """Return (timestamp, ticks, in_us): timestamps grow by `ticks` in each `in_us` µs.

        If the sender never changes its timestamps, the sequence number replaces the timestamp.
        """
        ticks, in_us, by_number = self._timestamp_rate
        return (packet.sequence if by_number else packet.timestamp), ticks, in_us

    def due_us(self, packet: Packet, position: int) -> int:
        """Return the time in µs at which the packet would arrive without delay."""
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
        """Return the position of a packet without audio, by its timestamp.

        If the packet has another clock rate, or its delay is not between -`EARLY_US` and `LATE_US`,
        return the position of its arrival.
        """
        position, arrival = self.position(packet), self.arrival_position(packet)
        late = LATE_US * self._rate // _US
        fits = packet.codec.clock == self._clock_rate and self._early <= arrival - position <= late
        return position if fits else arrival

    @property
    def _is_correcting(self) -> bool:
        return self._steps > 0 and self._correction != 0

    def note(self, late_us: int) -> bool:
        """Store the delay (µs) of the stream's next packet, and return True.

        If the time base may have to move, store nothing and return False. The caller must then call
        `next_position` for this packet.
        """
        if len(self._errors) >= self._enough - 1 or self._is_correcting:
            return False
        if not -EARLY_US < late_us < LAGS_US:
            return False
        self._errors.append(late_us * self._rate // _US)
        return True

    def note_all(self, late_us: list[int]) -> int:
        """Store the delays in µs of consecutive packets; return how many.

        Stop before the first delay for which `note` would return False.
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

    def next_position(self, packet: Packet, end: int | None = None) -> int:
        """Return the position of the stream's next packet, by its timestamp, even if it is late.

        If the packet has another clock rate or is more than `EARLY_US` early, return the position
        of its arrival. The delay also corrects the time base. `end` is the position at which the
        written audio ends (None if unknown). If a silence follows `end`, the whole correction is
        made at once. If `contradicts` or `is_lagging` is true for the packet, the clock must first
        be checked with `anchored` or `accept_late`.
        """
        if packet.sequence in self._moves:
            move = self._moves.pop(packet.sequence)
            self._base += move
            self._moved += move
            self._envelope.shift(move)
        position, arrival = self.position(packet), self.arrival_position(packet)
        error = arrival - position
        if packet.codec.clock != self._clock_rate:
            self._rebase(packet, arrival)
            return arrival
        if error < self._early:
            # The packet is much too early, so its timestamp is wrong.
            return arrival
        if (packet.timestamp - self._timestamp) % _MODULUS > _MODULUS // 4:
            # Timestamps wrap after 32 bits, so the difference between two distant ones would be
            # wrong. Therefore this packet's timestamp becomes that of the time base.
            self._base, self._timestamp = position, packet.timestamp
            self._sequence = packet.sequence
        if self._errors and arrival - self._delays_from > _LONGEST_SECOND_S * self._rate:
            self._evaluate(arrival)
        if error * _US <= LAGS_US * self._rate:
            if not self._errors:
                self._delays_from = arrival
            self._errors.append(error)
        self._enough = _packets_a_second(packet)
        if len(self._errors) >= self._enough:
            self._evaluate(arrival)
        if self._is_correcting:
            silent = end is not None and position - end > _SILENCE_S * self._rate
            position += self._correct_in_silence() if silent else self._correction_step()
        return position

    def _evaluate(self, arrival: int) -> None:
        """Add the stored delays to the envelope, and plan a correction if the time base is wrong.

        `arrival` is the time of the newest packet, in samples. Jitter can look like an error for a
        short time, so nothing is corrected until delays were evaluated five times, or the drift is
        known.
        """
        self._steps = max(1, min(_MOST_STEPS, (arrival - self._delays_from) // self._rate))
        self._add_to_envelope()
        self._delays_from = arrival
        self._evaluated += 1
        if self._evaluated >= _PROOF or self._envelope.is_learnt:
            correction = round(self._expected_delays(arrival)[1])
            if self._correction or self._is_much(correction):
                self._correction = correction

    def _correct_in_silence(self) -> int:
        move, self._correction = self._correction, 0
        self._move(move)
        return move

    def _is_much(self, samples: int) -> bool:
        """Return whether an error in samples must be corrected. Jitter can cause a smaller one."""
        return abs(samples) > 3 * self._step

    def _correction_step(self) -> int:
        """Move the time base by one step that cannot be heard.

        Return the number of samples, which is negative for an earlier position. Also store it in
        `stretch`, because the audio that is decoded next must be longer or shorter by this number.
        """
        self._steps -= 1
        move = max(-self._step, min(self._step, self._correction))
        self._correction -= move
        self._move(move)
        self.stretch = move
        return move


def _timestamp_rate_of(packets: list[Packet], former: StreamClock | None) -> _TimestampRate:
    """Return the rate at which the packets' timestamps grow.

    Usually this is the clock rate of the codec. But some senders of G.722 add 16,000 to the
    timestamp in each second. Some senders of Opus use the sampling rate of their microphone, or add
    1 for each packet. Some senders never change the timestamp.

    Another rate is returned only on two conditions. First, the timestamp grows by the same number
    from each packet to the next; this number may be 0. Second, the arrival times agree better with
    the durations of the packets than with the timestamps, or the clock until now, `former`, already
    has this rate.
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
    """Return how many packets of this length fill a second; at least `_FEWEST_A_SECOND`."""
    return max(_FEWEST_A_SECOND, _SECOND_US // max(1, packet.length_us))
