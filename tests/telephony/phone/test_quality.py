"""The quality of media at both ends: loss, duplicates, jitter, and the RTCP reports about them.

Covers `telephony/phone/quality.py` and `telephony/phone/stream.py`.
"""

import asyncio
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import RtpParseError
from telephony.phone import CallState, VoIPCall
from telephony.phone.quality import ReceptionCounter, Reports
from telephony.phone.rtp_sender import RtpSender
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import BYE, RECEIVER_REPORT, SENDER_REPORT, parse_compound


def packet(number, ssrc=1):
    return RtpPacket(8, number & 0xFFFF, 160 * number & 0xFFFFFFFF, ssrc, bytes(160))


def counted(*numbers):
    counter = ReceptionCounter()
    for number in numbers:
        counter.put(packet(number), number * 0.02)
    return counter.now


def test_a_steady_stream_has_neither_loss_nor_jitter():
    assert astuple(counted(*range(100))) == pytest.approx((100, 0, 0, 0))


def test_a_missing_packet_counts_as_lost_until_it_arrives():
    assert counted(1, 2, 5).lost == 2
    assert astuple(counted(1, 2, 5, 4)) == pytest.approx((4, 1, 1, 0))
    assert counted(1, 2, 5).loss == pytest.approx(0.4)


def test_a_duplicate_packet_is_not_counted():
    assert counted(1, 2, 2, 1, 3).received == 3


def test_a_sequence_number_that_wraps_round_counts_as_no_loss():
    numbers = range(65_530, 65_545)
    assert (counted(*numbers).received, counted(*numbers).lost) == (15, 0)


def test_a_new_source_does_not_count_as_loss():
    counter = ReceptionCounter()
    for number, ssrc in ((1, 1), (2, 1), (9000, 2), (9001, 2)):
        counter.put(packet(number, ssrc), number * 0.02)
    assert (counter.now.received, counter.now.lost) == (4, 0)


def test_the_packets_of_a_dtmf_key_add_no_jitter():
    counter = ReceptionCounter()
    counter.put(packet(0), 0.0)
    for number in range(1, 6):
        counter.count_untimed(RtpPacket(101, number, 160, 1, bytes(4)))
    counter.put(packet(6), 0.12)
    assert (counter.now.received, counter.now.lost) == (7, 0)
    assert counter.now.jitter == pytest.approx(0)


def test_jitter_follows_rfc_3550():
    counter = ReceptionCounter()
    counter.put(packet(0), 0.0)
    counter.put(packet(1), 0.036)
    assert counter.now.jitter == pytest.approx(0.016 / 16)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 2))))
def test_the_counts_stay_consistent_for_any_sequence_of_packets(arrivals):
    counter = ReceptionCounter()
    for place, (number, ssrc) in enumerate(arrivals):
        counter.put(packet(number, ssrc), place * 0.02)
    now = counter.now
    assert 0 <= now.received <= len(arrivals)
    assert now.late <= now.received
    assert 0 <= now.loss <= 1


WALL = 1_800_000_000.0


class Party:
    def __init__(self):
        self.sender, self.heard, self.reports = RtpSender(), ReceptionCounter(), Reports()

    def send(self, other, *, lose=()):
        """Send one packet for each flag in `lose`; a packet whose flag is set is lost."""
        for lost in lose:
            data = self.sender.next()
            if not lost:
                other.heard.put(RtpPacket.parse(data), 0.0)

    @property
    def peer(self):
        """The newest report of the other side."""
        assert self.reports.peer is not None
        return self.reports.peer

    def report(self, other, now):
        written = self.reports.write(self.sender, self.heard, WALL + now, now)
        other.reports.read(written, other.sender, WALL + now, now)
        return parse_compound(written)


def test_a_report_shows_the_sender_its_loss_and_the_round_trip_time():
    one, other = Party(), Party()
    one.send(other, lose=[False, True, False, False])
    assert one.report(other, 1.0)[0].type == SENDER_REPORT
    assert not one.reports.peer
    assert not other.reports.peer
    written = other.reports.write(other.sender, other.heard, WALL + 1.5, 1.5)
    assert parse_compound(written)[0].type == RECEIVER_REPORT
    one.reports.read(written, one.sender, WALL + 1.75, 1.75)
    told = one.peer
    assert (told.loss, told.lost) == (0.25, 1)
    assert told.round_trip == pytest.approx(0.25, abs=0.001)


def test_the_loss_fraction_covers_the_time_since_the_previous_report():
    one, other = Party(), Party()
    one.send(other, lose=[False, True, False, False])
    other.report(one, 1.0)
    one.send(other, lose=[False] * 4)
    other.report(one, 2.0)
    assert (one.peer.loss, one.peer.lost) == (0.0, 1)


def test_the_loss_of_a_new_source_is_counted_from_its_first_packet():
    one, second, other = Party(), Party(), Party()
    one.send(other, lose=[False, True, False])
    other.report(one, 1.0)
    second.send(other, lose=[False, False, True, False])
    other.report(second, 2.0)
    assert (second.peer.loss, second.peer.lost) == (0.25, 1)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), min_size=1, max_size=10))
def test_the_reported_total_equals_the_number_of_lost_packets(rounds):
    one, other = Party(), Party()
    one.send(other, lose=[False])
    for number, lose in enumerate(rounds):
        other.report(one, 10.0 * number)
        one.send(other, lose=[*lose, False])
        other.report(one, 10.0 * number + 5.0)
    assert one.peer.lost == sum(map(sum, rounds))
    assert one.peer.loss == pytest.approx(sum(lose) / (len(lose) + 1), abs=1 / 256)


@given(st.binary(max_size=80))
def test_a_report_of_random_bytes_is_read_or_raises_rtp_parse_error(data):
    party = Party()
    try:
        party.reports.read(data, party.sender, WALL, 0.0)
    except RtpParseError:
        return


def test_the_end_of_a_stream_is_an_rtcp_bye():
    packets = parse_compound(Reports().end(RtpSender()))
    assert packets[0].type == RECEIVER_REPORT
    assert packets[-1].type == BYE


async def reported(call):
    """Wait for the first report of the other side and return it."""
    await call.changes.until(lambda: call.report is not None)
    return call.report


async def round_trip_of(call):
    """Wait until the other side's reports give a round trip; return it in seconds."""
    await call.changes.until(lambda: call.report.round_trip is not None)
    return call.report.round_trip


@pytest.mark.parametrize("rule", ["off", "required"])
async def test_two_phones_exchange_reports_during_a_call(make_phone, rule, monkeypatch):
    monkeypatch.setattr("telephony.phone.stream._REPORT", 0.3)  # in place of five seconds
    came = asyncio.Queue[VoIPCall]()
    async with (
        make_phone(user="202", call_callback=came.put) as called,
        make_phone(called.address, srtp=rule) as caller,
        asyncio.timeout(60),
    ):
        placed = await caller.call("202")
        taken = await came.get()
        await taken.answer()
        await placed.wait_for(CallState.ANSWERED)
        for call in (placed, taken):
            report = await reported(call)
            assert (report.loss, report.lost) == (0.0, 0)
            assert report.jitter < 1
        assert await round_trip_of(taken) < 5
