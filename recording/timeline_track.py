"""One track of the timeline: RTP streams put in order, decoded, and laid where they belong.

A stream (one SSRC) is anchored by the earliest arrivals of its first 0.4 seconds; from there
its timestamps decide. If arrivals show that the sender's clock runs at another speed, the
anchor follows, by half a millisecond a second at most, the samples stretched to fit; a
timestamp that jumps, or stands still during a hold, is anchored anew. Nothing here
remembers more than the window.
"""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recording.codecs import NARROW, STATIC, Decoder, PayloadCodec, Samples, decoder_for, to_rate

_HEADER = struct.Struct("!BBHII")
_US = 1_000_000
_HOLD_US = 400_000
_PACKET_US = 20_000
_RUN = 50
_PROOF_S = 5
_MOST_WAITING = 200
_MOST_MISSING = 3000
_MOST_BEHIND = 100
_MOST_STREAMS = 4
_MODULUS = 1 << 32


class WidebandError(Exception):
    """A wideband packet came while 8000 samples a second are made."""


@dataclass(slots=True)
class TrackCount:
    """What became of a track's packets."""

    received: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    malformed: int = 0
    undecoded: int = 0
    codecs: Counter[str] = field(default_factory=Counter)
    """Packets by codec, such as `PCMA/8000`."""


@dataclass(frozen=True, slots=True, order=True)
class _Packet:
    sequence: int
    """Extended: never wraps."""
    at_us: int = field(compare=False)
    timestamp: int = field(compare=False)
    codec: PayloadCodec = field(compare=False)
    payload: bytes = field(compare=False)


