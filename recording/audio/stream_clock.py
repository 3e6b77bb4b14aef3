"""Computes the position of each packet of an RTP stream on the track, from timestamp and arrival.

The least delayed packets at a stream's beginning give its anchor: the position of one timestamp.
From there the timestamps decide. If arrivals show that the sender's clock runs faster or slower,
the anchor follows in steps of half a millisecond. After a gap, and when arrivals contradict the
anchor, some more packets must confirm it, or they give a new one: timestamps may have jumped while
no packet was received.

Positions are samples since the recording's start.
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
"""The time after which the observations are judged even if there is no second of packets.

A sender that is mostly silent sends few packets.
"""
_MOST_STEPS = 4
_PPM = 300
"""The largest assumed error of a sender's clock, in millionths."""
QUIET_US = 2_000_000
"""A silence after which the clocks may differ, so that the next packets must confirm the anchor."""
LATE_US = 400_000
"""The delay of a packet above which the next packets must confirm the anchor.

Either the network is slow, or the sender's clock stood still.
"""
EARLY_US = 60_000
"""The time before its due time at which a packet shows that the anchor is wrong.

No packet arrives before it was sent.
"""
LAGS_US = 60_000
"""The delay above which the network is slow for a while, or the sender's clock has changed."""
_SAME_US = 20_000
"""The largest error with which an anchor is kept."""
_FEW = 3
_APART_US = 500_000


class _TimestampRate(NamedTuple):
    """The speed of a stream's timestamps: so many ticks in so many microseconds."""

    ticks: int
    in_us: int
    by_number: bool = False
    """True if sequence numbers are counted instead, because the timestamps never change."""


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One RTP packet that is not placed on the track yet."""

    sequence: int
    """The extended sequence number, which never wraps."""
    at_us: int = field(compare=False)
    timestamp: int = field(compare=False)
    codec: PayloadCodec = field(compare=False)
    rtp_payload: bytes = field(compare=False)
    data: bytes = field(compare=False)
    """The datagram as it was received."""
    lead_us: int = field(compare=False)
    """The packet's length less the usual 20 ms.

    A packet is sent when its last sample is known. Of two packets sent at the same moment, the
    audio of the longer one therefore began earlier, by the difference in length. Negative for a
    packet shorter than usual.
    """

    @property
    def length_us(self) -> int:
        """The length of the packet's audio."""
        return self.lead_us + USUAL_US

    @property
    def noise(self) -> bytes:
        """The noise to play in the silence after this packet, as an RFC 3389 payload, or empty."""
        return announced_noise(self.codec, self.rtp_payload)

    @property
    def has_no_audio(self) -> bool:
        """True if the packet has no audio to decode."""
        return is_silence(self.codec, self.rtp_payload)


