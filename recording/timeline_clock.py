"""Where the packets of one RTP stream lie, in samples, told by timestamp and arrival.

A stream is anchored by the least delayed packets of its beginning; from there its timestamps
decide. If arrivals show that the sender's clock runs at another speed, the anchor follows in
steps of half a millisecond. After a gap, and when arrivals contradict the anchor, it is proven
again by a handful of packets, or made anew: what timestamps did while nobody heard them says
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from recording.codecs import NARROW, PayloadCodec
from recording.comfort import is_silence, told
from recording.packet_time import USUAL_US

_US = 1_000_000
_MODULUS = 1 << 32
_SECOND_US = 1_000_000
_FEWEST_A_SECOND = 8
_PROOF_S = 5
_LONGEST_SECOND_US = 5_000_000
"""A sender that is mostly silent is judged by what there is of it."""
_MOST_STEPS = 4
_PPM = 300
"""No sender's clock is taken to be further off than this many millionths."""
QUIET_US = 2_000_000
"""After so long a silence the clocks may have parted: the next packets tell."""
LATE_US = 400_000
"""Later than this, the network is slow or the sender's clock stood still: the next packets tell."""
EARLY_US = 60_000
"""Nothing arrives before it was sent: earlier than this, the anchor is wrong."""
LAGS_US = 60_000
"""Later than this, it is the network for a while, or the sender's clock for good."""
_SAME_US = 20_000
"""An anchor that is no further off than this stands."""
_FEW = 3
_APART_US = 500_000


class _Pace(NamedTuple):
    """So many ticks in so many microseconds."""

    ticks: int
    in_us: int
    by_number: bool = False
    """The ticks are those of sequence numbers: the timestamps never change."""


@dataclass(frozen=True, slots=True, order=True)
class Packet:
    """One RTP packet on its way to its place."""

    sequence: int
    """Extended: never wraps."""
    at_us: int = field(compare=False)
    timestamp: int = field(compare=False)
    codec: PayloadCodec = field(compare=False)
    payload: bytes = field(compare=False)
    data: bytes = field(compare=False)
    """The datagram as it came."""
    lead_us: int = field(compare=False)
    """By how much earlier its sound began than that of a usual packet sent with it."""

    @property
    def length_us(self) -> int:
        """How long its sound is."""
        return self.lead_us + USUAL_US

    @property
    def noise(self) -> bytes:
        """What it says of the silence after it, as RFC 3389 would; empty: nothing."""
        return told(self.codec, self.payload)

    @property
    def silent(self) -> bool:
        """Whether there is nothing in it to be laid."""
        return is_silence(self.codec, self.payload)


