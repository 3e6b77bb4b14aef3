"""Finds when the audio of RTP packets was sent, so that late packets of a pause are recognised.

The network can delay a packet, so audio from a pause can arrive after the pause has ended. Its RTP
timestamp shows when it was sent. To compare it with our clock, each stream (SSRC) has an *anchor*:
the timestamp and arrival of a packet that the network delays least. The anchor is fitted while
media may be stored. While media may not be stored, late packets do not move the anchor. So if the
network becomes slower during a pause, the packets of the pause are still recognised.

Some senders stop their timestamps while they send nothing. In the packets, this looks just like a
network that suddenly becomes slower. So the packets after the stop are treated as late, without a
time limit. Their steady arrival proves nothing: packets also arrive steadily in a slow network.

If a party's SSRC changes or its timestamps jump, the delay of the new stream is not known. But its
first packet was sent after the last packet of the old stream, because packets of one party wait in
the same queues. So the delay of the first packet is at most the delay of the last packet plus the
time between the two arrivals. This module uses the earliest possible time of sending.

Two facts in the senders' reports (RTCP) show more. They are used only in a stream whose packets may
be late. The network's delay of the report does not matter.

- A report shows which timestamp belongs to which time of the sender's own clock. While the anchor
  of a stream is certain, its reports show the difference between this clock and ours. If two
  reports have agreed on the difference, a later report gives the anchor.
- A report names the last report that its sender has received, and how long ago (RFC 3550 section
  6.4.1: LSR and DLSR). The relay forwards the reports of the other party. So the report and the
  packets after it were sent after the relay had forwarded the named report.

The sender's clock can be faster than ours. If no packet has proven the anchor for a while, because
all were late, the largest possible difference of the clocks is allowed for.

Some senders do not count their timestamps by the clock rate. Their timestamps are *unusable*. After
a pause, their packets are not stored for a fixed time, the *quarantine*, plus the time for which
these packets were interrupted.

The next process after a restart continues with the saved anchors. They remain valid: the state of a
pause is saved after the gate is shut, and no anchor is fitted while the gate is shut.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

USUAL_RATE = 8000
"""The RTP clock rate, in Hz, of a payload type whose rate is not known."""
Octets = bytes | bytearray | memoryview
"""A datagram, or a part of one."""
_HEADER = struct.Struct(">BBHII")
_REPORT_HEADER = struct.Struct(">BBHIQI")
_REPORT_BLOCKS_AT = 28
_REPORT_BLOCK = struct.Struct(">16xII")
_RTP_VERSION = 2
_SENDER_REPORT = 200
_US = 1_000_000
_LARGEST, _HALF = (1 << 32) - 1, 1 << 31
_USUAL_PACKET_US = 20_000
_LONGEST_PACKET_US = 200_000
_EARLY_US = 60_000
"""A packet that is this much too early, in µs, shows that the timestamps have jumped.

No packet can arrive before it is sent. A smaller time can be the jitter of the packets that set the
anchor.
"""
OVERTAKEN_US = 10_000_000
"""The longest time in µs by which later packets of the same party can overtake a packet."""
_PUNCTUAL_US = 500_000
"""A packet is punctual if it is at most this late, in µs.

`_FEWEST` punctual packets in a row make the anchor certain. If timestamps are not counted by the
clock rate, packets seem to become later and later.
"""
_STEP_US = 300_000
"""A stream is doubted if its packets may be this much too late, in µs."""
_INTERRUPTED_US = 200_000
"""The packets of a party are interrupted if none arrives for this time, in µs."""
_SHORTEST_PACKET_US = 2_000
_MOST_STRIKES = 3
"""The timestamps of a stream are unusable after this number of oddities in a few seconds."""
_REPEATED_US = 50_000
"""A packet that arrives again after this time, in µs, was repeated by the sender itself."""
_MOST_BEHIND = 512
"""A packet whose sequence number is at most this much too low was overtaken by later ones."""
_PROOF_US = 40_000
"""A packet proves the anchor if it is at most this late, in µs."""
_PPM = 500
"""The largest error that is assumed for a sender's clock, in parts per million."""
_REPORT_US = 60_000
"""The largest error of the times in a sender report, in µs.

Some senders report the timestamp of their latest packet, which began before the report's time.
"""
_FLOWING_US = 200_000
"""A report is used only if a packet of its stream arrived in this time, in µs, before it.

If a sender is silent, the timestamp in its report can be as old as the latest packet.
"""
_NEVER_US = 1 << 62
_MOST_LATE_US = 10_000_000
"""A report that seems to be later than this, in µs, shows nothing about the sender's clock."""
_WINDOW_US = 5_000_000
_FEWEST = 3
_TRACKS = (0, 1)
_MOST_STREAMS = 8
_MOST_REPORTS = 4