class StreamClock:
    """Converts timestamps of one stream into positions, and follows the sender's clock."""

    def __init__(self, rate: int, packet: Packet, position: int) -> None:
        self.stretch = 0
        """The samples by which the next packet must be made longer; shorter if negative."""
        self._rate = rate
        self._early = -EARLY_US * rate // _US
        self._step = rate // 2000
        self.judged_us = packet.at_us
        """The time at which arrivals were last compared with the anchor."""
        self._proven_us = packet.at_us
        """The time at which enough arrivals last agreed with the anchor, or it was last moved."""
        self._moves: dict[int, int] = {}
        """The samples by which the anchor moves at a packet, by its sequence number."""
        self._rebase(packet, position)

    @classmethod
    def anchored(cls, packets: list[Packet], rate: int, former: StreamClock | None) -> StreamClock:
        """Return the clock for these packets.

        It is `former` if that clock agrees with their arrivals; otherwise it is a new one, anchored
        at the least delayed of them.
        """
        if former is not None and former._agrees_with(packets):  # noqa: SLF001 - of our own kind
            return former
        first = min(packets)
        clock = cls(rate, first, 0)
        clock._timestamp_rate = _timestamp_rate_of(packets, former)
        errors = sorted(
            clock.arrival_position(packet) - clock.position(packet) for packet in packets
        )
        apart = _APART_US * rate // _US
        while len(errors) > 1 and errors[1] - errors[0] > apart:
            del errors[0]  # a timestamp far from all others
        clock._base = errors[0]
        return clock

    def _agrees_with(self, packets: list[Packet]) -> bool:
        """Return whether enough of the packets arrived when this clock expects them.

        If so, correct the anchor by at most the drift of `_PPM` since it was last confirmed, and
        forget the observations before.
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
        """Return whether this clock counts timestamps at this rate."""
        return self._timestamp_rate == timestamp_rate

    def arrival_position(self, packet: Packet) -> int:
        """Return the packet's position according to its arrival."""
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
        """Return whether the packet's arrival or clock rate contradicts the anchor.

        More packets must then confirm the anchor or give a new one.
        """
        error = self.arrival_position(packet) - self.position(packet)
        late = error * _US > LATE_US * self._rate
        return late or error < self._early or packet.codec.clock != self._clock_rate

    def fits(self, packet: Packet) -> bool:
        """Return whether the packet has this clock's rate and no timestamp from the future."""
        of_the_past = self.arrival_position(packet) - self.position(packet) >= self._early
        return of_the_past and packet.codec.clock == self._clock_rate

    def is_lagging(self, packet: Packet) -> bool:
        """Return whether the packet is so late that the packets after it must be examined."""
        return (self.arrival_position(packet) - self.position(packet)) * _US > LAGS_US * self._rate

    def accept_late(self, packets: list[Packet]) -> bool:
        """Return whether the packets fit this clock and are only late.

        A delay is permanent if all packets that follow have it too. Where one begins, the anchor
        will move by the delay of the least delayed of them (see `next_position`).
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
                break  # too few packets follow to decide
            if (later - moved) * _US > _SAME_US * self._rate:
                self._moves[packet.sequence] = later - moved
                moved = later
        return True

    def due_us(self, packet: Packet, position: int) -> int:
        """Return the time in µs at which a packet at this position arrives without delay."""
        return position * _US // self._rate + packet.lead_us

    def position(self, packet: Packet) -> int:
        """Return the packet's position according to its timestamp."""
        ticks, in_us, by_number = self._timestamp_rate
        ahead = (packet.timestamp - self._timestamp) % _MODULUS
        if ahead >= _MODULUS // 2:
            ahead -= _MODULUS
        if by_number:
            ahead = packet.sequence - self._sequence
        return self._base + ahead * self._rate * in_us // (ticks * _US)

    def approximate_position(self, packet: Packet) -> int:
        """Return the position of a packet without audio.

        Its timestamp decides if that is plausible, otherwise its arrival.
        """
        position, arrival = self.position(packet), self.arrival_position(packet)
        late = LATE_US * self._rate // _US
        fits = packet.codec.clock == self._clock_rate and self._early <= arrival - position <= late
        return position if fits else arrival

    @property
    def _is_correcting(self) -> bool:
        return self._steps > 0 and self._correction != 0

    def note(self, late_us: int) -> bool:
        """Note the delay of a packet that is the next one expected; return whether it was noted.

        If not, the packet must go through `next_position`, because the anchor may have to move.
        """
        if len(self._errors) >= self._enough - 1 or self._is_correcting:
            return False
        if not -EARLY_US < late_us < LAGS_US:
            return False
        self._errors.append(late_us * self._rate // _US)
        return True

    def note_all(self, late_us: list[int]) -> int:
        """Do `note` for each delay up to the first that it refuses; return the number noted."""
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
        """Return the packet's position by timestamp, and correct the anchor by its arrival.

        The timestamp decides no matter how late the packet is. The stream has already examined the
        packets after it if this one contradicted the anchor (`contradicts`, `is_lagging`).
        """
        if self._moves:
            self._base += self._moves.pop(packet.sequence, 0)
        position, arrival = self.position(packet), self.arrival_position(packet)
        error = arrival - position
        if packet.codec.clock != self._clock_rate:
            self._rebase(packet, arrival)
            return arrival
        if error < self._early:
            return arrival  # a timestamp far from all others
        if (packet.timestamp - self._timestamp) % _MODULUS > _MODULUS // 4:
            self._base, self._timestamp = position, packet.timestamp  # before it can wrap
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
        """Note the least delay of a second's packets.

        Jitter can look like a wrong anchor for a while. So the least delay of five seconds is the
        error of the anchor, and is then corrected step by step (`_correction_step`).
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
        """Return whether an error is larger than jitter can explain; smaller ones stay."""
        return abs(samples) > 3 * self._step

    def _correction_step(self) -> int:
        """Move the anchor by one step, which is inaudible, and stretch this packet to fit.

        Returns the samples moved.
        """
        self._steps -= 1
        move = max(-self._step, min(self._step, self._correction))
        self._correction -= move
        self._base += move
        self.stretch = move
        return move


def _timestamp_rate_of(packets: list[Packet], former: StreamClock | None) -> _TimestampRate:
    """Return the rate of the packets' timestamps: their codec's, unless another one is evident.

    Some senders of G.722 count 16,000 ticks a second; some senders of Opus count at their
    microphone's rate, or count packets; others do not count at all. In these cases all steps are
    equal, and the arrivals agree with the packets' lengths but not with the timestamps. `former` is
    the stream's clock until now; if it already has such a rate, equal steps are enough.
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
    """Return the number of packets like this one in a second; at least `_FEWEST_A_SECOND`."""
    return max(_FEWEST_A_SECOND, _SECOND_US // max(1, packet.length_us))
