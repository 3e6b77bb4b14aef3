"""Sender reports show which RTP timestamp belongs to which time of the sender's clock.

Covers `recording/spool/send_times.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recording.spool.gate import RecordingGate
from recording.spool.send_times import SenderReport

PACKET_S = 0.020
RATE = 8000
QUARANTINE_S = 3.0
OWN_CLOCK_S = 3_970_000_000.25
"""The time of the sender's clock, in seconds since 1900, when our clock is at 0."""


def report(ssrc, sent_s, timestamp, kind=200):
    """Return an RTCP datagram with a sender report and one byte of the next packet."""
    ntp = round(sent_s * (1 << 32))
    return (
        struct.pack(">BBHIQIII", 0x80, kind, 6, ssrc, ntp, timestamp & 0xFFFFFFFF, 1, 160) + b"\x81"
    )


def test_a_sender_report_shows_its_stream_its_time_and_its_timestamp():
    found = SenderReport.parse(report(7, 3_970_000_000.5, 1234))
    name = (3_970_000_000 << 16 | 1 << 15) & 0xFFFFFFFF
    assert found == SenderReport(7, 3_970_000_000_500_000, 1234, name)


@pytest.mark.parametrize(
    "data",
    [
        report(7, 3_970_000_000.5, 1, kind=201),
        report(7, 0, 1),
        b"\x40" + report(7, 3_970_000_000.5, 1)[1:],
        report(7, 3_970_000_000.5, 1)[:19],
        b"",
    ],
    ids=["receiver report", "no clock", "version 1", "too short", "empty"],
)
def test_other_rtcp_is_not_read_as_a_sender_report(data):
    assert SenderReport.parse(data) is None


@given(data=st.binary(max_size=60))
def test_any_octets_give_a_report_or_nothing(data):
    found = SenderReport.parse(data)
    assert found is None or data[1] == 200


@dataclass
class Sender:
    """A sender of packets and of a report every five seconds, through a network that delays them.

    At the time `changes_at` in seconds, the SSRC changes and the timestamps begin elsewhere.
    `reports_late_by` is added to the timestamp of each report after this, in seconds: the sender
    reports wrongly. `steps_by` is added to the sender's own clock at this time.
    """

    changes_at: float
    reports_late_by: float = 0.0
    steps_by: float = 0.0
    silent: tuple[float, float] = (0.0, 0.0)
    rise_s: float = 0.0

    def traffic(self, until):
        """Return (arrival, time of sending, datagram, is it a report) in order of arrival."""
        made = []
        for number in range(round(until / PACKET_S)):
            begun = number * PACKET_S
            sent = begun + PACKET_S
            changed = begun >= self.changes_at
            ssrc, offset = (8, 77_000_000) if changed else (7, 5_000)
            stamp = round(begun * RATE) + offset
            delay = 0.03 + (self.rise_s if sent > self.changes_at - 1 else 0.0)
            if not self.silent[0] <= begun < self.silent[1]:
                data = struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, stamp, ssrc) + bytes(160)
                made.append((sent + delay, sent, data, False))
            if not number % 250:
                own = OWN_CLOCK_S + sent + (self.steps_by if changed else 0.0)
                wrong = round(self.reports_late_by * RATE) if changed else 0
                data = report(ssrc, own, stamp + round(PACKET_S * RATE) + wrong)
                made.append((sent + delay + 0.001, sent, data, True))
        return sorted(made)


@pytest.fixture
def gate(spools):
    """Return an open gate."""

    def fail(error):
        raise AssertionError(error)

    gate = RecordingGate(0.0, fail, round(QUARANTINE_S * 1e6), spools.writer())
    gate.open(0)
    return gate


def play(gate, sender, pause, until, *, reports=True):
    """Give the gate all traffic; return the sending times of packets stored after the pause."""
    kept, (begin, end), is_shut, is_over = [], pause, False, False
    for arrived, sent, data, is_report in sender.traffic(until):
        if arrived >= begin and not is_shut:
            gate.shut(confidential=True)
            is_shut = True
        if arrived >= end and not is_over:
            gate.open(round(end * 1e6))
            is_over = True
        if is_report:
            if reports:
                gate.note_report(0, data, arrived)
            continue
        before = gate.stored
        gate.store(0, data, arrived, False)
        if gate.stored > before and is_over:
            kept.append(sent)
    return kept


def test_a_sender_report_in_a_pause_lets_a_new_stream_be_stored_almost_at_once_after_it(gate):
    sender = Sender(changes_at=22.5, silent=(21.0, 22.5))
    kept = play(gate, sender, (20.0, 30.0), 40.0)
    assert 0 < min(kept) - PACKET_S - 30.0 < 0.1


def test_without_reports_a_new_stream_is_dropped_for_as_long_as_the_interruption_lasted(gate):
    sender = Sender(changes_at=22.5, silent=(11.0, 22.5))
    kept = play(gate, sender, (10.0, 30.0), 60.0, reports=False)
    assert min(kept) - 30.0 == pytest.approx(11.5, abs=0.1)


@pytest.mark.parametrize("rise_s", [0.5, 2.0])
def test_a_report_lets_no_packet_of_a_pause_pass_when_the_network_is_slower(gate, rise_s):
    sender = Sender(changes_at=22.5, silent=(21.0, 22.5), rise_s=rise_s)
    kept = play(gate, sender, (20.0, 30.0), 40.0)
    assert min(kept) - PACKET_S + 0.03 >= 30.0
    assert min(kept) - 30.0 < 0.2


def test_a_report_that_the_packets_contradict_lets_no_packet_of_the_pause_pass(gate):
    """By this report, the packets would have arrived before they were sent."""
    sender = Sender(changes_at=22.5, silent=(11.0, 22.5), reports_late_by=-1.0)
    kept = play(gate, sender, (10.0, 30.0), 60.0)
    assert min(kept) >= 30.0 - 0.03


@pytest.mark.parametrize("steps_by", [4.0, -4.0])
def test_a_report_of_a_sender_whose_clock_was_set_lets_no_packet_of_the_pause_pass(gate, steps_by):
    """The sender's clock was set to another time."""
    sender = Sender(changes_at=22.5, steps_by=steps_by, rise_s=2.5)
    kept = play(gate, sender, (20.0, 30.0), 40.0)
    assert min(kept) - PACKET_S + 0.03 >= 30.0


def test_two_reports_that_disagree_are_not_used(gate):
    data = struct.pack(">BBHII", 0x80, 0, 1, 0, 7) + bytes(160)
    for number in range(1000):
        stamp, at = number * 160, number * PACKET_S
        gate.store(0, struct.pack(">BBHII", 0x80, 0, number, stamp, 7) + data[12:], at, False)
        if not number % 250:
            own = OWN_CLOCK_S + at + number / 1000
            gate.note_report(0, report(7, own, stamp), at)
    gate.shut(confidential=True)
    for number in range(1000, 1250):
        at = number * PACKET_S + 0.5
        packet = struct.pack(">BBHII", 0x80, 0, number, 9_000_000 + number * 160, 8) + data[12:]
        gate.store(0, packet, at, False)
        gate.note_report(0, report(8, OWN_CLOCK_S + at, 9_000_000 + number * 160), at)
    gate.open(25_500_000)
    packet = struct.pack(">BBHII", 0x80, 0, 1250, 9_000_000 + 1250 * 160, 8) + data[12:]
    before = gate.stored
    gate.store(0, packet, 25.51, False)
    assert gate.stored == before