@dataclass(frozen=True, slots=True)
class Reply:
    """A report block's answer to the report `name` of another party (LSR).

    The other party's report had arrived `after_us` before this report was sent (DLSR).
    """

    name: int
    after_us: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender report: at `sent_us`, the stream had this RTP timestamp.

    `sent_us` is by the sender's clock, in µs since 1900 (NTP). `name` is the middle 32 bits of the
    NTP time, by which the other party's replies name the report.
    """

    ssrc: int
    sent_us: int
    timestamp: int
    name: int = 0
    replies: tuple[Reply, ...] = ()

    @classmethod
    def parse(cls, data: bytes | bytearray | memoryview) -> Self | None:
        """Return the sender report with which an RTCP datagram begins (RFC 3550 section 6.1).

        None if there is no sender report, or if the sender has no clock (its time is 0).
        """
        if len(data) < _REPORT_HEADER.size:
            return None
        first, kind, words, ssrc, ntp, timestamp = _REPORT_HEADER.unpack_from(data)
        if first >> 6 != _RTP_VERSION or kind != _SENDER_REPORT or not ntp:
            return None
        end = min(
            len(data), 4 * (words + 1), _REPORT_BLOCKS_AT + (first & 0x1F) * _REPORT_BLOCK.size
        )
        replies = (
            _REPORT_BLOCK.unpack_from(data, at)
            for at in range(_REPORT_BLOCKS_AT, end - _REPORT_BLOCK.size + 1, _REPORT_BLOCK.size)
        )
        return cls(
            ssrc,
            ntp * _US >> 32,
            timestamp,
            ntp >> 16 & 0xFFFFFFFF,
            tuple(Reply(name, delay * _US >> 16) for name, delay in replies if name),
        )


@dataclass(slots=True, kw_only=True)
class StreamAnchor:
    """One stream's anchor (`timestamp` and `at_us`), and other facts for the next process.

    `at_us` can be up to `uncertain_us` (in µs) later than with the network's least delay.
    `uncertain_us` is None if no limit is known, for example because the timestamps are unusable.
    """

    track: int
    ssrc: int
    rate: int
    timestamp: int
    at_us: int
    heard_us: int
    proven_us: int
    """The arrival, in µs, of the latest packet that proves the anchor (`_PROOF_US`)."""
    uncertain_us: int | None
    is_doubted: bool
    """True if the delay may have grown during a pause. The anchor is then not fitted any more.

    The doubt ends when packets arrive early enough, or when a report shows when they were sent.
    """
    packet_us: int
    """The duration of a packet's audio in µs."""

    def due_us(self, timestamp: int) -> int:
        """Return when a packet with this timestamp arrives if the network delays it least."""
        ahead = (timestamp - self.timestamp + _HALF & _LARGEST) - _HALF
        return self.at_us + ahead * _US // self.rate

    def move_to(self, timestamp: int, at_us: int, late_us: int) -> None:
        """Make an early packet the anchor; `late_us` is its negative delay.

        It proves that the anchor was too late, so `uncertain_us` becomes less, except for the part
        that a fast clock of the sender can explain.
        """
        self.timestamp, self.at_us = timestamp, at_us
        if self.uncertain_us:
            earlier_us = -late_us - _drift_us(at_us - self.heard_us)
            self.uncertain_us -= min(max(0, earlier_us), self.uncertain_us)

    def counted_from(self, start_us: int) -> StreamAnchor:
        """Return a copy whose times are lower by `start_us`, so that they count from this time."""
        return replace(
            self,
            at_us=self.at_us - start_us,
            heard_us=self.heard_us - start_us,
            proven_us=self.proven_us - start_us,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSendTimes:
    """The state of a `SendTimes`, for the next process.

    Times are µs on the monotonic clock, so they are valid until the machine is rebooted.
    """

    streams: tuple[StreamAnchor, ...]
    latest: tuple[tuple[int, int, int | None], ...]
    """(track, arrival of its latest packet, largest possible delay of this packet), in µs."""
    attached: tuple[tuple[int, int], ...]
    """(track to which another leg was attached, earliest time of its packets), in µs."""


@dataclass(slots=True)
class _Stream:
    """One stream: its anchor, and the facts that are not saved for the next process."""

    anchor: StreamAnchor
    noted: int = 0
    """The punctual packets in a row, since the anchor was set, while media could be stored."""
    least_late_us: int = _NEVER_US
    """The smallest delay of a packet, in µs, since the window of `_WINDOW_US` began."""
    window_ends_us: int = 0
    late_us: int = 0
    """The delay of the latest packet in µs, compared with the anchor."""
    sequence: int = -1
    """The sequence number of the latest packet; -1 if it is not known, after a restart."""
    last_timestamp: int = 0
    strikes: int = 0
    """The number of oddities of the timestamps (`_MOST_STRIKES`)."""

    def most_late_us(self) -> int | None:
        """Return the largest possible delay of the latest packet in µs; None if not known."""
        uncertain_us = self.anchor.uncertain_us
        return None if uncertain_us is None else uncertain_us + self.late_us

    def begin_at(self, timestamp: int, at_us: int, uncertain_us: int | None) -> None:
        """Make a packet the anchor. Its delay is at most `uncertain_us`; None if not known."""
        anchor = self.anchor
        anchor.timestamp, anchor.at_us, anchor.proven_us = timestamp, at_us, at_us
        anchor.uncertain_us = uncertain_us
        self.noted, self.window_ends_us, self.least_late_us = 0, 0, _NEVER_US

    def strike(self) -> None:
        self.strikes = min(self.strikes + 1, _MOST_STRIKES)
        if self.is_unusable:
            self.anchor.uncertain_us = None

    @property
    def is_unusable(self) -> bool:
        """True if the timestamps do not count the time."""
        return self.strikes >= _MOST_STRIKES

    def doubt(self) -> None:
        """Doubt the stream if its latest packet may be late, and end the doubt if not."""
        late_us = self.most_late_us()
        self.anchor.is_doubted = late_us is not None and late_us >= _STEP_US


@dataclass(frozen=True, slots=True)
class _SenderClock:
    """The clock in the sender reports of a track, compared with ours.

    `ahead_us` is our time minus the sender's, and includes the smallest delay of the network. The
    report that arrived at `noted_us` showed it. `is_sure` means that the previous report agreed.
    """

    ahead_us: int
    noted_us: int
    is_sure: bool


class SendTimes:
    """The streams of a call's recorded legs. Times are microseconds since the spool's start.

    `data` is always a whole datagram. Of an RTP packet, only the fixed header is read.
    """

    def __init__(self) -> None:
        self._rates: dict[int, Mapping[int, int]] = {}
        self._streams: dict[tuple[int, int], _Stream] = {}
        self._attached_us: dict[int, int] = {}
        self._latest: dict[int, tuple[int, int | None]] = {}
        """For each track, its latest packet: the arrival, and its largest possible delay."""
        self._interrupted_us: dict[int, int] = {}
        """For each track, the µs for which its packets were interrupted since the pause.

        The packets of the track can be late by as many µs.
        """
        self._clocks: dict[int, _SenderClock] = {}
        self._reports: dict[int, deque[tuple[int, int]]] = {}
        """For each track, the names and arrivals of its latest sender reports."""
        self._begun_us = 0

    def begin(self, at_us: int) -> None:
        """Forget all streams. Assume only that no packet was sent before `at_us`."""
        self._streams.clear()
        self._latest.clear()
        self._attached_us.clear()
        self._begun_us = at_us

    def set_rates(self, track: int, rates: Mapping[int, int]) -> None:
        """Set the RTP clock rate in Hz of each payload type of a track."""
        self._rates[track] = rates

    def attach(self, track: int, at_us: int, heard_us: int | None = None) -> int:
        """Forget the streams of a track, because another leg is recorded on it from now on.

        Return the earliest time at which this leg's next packets can have been sent: `heard_us`,
        when its latest packet arrived. Without such a packet (None), return `at_us`, because the
        party has only now answered.
        """
        sent_us = at_us if heard_us is None else min(at_us, heard_us)
        self._attached_us[track] = sent_us
        self._latest[track] = sent_us, 0
        self._interrupted_us.pop(track, None)
        self._clocks.pop(track, None)
        for key in [key for key in self._streams if key[0] == track]:
            del self._streams[key]
        return sent_us

    def saved(self, start_us: int) -> SavedSendTimes:
        """Return the present state. `start_us` is the spool's start on the monotonic clock."""
        return SavedSendTimes(
            streams=tuple(
                stream.anchor.counted_from(-start_us) for stream in self._streams.values()
            ),
            latest=tuple(
                (track, at_us + start_us, delay_us)
                for track in _TRACKS
                for at_us, delay_us in [self._latest_of(track)]
            ),
            attached=tuple((track, at + start_us) for track, at in self._attached_us.items()),
        )

    def restore(self, saved: SavedSendTimes, start_us: int, at_us: int) -> None:
        """Continue at `at_us` with the state of an earlier process, but without its reports.

        `start_us` is this spool's start on the monotonic clock.
        """
        self._streams = {
            (each.track, each.ssrc): _Stream(
                each.counted_from(start_us), window_ends_us=at_us + _WINDOW_US
            )
            for each in saved.streams
            if each.rate > 0
        }
        self._clocks.clear()
        self._latest = {track: (at - start_us, delay) for track, at, delay in saved.latest}
        self._attached_us = {track: at - start_us for track, at in saved.attached}

    def assume_usual_delay(self, at_us: int) -> None:
        """Assume that the network is not slower than usual at `at_us`, after a restart.

        Nothing that was said before is secret. Without this, a stream that was not saved would
        count as late by up to the age of the call.
        """
        for track in _TRACKS:
            heard_us, late_us = self._latest_of(track)
            if heard_us < at_us:
                self._latest[track] = at_us, 0 if late_us is None else min(late_us, _STEP_US)

    def note_stored(self, track: int, data: Octets, at_us: int) -> None:
        """Fit the anchor of a stream to a stored packet. Every eighth stored packet is enough.

        The anchor follows the smallest delay of the last seconds.
        """
        if self._interrupted_us:
            self._interrupted_us.pop(track, None)
        found = self._find(track, data, at_us)
        if found is None:
            return
        stream, timestamp = found
        anchor = stream.anchor
        if anchor.is_doubted:
            stream.doubt()
        if anchor.is_doubted:
            return
        late_us = at_us - anchor.due_us(timestamp)
        stream.noted = stream.noted + 1 if late_us <= _PUNCTUAL_US else 0
        if stream.noted >= _FEWEST and not stream.is_unusable:
            anchor.uncertain_us = 0
        stream.least_late_us = min(stream.least_late_us, late_us)
        if at_us >= stream.window_ends_us:
            due_us = anchor.due_us(timestamp)
            if stream.window_ends_us:
                due_us += stream.least_late_us
                if late_us - stream.least_late_us > _PUNCTUAL_US:
                    stream.strike()
                else:
                    stream.strikes = max(0, stream.strikes - 1)
            anchor.timestamp, anchor.at_us = timestamp, due_us
            stream.least_late_us = _NEVER_US
            stream.window_ends_us = at_us + _WINDOW_US
            anchor.proven_us = at_us

    def note_dropped(self, track: int, data: Octets, at_us: int) -> None:
        """Note a packet that arrived while media may not be stored."""
        self._find_doubting(track, data, at_us)

    def note_report(self, track: int, data: Octets, at_us: int) -> None:
        """Note an RTCP datagram. Only a sender report changes anything."""
        report = SenderReport.parse(data)
        if report is None:
            return
        others = self._reports.get(1 - track, ())
        self._reports.setdefault(track, deque(maxlen=_MOST_REPORTS)).append((report.name, at_us))
        stream = self._streams.get((track, report.ssrc))
        if stream is None or at_us - stream.anchor.heard_us > _FLOWING_US or stream.is_unusable:
            return
        if stream.anchor.uncertain_us == 0 and stream.late_us < _STEP_US:
            self._note_clock(track, stream, report, at_us)
            return
        sent_us = max(
            (
                heard_us + reply.after_us
                for reply in report.replies
                for name, heard_us in others
                if name == reply.name and heard_us + reply.after_us <= at_us
            ),
            default=None,
        )
        if sent_us is not None:
            self._limit_by_reply(stream, report, sent_us, at_us)
        self._anchor_by_clock(track, stream, report, at_us)

    def _note_clock(self, track: int, stream: _Stream, report: SenderReport, at_us: int) -> None:
        """Compare a report's clock with the anchor of its stream. This anchor must be certain."""
        due_us = stream.anchor.due_us(report.timestamp)
        if -_EARLY_US <= at_us - due_us <= _MOST_LATE_US:
            ahead_us, before, is_sure = due_us - report.sent_us, self._clocks.get(track), False
            if before is not None:
                error_us = _REPORT_US + _drift_us(at_us - before.noted_us)
                is_sure = abs(ahead_us - before.ahead_us) <= error_us
            self._clocks[track] = _SenderClock(ahead_us, at_us, is_sure)

    def _limit_by_reply(
        self, stream: _Stream, report: SenderReport, sent_us: int, at_us: int
    ) -> None:
        """Use the fact that a report, and so its timestamp, is not from before `sent_us`.

        If the anchor says that this timestamp is earlier, the timestamps stood still meanwhile.
        """
        earliest_us = sent_us - _REPORT_US
        later_us = earliest_us - stream.anchor.due_us(report.timestamp)
        if later_us > 0:
            timestamp, heard_us = stream.last_timestamp, stream.anchor.heard_us
            stream.begin_at(report.timestamp, at_us, at_us - earliest_us)
            stream.late_us = 0
            late_us = heard_us - stream.anchor.due_us(timestamp)
            if late_us < 0:
                stream.anchor.move_to(timestamp, heard_us, late_us)
            else:
                stream.late_us = late_us
        elif stream.anchor.uncertain_us is None or stream.anchor.uncertain_us > -later_us:
            stream.anchor.uncertain_us = -later_us
        stream.doubt()

    def _anchor_by_clock(
        self, track: int, stream: _Stream, report: SenderReport, at_us: int
    ) -> None:
        """Set the anchor of a stream by a sender report, unless the packets contradict it.

        They contradict it if the latest packet would have arrived before it was sent, or would have
        been sent earlier than `uncertain_us` allows.
        """
        clock = self._clocks.get(track)
        if clock is None or not clock.is_sure:
            return
        error_us = _REPORT_US + _drift_us(at_us - clock.noted_us)
        due_us = report.sent_us + clock.ahead_us
        later_us = due_us - stream.anchor.due_us(report.timestamp)
        late_us = stream.late_us - later_us
        if late_us < -_EARLY_US:
            return
        if (
            stream.anchor.uncertain_us is not None
            and later_us < -stream.anchor.uncertain_us - error_us
        ):
            return
        stream.begin_at(report.timestamp, due_us, error_us)
        stream.anchor.proven_us, stream.late_us = at_us, late_us
        stream.doubt()

    def is_after(self, track: int, data: Octets, at_us: int, end_us: int, sure_us: int) -> bool:
        """Return whether the whole audio of a packet was sent after the time `end_us`.

        If the largest possible delay of the stream is not known, it is enough that the packet
        arrived at or after `sure_us`, plus the time for which the track was interrupted. A leg that
        was connected after `end_us` has no audio from before it.
        """
        found = self._find_doubting(track, data, at_us)
        if self._attached_us.get(track, -_NEVER_US) >= end_us:
            return True
        anchor, timestamp = (found[0].anchor, found[1]) if found else (None, 0)
        if anchor is None or anchor.uncertain_us is None:
            return at_us - self._interrupted_us.get(track, 0) >= sure_us
        begun_us = anchor.due_us(timestamp) - anchor.packet_us
        return begun_us - _drift_us(at_us - anchor.proven_us) - anchor.uncertain_us >= end_us

    def _find_doubting(self, track: int, data: Octets, at_us: int) -> tuple[_Stream, int] | None:
        passed_us = at_us - self._latest_of(track)[0]
        if passed_us >= _INTERRUPTED_US:
            self._interrupted_us[track] = self._interrupted_us.get(track, 0) + passed_us
        found = self._find(track, data, at_us)
        if found is not None:
            found[0].doubt()
        return found

    def _find(self, track: int, data: Octets, at_us: int) -> tuple[_Stream, int] | None:
        """Return a packet's stream and timestamp; None if it has no RTP header.

        An early packet moves the anchor. If the timestamps have jumped, the packet becomes the
        anchor, which is then uncertain.
        """
        if len(data) < _HEADER.size:
            return None
        header = _HEADER.unpack_from(data)
        _, second, sequence, timestamp, ssrc = header
        rates = self._rates.get(track)
        rate = (rates.get(second & 0x7F) if rates else None) or USUAL_RATE
        heard_us, longest_us = self._latest_of(track)
        if longest_us is not None and at_us > heard_us:
            longest_us += at_us - heard_us
        stream = self._streams.get((track, ssrc))
        if stream is None:
            anchor = StreamAnchor(
                track=track,
                ssrc=ssrc,
                rate=rate,
                timestamp=timestamp,
                at_us=at_us,
                heard_us=at_us,
                proven_us=at_us,
                uncertain_us=longest_us,
                is_doubted=self._doubts(track),
                packet_us=_USUAL_PACKET_US,
            )
            stream = _Stream(anchor)
            self._add(stream)
        elif not self._follow(stream, header, rate, at_us, longest_us):
            return stream, timestamp
        if stream.late_us <= _PROOF_US:
            stream.anchor.proven_us = at_us
        stream.sequence, stream.last_timestamp, stream.anchor.heard_us = sequence, timestamp, at_us
        most_us = stream.anchor.uncertain_us
        if most_us is not None:
            most_us += stream.late_us
            if longest_us is not None and longest_us < most_us:
                most_us = longest_us
        self._latest[track] = at_us, most_us
        return stream, timestamp

    @staticmethod
    def _follow(
        stream: _Stream, header: tuple[int, ...], rate: int, at_us: int, longest_us: int | None
    ) -> bool:
        """Compare the next packet of a stream with its anchor, and set the stream's `late_us`.

        `longest_us` is the packet's largest possible delay; None if it is not known. Return False
        if later packets have overtaken it, so that it changes nothing.
        """
        _, _, sequence, timestamp, _ = header
        anchor = stream.anchor
        late_us = at_us - anchor.due_us(timestamp)
        is_apart = has_jumped = False
        if stream.sequence < 0:
            has_jumped = late_us < -_EARLY_US or (
                longest_us is not None and late_us > longest_us + _EARLY_US
            )
        else:
            count = (sequence - stream.sequence + 0x8000 & 0xFFFF) - 0x8000
            ticks = (timestamp - stream.last_timestamp + _HALF & _LARGEST) - _HALF
            is_repeated = not count and at_us - anchor.heard_us >= _REPEATED_US
            if -_MOST_BEHIND <= count <= 0 and ticks <= 0 and not is_repeated:
                return False
            advance_us = ticks * _US // rate
            is_apart = abs(advance_us - count * anchor.packet_us) >= _SHORTEST_PACKET_US
            has_jumped = is_apart and (ticks < 0 or late_us < -_EARLY_US)
            if count == 1 and _SHORTEST_PACKET_US <= advance_us <= _LONGEST_PACKET_US:
                anchor.packet_us = advance_us
            if has_jumped or is_repeated or 0 <= advance_us < count * _SHORTEST_PACKET_US:
                stream.strike()
        if has_jumped or rate != anchor.rate:
            anchor.rate, late_us = rate, 0
            stream.begin_at(timestamp, at_us, None if stream.is_unusable else longest_us)
        elif late_us < 0:
            anchor.move_to(timestamp, at_us, late_us)
            late_us = 0
        elif is_apart and late_us >= _STEP_US and abs(late_us - stream.late_us) >= _STEP_US:
            # The timestamps can have jumped as well, while the network became slower.
            if longest_us is None:
                anchor.uncertain_us = None
            elif anchor.uncertain_us is not None:
                anchor.uncertain_us = max(anchor.uncertain_us, longest_us - late_us)
        stream.late_us = late_us
        return True

    def _latest_of(self, track: int) -> tuple[int, int | None]:
        """Return the arrival of a track's latest packet, and its largest possible delay, in µs.

        The next packet was sent later. So its delay is at most this delay plus the time between the
        two arrivals. The delay is None if no limit is known.
        """
        return self._latest.get(track, (self._begun_us, 0))

    def _doubts(self, track: int) -> bool:
        return any(each.anchor.is_doubted for key, each in self._streams.items() if key[0] == track)

    def _add(self, stream: _Stream) -> None:
        if len(self._streams) >= _MOST_STREAMS:
            oldest = min(self._streams, key=lambda key: self._streams[key].anchor.heard_us)
            del self._streams[oldest]
        self._streams[stream.anchor.track, stream.anchor.ssrc] = stream


def _drift_us(passed_us: int) -> int:
    """Return the most µs by which two clocks can drift apart while `passed_us` pass."""
    return passed_us * _PPM // _US