class Track:
    """The samples of one party, and how they came about."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.counted = TrackCount()
        self._payloads: dict[int, PayloadCodec] = dict(STATIC)
        self._streams: dict[int, _Stream] = {}
        self._samples = np.zeros(4 * rate, dtype=np.int16)
        self._start = 0

    def count(self) -> TrackCount:
        """With what is still missing counted as lost."""
        missing = sum(len(stream.missing) for stream in self._streams.values())
        return TrackCount(
            self.counted.received,
            self.counted.lost + missing,
            self.counted.late,
            self.counted.duplicate,
            self.counted.malformed,
            self.counted.undecoded,
            self.counted.codecs,
        )

    def media(self, payloads: Mapping[int, PayloadCodec]) -> None:
        """New meanings for payload types."""
        self._payloads = {**STATIC, **payloads}

    def packet(self, at_us: int, data: bytes) -> None:
        """Take one datagram."""
        if len(data) < _HEADER.size or data[0] >> 6 != 2:
            self.counted.malformed += 1
            return
        flags, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        payload = data[12:] if flags == 0x80 else _payload(data, flags)
        codec = self._payloads.get(kind & 0x7F)
        if codec is None:
            codec = PayloadCodec(f"payload-type-{kind & 0x7F}", NARROW)
        stream = self._streams.get(ssrc) or self._new_stream(ssrc)
        stream.packet(at_us, sequence, timestamp, codec, payload)

    def _new_stream(self, ssrc: int) -> _Stream:
        while len(self._streams) >= _MOST_STREAMS:
            oldest = self._streams.pop(next(iter(self._streams)))
            oldest.flush()
            self.counted.lost += len(oldest.missing)
        self._streams[ssrc] = _Stream(self)
        return self._streams[ssrc]

    def interrupt(self) -> None:
        """What does not come now was not lost."""
        for stream in self._streams.values():
            stream.interrupt()

    def advance(self, now_us: int) -> None:
        """Lay down whatever has waited long enough for its predecessors."""
        for stream in self._streams.values():
            stream.advance(now_us)

    def flush(self) -> None:
        """Lay down everything."""
        for stream in self._streams.values():
            stream.flush()

    def put(self, position: int, samples: Samples) -> bool:
        """Lay samples at a position (samples since the start); False when that is too late."""
        offset = position - self._start
        if offset < 0:
            samples, offset = samples[-offset:], 0
            if not len(samples):
                return False
        end = offset + len(samples)
        if end > len(self._samples):
            grown = np.zeros(end + self.rate, dtype=np.int16)
            grown[: len(self._samples)] = self._samples
            self._samples = grown
        self._samples[offset:end] = samples
        return True

    def take(self, count: int) -> Samples:
        """The oldest samples, which become final."""
        taken = self._samples[:count].copy()
        if len(taken) < count:
            taken = np.concatenate([taken, np.zeros(count - len(taken), dtype=np.int16)])
        kept = max(4 * self.rate, len(self._samples) - count)
        shifted = np.zeros(kept, dtype=np.int16)
        rest = self._samples[count : count + kept]
        shifted[: len(rest)] = rest
        self._samples = shifted
        self._start += count
        return taken


class _Stream:
    """The packets of one SSRC."""

    def __init__(self, track: Track) -> None:
        self.missing: dict[int, None] = {}
        self._track = track
        self._waiting: list[_Packet] = []
        self._next: int | None = None
        self._broken = False
        self._suspect = -1
        """The sequence number that would confirm that the sender began anew."""
        self._clock: _Clock | None = None
        self._decoders: dict[PayloadCodec, Decoder | None] = {}
        self._run: list[bytes] = []
        self._run_at = 0
        self._run_decoder: Decoder | None = None

    def packet(
        self, at_us: int, sequence: int, timestamp: int, codec: PayloadCodec, payload: bytes
    ) -> None:
        count = self._track.counted
        number = sequence
        if self._next is not None:
            number = self._next + ((sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
            if not -_MOST_BEHIND < number - self._next < _MOST_MISSING:
                if not self._broken and sequence != self._suspect:
                    self._suspect = (sequence + 1) & 0xFFFF
                    count.late += 1
                    return
                self._restart()
                number = sequence
        packet = _Packet(number, at_us, timestamp, codec, payload)
        if self._next is not None and number < self._next and self._clock is not None:
            self._straggler(packet)
        elif number == self._next and not self._waiting and self._clock is not None:
            count.received += 1
            self._lay(packet)
        elif any(other.sequence == number for other in self._waiting):
            count.duplicate += 1
        else:
            count.received += 1
            heapq.heappush(self._waiting, packet)
            if self._next is None:
                self._next = number
            if len(self._waiting) > _MOST_WAITING:
                self.drain(self._waiting[0].at_us + _HOLD_US)
            else:
                self.drain(at_us)

    def interrupt(self) -> None:
        self._broken = True

    def flush(self) -> None:
        """Wait no longer."""
        if self._waiting:
            self.drain(max(packet.at_us for packet in self._waiting) + _HOLD_US)
        self._lay_run()

    def advance(self, now_us: int) -> None:
        """Leave nothing in hand that could be laid."""
        self.drain(now_us)
        self._lay_run()

    def drain(self, now_us: int) -> None:
        """Lay what is next in order, or has waited long enough."""
        waiting = self._waiting
        if not waiting:
            return
        if self._clock is None:
            if now_us - min(packet.at_us for packet in waiting) < _HOLD_US:
                return
            self._next = waiting[0].sequence
            self._clock = _Clock.anchored(waiting, self._track.rate)
        while waiting and (
            waiting[0].sequence == self._next or now_us - waiting[0].at_us >= _HOLD_US
        ):
            self._lay(heapq.heappop(waiting))

    def _restart(self) -> None:
        """The sequence jumped too far for a loss: another stream under the same name."""
        self.flush()
        self._track.counted.lost += len(self.missing)
        self.missing.clear()
        self._next = self._clock = None

    def _straggler(self, packet: _Packet) -> None:
        count = self._track.counted
        if packet.sequence not in self.missing:
            count.duplicate += 1
            return
        del self.missing[packet.sequence]
        count.received += 1
        if self._clock is None or packet.codec.silent:
            return
        self._lay_run()
        if not self._decode(packet, self._clock.place(packet)):
            count.late += 1

    def _lay(self, packet: _Packet) -> None:
        """Place one packet, all before it being laid or given up."""
        clock = self._clock
        if clock is None or self._next is None:
            return
        if packet.sequence > self._next and not self._broken:
            self.missing.update(dict.fromkeys(range(self._next, packet.sequence)))
            while len(self.missing) > _MOST_MISSING:
                del self.missing[next(iter(self.missing))]
                self._track.counted.lost += 1
        self._broken = False
        self._next = packet.sequence + 1
        codec = packet.codec
        self._track.counted.codecs[str(codec)] += 1
        if codec.silent:
            return
        position = clock.follow(packet)
        if self._joins(packet, position):
            self._run.append(packet.payload)
        else:
            self._lay_run()
            self._decode(packet, position)

    def _joins(self, packet: _Packet, position: int) -> bool:
        """Whether the packet continues, or can begin, a run that is decoded at once."""
        decoder = self._decoder(packet.codec)
        if decoder is None or not decoder.stateless or decoder.rate != self._track.rate:
            return False
        run = self._run
        if run and decoder is self._run_decoder and len(run) < _RUN:
            if self._run_at == position and not (self._clock and self._clock.stretch):
                self._run_at += len(packet.payload)
                return True
            return False
        if self._clock and self._clock.stretch:
            return False
        self._lay_run()
        self._run_decoder = decoder
        self._run_at = position + len(packet.payload)
        return True

    def _lay_run(self) -> None:
        if self._run and self._run_decoder is not None:
            samples = self._run_decoder.decode(b"".join(self._run))
            self._track.put(self._run_at - len(samples), samples)
            self._run.clear()

    def _decode(self, packet: _Packet, position: int) -> bool:
        decoder = self._decoder(packet.codec)
        if decoder is None:
            self._track.counted.undecoded += 1
            return True
        samples = decoder.decode(packet.payload)
        if decoder.rate != self._track.rate:
            samples = to_rate(samples.astype(np.float32), decoder.rate, self._track.rate)
        clock = self._clock
        if clock is not None and clock.stretch and len(samples) > abs(clock.stretch):
            samples = to_rate(
                samples.astype(np.float32), len(samples), len(samples) + clock.stretch
            )
            position -= clock.stretch
            clock.stretch = 0
        return self._track.put(position, samples) or not len(samples)

    def _decoder(self, codec: PayloadCodec) -> Decoder | None:
        if codec not in self._decoders:
            decoder = decoder_for(codec)
            if decoder is not None and decoder.rate > self._track.rate:
                raise WidebandError(codec.name)
            self._decoders[codec] = decoder
        return self._decoders[codec]


class _Clock:
    """Where a timestamp lies, in samples since the start; follows the sender's clock."""

    def __init__(self, rate: int, packet: _Packet, position: int) -> None:
        self.stretch = 0
        """Samples by which the next block is to be longer."""
        self._rate = rate
        self._jump = 3 * rate // 2
        self._early = -60 * rate // 1000
        self._step = rate // 2000
        self._rebase(packet, position)

    @classmethod
    def anchored(cls, packets: list[_Packet], rate: int) -> _Clock:
        """By the packet that was least delayed."""
        first = min(packets)
        clock = cls(rate, first, 0)
        clock._base = min(clock._arrival(packet) - clock.place(packet) for packet in packets)
        return clock

    def _arrival(self, packet: _Packet) -> int:
        """Where it would lie if arrival decided; a packet longer than 20 ms began earlier."""
        lead = 0
        if packet.codec.clock == NARROW and packet.codec.name.upper() in {"PCMU", "PCMA"}:
            lead = max(0, len(packet.payload) * _US // NARROW - _PACKET_US)
        return (packet.at_us - lead) * self._rate // _US

    def _rebase(self, packet: _Packet, position: int) -> None:
        self._base = position
        self._timestamp = packet.timestamp
        self._hertz = packet.codec.clock or NARROW
        self._second: list[int] = []
        self._proof: list[int] = []
        self._owed = 0
        self.stretch = 0

    def place(self, packet: _Packet) -> int:
        """By timestamp alone."""
        ahead = (packet.timestamp - self._timestamp) % _MODULUS
        if ahead >= _MODULUS // 2:
            ahead -= _MODULUS
        return self._base + ahead * self._rate // self._hertz

    def follow(self, packet: _Packet) -> int:
        """By timestamp, the anchor corrected by what the arrival tells."""
        position, arrival = self.place(packet), self._arrival(packet)
        error = arrival - position
        if error > self._jump or error < self._early or packet.codec.clock != self._hertz:
            self._rebase(packet, arrival)
            return arrival
        if (packet.timestamp - self._timestamp) % _MODULUS > _MODULUS // 4:
            self._base, self._timestamp = position, packet.timestamp  # far from half the range
        self._second.append(error)
        if len(self._second) >= _RUN:
            position += self._correct(min(self._second))
        return position

    def _correct(self, least: int) -> int:
        """The anchor's move, after a second in which no packet was less delayed than this.

        A large one is made at once. A small one wants five seconds of proof, since jitter
        looks the same for a while, and is paid in steps that nobody hears.
        """
        self._second.clear()
        if abs(least) > -self._early:
            self._proof.clear()
            self._owed = 0
            self._base += least
            return least
        if not self._owed:
            self._proof.append(least)
            if len(self._proof) < _PROOF_S:
                return 0
            proven = min(self._proof)
            self._proof.clear()
            if abs(proven) > 3 * self._step:
                self._owed = proven
        move = max(-self._step, min(self._step, self._owed))
        self._owed -= move
        self._base += move
        self.stretch = move
        return move


def _payload(data: bytes, flags: int) -> bytes:
    """What follows CSRCs and extension, without padding (RFC 3550 section 5.1)."""
    start = 12 + 4 * (flags & 0x0F)
    if flags & 0x10 and len(data) >= start + 4:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    end = len(data) - data[-1] if flags & 0x20 else len(data)
    return data[start:end] if start < end else b""
