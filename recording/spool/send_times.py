"""When the audio of RTP packets was sent, so that late packets of a pause are recognised.

The network can delay a packet. A packet with audio from a pause can therefore arrive after the
pause has ended. Its RTP timestamp shows when its audio was sent. To compare the timestamp with our
clock, each stream (SSRC) has an *anchor*: a timestamp and the arrival time of a packet with this
timestamp that the network delays least. The anchor is fitted while media may be stored. While it
may not, the anchor can only become earlier. So if the network becomes slower during a pause, the
packets of the pause are still seen to belong to it.

Some senders stop their timestamps while they send nothing. In the packets, this looks just like a
network that suddenly becomes slower. So if the delay of a stream has suddenly become larger, the
packets are taken for late ones only for a limited time, the *quarantine*.

If a party's SSRC changes or its timestamps jump, the delay of the new stream is not known. But the
first packet of the new stream was sent after the last one of the old stream. So its delay is at
most that of the old one plus the time between the two arrivals.

Many senders also send reports (RTCP) that show which timestamp belongs to which time of their own
clock. If two reports of a stream with a certain anchor have agreed about the difference between
this clock and ours, a later report gives the anchor of a stream whose anchor is not certain. The
network's delay of the report does not matter.

The sender's clock can be faster than ours. If no packet has proven the anchor for a while, because
all were late, the largest possible difference of the clocks is allowed for.

If the process ends during a call, the next process continues with the anchors that were saved.
They remain valid, because they are saved when media may no longer be stored, or later.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from recording.spool.sender_report import SenderReport

USUAL_RATE = 8000
"""The RTP clock rate, in Hz, of a payload type whose rate is not known."""
Octets = bytes | bytearray | memoryview
"""A datagram, or a part of one."""
_HEADER = struct.Struct(">BBHII")
_US = 1_000_000
_MODULUS = 1 << 32
_USUAL_PACKET_US = 20_000
_LONGEST_PACKET_US = 200_000
_EARLY_US = 60_000
"""A packet that is this much too early, in µs, shows that the timestamps have jumped.

No packet can arrive before it is sent. Less can be the jitter of the packets that set the anchor.
"""
MOST_LATE_US = 10_000_000
"""A packet that is this much too late, in µs, shows that the timestamps have jumped.

This is also the time for which packets are checked after a pause: a network does not delay media
for longer.
"""
_PUNCTUAL_US = 500_000
"""A stream is fitted only while its packets are at most this late, in µs.

Some senders do not count their timestamps by the clock rate. Their packets seem to become later and
later.
"""
_STEP_US = 300_000
"""A stream is doubted if its delay grows by this time, in µs, from one packet to the next."""
_PROOF_US = 40_000
"""A packet proves the anchor if it is at most this late, in µs."""
_PPM = 500
"""The largest error that is assumed for a sender's clock, in parts per million."""
_REPORT_US = 60_000
"""The largest error of the times in a sender report, in µs.

Some senders report the timestamp of their latest packet, which began before the report's time.
"""
_FLOWING_US = 200_000
"""A report is used only if a packet of its stream arrived in this time, in µs, before the report.

If a sender is silent, the timestamp in its report can be as old as the latest packet.
"""
_WINDOW_US = 5_000_000
_FEWEST = 3
_MOST_STREAMS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedStream:
    """The anchor of one stream, for the next process. The fields are those of `_Stream`.

    Times are µs on the monotonic clock, so they are valid until the machine is rebooted.
    """

    track: int
    ssrc: int
    rate: int
    timestamp: int
    at_us: int
    heard_us: int
    proven_us: int
    uncertain_us: int | None
    is_doubted: bool
    packet_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSendTimes:
    """The state of a `SendTimes`, for the next process. Times are as in `SavedStream`."""

    streams: tuple[SavedStream, ...]
    latest: tuple[tuple[int, int, int | None], ...]
    """For each track: the track, the arrival of its latest packet, and the packet's largest delay.

    The largest delay is None if no limit is known.
    """
    attached: tuple[tuple[int, int], ...]
    """Each track to which another leg was attached, and the time of the latest such change."""