class StreamClock:
    """Where a timestamp lies, in samples since the start; follows the sender's clock."""

    def __init__(self, rate: int, packet: Packet, position: int) -> None:
        self.stretch = 0
        """Samples by which the next block is to be longer."""
        self._rate = rate
        self._early = -EARLY_US * rate // _US
        self._step = rate // 2000
        self.judged_us = packet.at_us
        """When arrivals were last compared with the anchor."""
        self._proven_us = packet.at_us
        """When enough of them last agreed with it, or it was moved."""
        self._moves: dict[int, int] = {}
        """By how much the anchor moves at these packets."""
        self._rebase(packet, position)

    @classmethod
    def anchored(cls, packets: list[Packet], rate: int, former: StreamClock | None) -> StreamClock:
        """By `former`, if it is right about these packets; else by the least delayed of them."""
        if former is not None and former._holds_for(packets):  # noqa: SLF001 - of our own kind
            return former
        first = min(packets)
        clock = cls(rate, first, 0)
        clock._pace = _counted(packets, former)
        errors = sorted(clock.arrival(packet) - clock.place(packet) for packet in packets)
        apart = _APART_US * rate // _US
        while len(errors) > 1 and errors[1] - errors[0] > apart:
            del errors[0]  # a timestamp that is like no other
        clock._base = errors[0]
        return clock

    def _holds_for(self, packets: list[Packet]) -> bool:
        """Whether some of them arrived when they should have, by this clock."""
        if any(packet.codec.clock != self._told for packet in packets):
            return False
        same = _SAME_US * self._rate // _US
        errors = [self.arrival(packet) - self.place(packet) for packet in packets]
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
        self._second.clear()
        self._proof.clear()
        self._owed = self.stretch = 0
        return True

    def counts(self, pace: _Pace) -> bool:
        """Whether timestamps go on like this."""
        return self._pace == pace

    def arrival(self, packet: Packet) -> int:
        """Where it would lie if arrival decided."""
        return (packet.at_us - packet.lead_us) * self._rate // _US

    def _rebase(self, packet: Packet, position: int) -> None:
        self._base = position
        self._enough = _a_second(packet)
        self.judged_us = self._proven_us = packet.at_us
        self._timestamp, self._sequence = packet.timestamp, packet.sequence
        self._told = packet.codec.clock
        self._pace = _Pace(self._told or NARROW, _US)
        self._second: list[int] = []
        self._proof: list[int] = []
        self._owed = self._steps = 0
        self.stretch = 0

    def doubts(self, packet: Packet) -> bool:
        """Whether arrival and anchor disagree, or may have parted: more packets must be asked."""
        error = self.arrival(packet) - self.place(packet)
        late = error * _US > LATE_US * self._rate
        return late or error < self._early or packet.codec.clock != self._told

    def knows(self, packet: Packet) -> bool:
        """Whether its timestamp counts as this clock does, and is not of what comes yet."""
        of_the_past = self.arrival(packet) - self.place(packet) >= self._early
        return of_the_past and packet.codec.clock == self._told

    def lags(self, packet: Packet) -> bool:
        """Whether it is late enough to ask whether those after it are, too."""
        return (self.arrival(packet) - self.place(packet)) * _US > LAGS_US * self._rate

    def explains(self, packets: list[Packet]) -> bool:
        """Whether they are only late; where that is for good, move the anchor from there on.

        Late for good is by how much even the least delayed of those that follow are.
        """
        ordered = sorted(packets)
        errors = [self.arrival(packet) - self.place(packet) for packet in ordered]
        if min(errors) < self._early or any(p.codec.clock != self._told for p in packets):
            return False
        least = list(accumulate(reversed(errors), min))[::-1]
        if least[0] * _US <= LAGS_US * self._rate:
            return True
        self._second.clear()
        self._proof.clear()
        moved = self._owed = self.stretch = 0
        for packet, later in zip(ordered, least, strict=True):
            if ordered[-1].at_us - packet.at_us < LATE_US:
                break  # too few follow to tell
            if (later - moved) * _US > _SAME_US * self._rate:
                self._moves[packet.sequence] = later - moved
                moved = later
        return True

    def due_us(self, packet: Packet, position: int) -> int:
        """When a packet at this position arrives if nothing delays it."""
        return position * _US // self._rate + packet.lead_us

    def place(self, packet: Packet) -> int:
        """By timestamp alone."""
        ticks, in_us, by_number = self._pace
        ahead = (packet.timestamp - self._timestamp) % _MODULUS
        if ahead >= _MODULUS // 2:
            ahead -= _MODULUS
        if by_number:
            ahead = packet.sequence - self._sequence
        return self._base + ahead * self._rate * in_us // (ticks * _US)

    def roughly(self, packet: Packet) -> int:
        """Where something lies that is no sound: by timestamp if that can be, else by arrival."""
        position, arrival = self.place(packet), self.arrival(packet)
        late = LATE_US * self._rate // _US
        fits = packet.codec.clock == self._told and self._early <= arrival - position <= late
        return position if fits else arrival

    @property
    def _paying(self) -> bool:
        return self._steps > 0 and self._owed != 0

    def note(self, late_us: int) -> bool:
        """Take one more observation of a packet that lies where it was expected.

        False: this one must go through `follow`, for the anchor may have to move.
        """
        if len(self._second) >= self._enough - 1 or self._paying:
            return False
        if not -EARLY_US < late_us < LAGS_US:
            return False
        self._second.append(late_us * self._rate // _US)
        return True

    def note_all(self, late_us: list[int]) -> int:
        """`note` them one after the other up to the first that it refuses; how many it took."""
        taken = [] if self._paying else late_us[: max(0, self._enough - 1 - len(self._second))]
        if taken and not (min(taken) > -EARLY_US and max(taken) < LAGS_US):
            wrong = (i for i, late in enumerate(taken) if not -EARLY_US < late < LAGS_US)
            taken = taken[: next(wrong)]
        rate = self._rate
        self._second += [late * rate // _US for late in taken]
        return len(taken)

    def follow(self, packet: Packet) -> int:
        """By timestamp, the anchor corrected by what the arrival tells.

        However late it came: a network that held it back held back those before it, too, and
        whoever doubted the anchor has asked others.
        """
        if self._moves:
            self._base += self._moves.pop(packet.sequence, 0)
        position, arrival = self.place(packet), self.arrival(packet)
        error = arrival - position
        if packet.codec.clock != self._told:
            self._rebase(packet, arrival)
            return arrival
        if error < self._early:
            return arrival  # a timestamp that is like no other
        if (packet.timestamp - self._timestamp) % _MODULUS > _MODULUS // 4:
            self._base, self._timestamp = position, packet.timestamp  # far from half the range
            self._sequence = packet.sequence
        if error * _US <= LAGS_US * self._rate:
            self._second.append(error)
        self._enough = _a_second(packet)
        since_us = packet.at_us - self.judged_us
        if len(self._second) >= self._enough or (self._second and since_us >= _LONGEST_SECOND_US):
            self.judged_us = packet.at_us
            self._steps = max(1, min(_MOST_STEPS, since_us // _SECOND_US))
            self._correct(min(self._second))
        if self._paying:
            position += self._pay()
        return position

    def _correct(self, least: int) -> None:
        """Note that in a second no packet was less delayed than this.

        Five seconds of this are proof, since jitter looks the same for a while; it is then owed.
        """
        self._second.clear()
        if not self._owed:
            self._proof.append(least)
            if len(self._proof) >= _PROOF_S:
                proven = min(self._proof)
                self._proof.clear()
                self._proven_us = self.judged_us
                if self._is_much(proven):
                    self._owed = proven

    def _is_much(self, samples: int) -> bool:
        """Whether an error is more than jitter makes: for less, no sample is moved."""
        return abs(samples) > 3 * self._step

    def _pay(self) -> int:
        """Move by what nobody hears, and stretch this packet to fit."""
        self._steps -= 1
        move = max(-self._step, min(self._step, self._owed))
        self._owed -= move
        self._base += move
        self.stretch = move
        return move


def _counted(packets: list[Packet], former: StreamClock | None) -> _Pace:
    """How fast their timestamps count: as their codec is told to, or plainly otherwise.

    Some senders of G.722 count 16,000 a second, of Opus what their microphone gives, or packets;
    some do not count at all. Then all steps are alike, and the packets' lengths agree with the
    arrivals, not the timestamps. `former` is what the stream was told by until now.
    """
    first, last = min(packets), max(packets)
    told, length_us = _Pace(first.codec.clock or NARROW, _US), first.length_us
    steps = {
        (later.timestamp - packet.timestamp) % _MODULUS
        for packet, later in pairwise(sorted(packets))
        if later.sequence == packet.sequence + 1
    }
    alike = len(steps) == len({(packet.codec, packet.length_us) for packet in packets}) == 1
    step = steps.pop() if alike else 0
    if not alike or first.silent or step * _US == told.ticks * length_us:
        return told
    pace = _Pace(step or 1, length_us, by_number=not step)
    count, took_us = last.sequence - first.sequence, last.at_us - first.at_us
    by_length = abs(took_us - count * length_us)
    by_stamps = abs(took_us - count * step * _US // told.ticks)
    as_before = former is not None and former.counts(pace)
    return pace if as_before or (count >= _FEW and by_length < by_stamps) else told


def _a_second(packet: Packet) -> int:
    """How many packets like this one a second has."""
    return max(_FEWEST_A_SECOND, _SECOND_US // max(1, packet.length_us))