@dataclass(slots=True)
class _Stream:
    """The anchor of one stream.

    `timestamp` and `at_us` are the anchor. `noted` is the number of punctual packets that were
    noted one after the other while media could be stored, since the anchor was set.
    `uncertain_us` is the largest possible error of the anchor, in µs: so much later than the time
    of the least delay can it be. It is None if no limit is known.
    """

    rate: int
    timestamp: int
    at_us: int
    heard_us: int
    proven_us: int
    """The arrival, in µs, of the latest packet that proves the anchor (`_PROOF_US`)."""
    uncertain_us: int | None
    noted: int = 0
    least_late_us: int = MOST_LATE_US
    """The smallest delay of a packet, in µs, since the window of `_WINDOW_US` began."""
    window_ends_us: int = 0
    is_doubted: bool = False
    """True if the timestamps may have been interrupted since the anchor was fitted."""
    late_us: int | None = 0
    """The delay of the latest packet in µs; None if it is not known, after a restart."""
    sequence: int = -1
    last_timestamp: int = 0
    packet_us: int = _USUAL_PACKET_US
    """The duration of a packet's audio in µs."""

    def due_us(self, timestamp: int) -> int:
        """Return when a packet with this timestamp arrives if the network delays it least."""
        ahead = (timestamp - self.timestamp) % _MODULUS
        if ahead >= _MODULUS // 2:
            ahead -= _MODULUS
        return self.at_us + ahead * _US // self.rate

    def move_to(self, timestamp: int, at_us: int, late_us: int) -> None:
        """Make an early packet the anchor; `late_us` is its negative delay."""
        self.timestamp, self.at_us = timestamp, at_us
        if self.uncertain_us:
            self.uncertain_us = max(0, self.uncertain_us + late_us)


@dataclass(frozen=True, slots=True)
class _SenderClock:
    """The clock in the sender reports of a track.

    `ahead_us` is the difference between our time and the time of this clock, in µs. It includes the
    smallest delay of the network. `noted_us` is the arrival of the report that showed it. `is_sure`
    is True if the report before it showed the same.
    """

    ahead_us: int
    noted_us: int
    is_sure: bool


class SendTimes:
    """The streams of a call's recorded legs.

    Times are microseconds since the spool's start. `data` is always a whole datagram; only its
    fixed RTP header is read.
    """

    def __init__(self) -> None:
        self._rates: dict[int, Mapping[int, int]] = {}
        self._streams: dict[tuple[int, int], _Stream] = {}
        self._attached_us: dict[int, int] = {}
        self._latest: dict[int, tuple[int, int | None]] = {}
        """For each track, the latest packet: its arrival, and the largest possible delay of it."""
        self._clocks: dict[int, _SenderClock] = {}

    def set_rates(self, track: int, rates: Mapping[int, int]) -> None:
        """Set the RTP clock rate in Hz of each payload type of a track.

        If the track had rates before, the anchors of its streams are then doubted. Many phones
        interrupt their timestamps when the media of a call is negotiated again.
        """
        is_known = track in self._rates
        self._rates[track] = rates
        for key, stream in self._streams.items():
            if is_known and key[0] == track:
                stream.is_doubted = True

    def attach(self, track: int, at_us: int) -> None:
        """Forget the streams of a track, because another leg is recorded on it from now on."""
        self._attached_us[track] = at_us
        self._latest.pop(track, None)
        self._clocks.pop(track, None)
        for key in [key for key in self._streams if key[0] == track]:
            del self._streams[key]

    def saved(self, start_us: int) -> SavedSendTimes:
        """Return the present state. `start_us` is the spool's start on the monotonic clock."""
        return SavedSendTimes(
            streams=tuple(
                SavedStream(
                    track=track,
                    ssrc=ssrc,
                    rate=stream.rate,
                    timestamp=stream.timestamp,
                    at_us=stream.at_us + start_us,
                    heard_us=stream.heard_us + start_us,
                    proven_us=stream.proven_us + start_us,
                    uncertain_us=stream.uncertain_us,
                    is_doubted=stream.is_doubted,
                    packet_us=stream.packet_us,
                )
                for (track, ssrc), stream in self._streams.items()
            ),
            latest=tuple(
                (track, at_us + start_us, delay_us)
                for track, (at_us, delay_us) in self._latest.items()
            ),
            attached=tuple((track, at + start_us) for track, at in self._attached_us.items()),
        )

    def restore(self, saved: SavedSendTimes, start_us: int, at_us: int) -> None:
        """Continue at the time `at_us` with the state of an earlier process.

        `start_us` is this spool's start on the monotonic clock. The present streams are forgotten,
        and so is what sender reports have shown.

        The delay of a stream can have grown step by step while no process ran. So the first packet
        of the stream is not doubted, however late it is.
        """
        self._streams = {
            (each.track, each.ssrc): _Stream(
                rate=each.rate,
                timestamp=each.timestamp,
                at_us=each.at_us - start_us,
                heard_us=each.heard_us - start_us,
                proven_us=each.proven_us - start_us,
                uncertain_us=each.uncertain_us,
                window_ends_us=at_us + _WINDOW_US,
                is_doubted=each.is_doubted,
                late_us=None,
                packet_us=each.packet_us,
            )
            for each in saved.streams
            if each.rate > 0
        }
        self._clocks.clear()
        self._latest = {track: (at - start_us, delay) for track, at, delay in saved.latest}
        self._attached_us = {track: at - start_us for track, at in saved.attached}

    def note_stored(self, track: int, data: Octets, at_us: int) -> None:
        """Fit the anchor of a packet's stream to the packet, which was stored.

        The anchor follows the smallest delay of the last seconds. It is enough to note every eighth
        packet of a stream.
        """
        found = self._find(track, data, at_us)
        if found is None:
            return
        stream, timestamp = found
        late_us = at_us - stream.due_us(timestamp)
        stream.noted = stream.noted + 1 if late_us <= _PUNCTUAL_US else 0
        if stream.noted >= _FEWEST:
            stream.is_doubted, stream.uncertain_us = False, 0
        elif not stream.noted:
            stream.uncertain_us = None
        stream.least_late_us = min(stream.least_late_us, late_us)
        if at_us >= stream.window_ends_us:
            due_us = stream.due_us(timestamp)
            if stream.window_ends_us:
                due_us += stream.least_late_us
            stream.timestamp, stream.at_us = timestamp, due_us
            stream.least_late_us = MOST_LATE_US
            stream.window_ends_us = at_us + _WINDOW_US
            stream.proven_us = at_us

    def note_dropped(self, track: int, data: Octets, at_us: int) -> None:
        """Note a packet that arrived while media may not be stored."""
        self._find(track, data, at_us)

    def note_report(self, track: int, data: Octets, at_us: int) -> None:
        """Note an RTCP datagram that arrived at `at_us`. Only a sender report changes anything."""
        report = SenderReport.parse(data)
        stream = self._streams.get((track, report.ssrc)) if report is not None else None
        if report is None or stream is None or at_us - stream.heard_us > _FLOWING_US:
            return
        if stream.is_doubted or stream.uncertain_us != 0:
            self._anchor_by_report(track, stream, report, at_us)
            return
        due_us = stream.due_us(report.timestamp)
        if -_EARLY_US <= at_us - due_us <= MOST_LATE_US:
            ahead_us, before, is_sure = due_us - report.sent_us, self._clocks.get(track), False
            if before is not None:
                error_us = _REPORT_US + _drift_us(at_us - before.noted_us)
                is_sure = abs(ahead_us - before.ahead_us) <= error_us
            self._clocks[track] = _SenderClock(ahead_us, at_us, is_sure)

    def _anchor_by_report(
        self, track: int, stream: _Stream, report: SenderReport, at_us: int
    ) -> None:
        """Set the anchor of a stream by a sender report, unless the packets contradict the report.

        Packets contradict it if the latest one would then have arrived before it was sent. A stream
        that continued without interruption also has limits for its anchor (see `uncertain_us`).
        """
        clock = self._clocks.get(track)
        if clock is None or not clock.is_sure or stream.late_us is None:
            return
        error_us = _REPORT_US + _drift_us(at_us - clock.noted_us)
        due_us = report.sent_us + clock.ahead_us
        later_us = due_us - stream.due_us(report.timestamp)
        late_us = stream.late_us - later_us
        if not -_EARLY_US <= late_us <= MOST_LATE_US:
            return
        if not stream.is_doubted and stream.uncertain_us is not None:
            earliest_us = -stream.uncertain_us - error_us
            if not earliest_us <= later_us <= error_us:
                return
        stream.timestamp, stream.at_us, stream.proven_us = report.timestamp, due_us, at_us
        stream.uncertain_us, stream.late_us = error_us, late_us
        stream.is_doubted, stream.noted, stream.window_ends_us = False, 0, 0
        stream.least_late_us = MOST_LATE_US

    def is_after(
        self,
        track: int,
        data: Octets,
        at_us: int,
        end_us: int,
        sure_us: int,
    ) -> bool:
        """Return whether the whole audio of a packet was sent after the time `end_us`.

        If the stream's anchor is not certain, it is enough that the packet arrived at or after
        `sure_us`. A leg that was connected after `end_us` has no audio from before it.
        """
        found = self._find(track, data, at_us)
        if found is None:
            return at_us >= sure_us
        stream, timestamp = found
        if stream.uncertain_us is not None:
            drift_us = _drift_us(at_us - stream.proven_us)
            begun_us = stream.due_us(timestamp) - stream.packet_us
            if begun_us - drift_us - stream.uncertain_us >= end_us:
                return True
            if not stream.is_doubted and not stream.uncertain_us:
                return False
        return at_us >= sure_us or self._attached_us.get(track, -1) >= end_us

    def _find(self, track: int, data: Octets, at_us: int) -> tuple[_Stream, int] | None:
        """Return a packet's stream and timestamp; if the packet is early, move the anchor.

        If the packet shows that the timestamps have jumped, the packet becomes the anchor, which
        is then uncertain. Return None if `data` has no RTP header.
        """
        if len(data) < _HEADER.size:
            return None
        _, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        rate = self._rates.get(track, {}).get(second & 0x7F, USUAL_RATE) or USUAL_RATE
        stream = self._streams.get((track, ssrc))
        if stream is None:
            uncertain_us = self._longest_delay_us(track, at_us)
            stream = _Stream(rate, timestamp, at_us, at_us, at_us, uncertain_us)
            self._add(track, ssrc, stream)
        late_us = at_us - stream.due_us(timestamp)
        if rate != stream.rate or not -_EARLY_US <= late_us <= MOST_LATE_US:
            stream.rate, stream.noted, stream.window_ends_us = rate, 0, 0
            stream.least_late_us = MOST_LATE_US
            stream.uncertain_us = self._longest_delay_us(track, at_us)
            stream.timestamp, stream.at_us = timestamp, at_us
            late_us = 0
        elif late_us < 0:
            stream.move_to(timestamp, at_us, late_us)
            late_us = 0
        if late_us <= _PROOF_US:
            stream.proven_us = at_us
        if stream.late_us is not None and late_us - stream.late_us >= _STEP_US:
            stream.is_doubted = True
        stream.late_us = late_us
        if sequence == (stream.sequence + 1) & 0xFFFF:
            step = (timestamp - stream.last_timestamp) % _MODULUS * _US // rate
            if 0 < step <= _LONGEST_PACKET_US:
                stream.packet_us = step
        stream.sequence, stream.last_timestamp = sequence, timestamp
        stream.heard_us = at_us
        sure = stream.uncertain_us
        self._latest[track] = at_us, None if sure is None else sure + late_us
        return stream, timestamp

    def _longest_delay_us(self, track: int, at_us: int) -> int | None:
        """Return the largest possible delay, in µs, of a packet that arrives now at a track.

        The sender sent it after the latest packet. Return None if no limit is known.
        """
        before_us, delay_us = self._latest.get(track, (at_us, None))
        return None if delay_us is None else delay_us + max(0, at_us - before_us)

    def _add(self, track: int, ssrc: int, stream: _Stream) -> None:
        if len(self._streams) >= _MOST_STREAMS:
            del self._streams[min(self._streams, key=lambda key: self._streams[key].heard_us)]
        self._streams[track, ssrc] = stream


def _drift_us(passed_us: int) -> int:
    """Return the largest difference, in µs, that two clocks can gain in a time in µs."""
    return passed_us * _PPM // _US
