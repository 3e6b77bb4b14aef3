"""RTCP between two phones: each reports what happened to the other's media.

Covers `telephony/phone/stream.py`.
"""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import RtpParseError
from telephony.phone import CallState, VoIPCall
from telephony.phone.reception import ReceptionCounter
from telephony.phone.reports import Reports
from telephony.phone.rtp_sender import RtpSender
from telephony.rtp.packet import RtpPacket
from telephony.rtp.rtcp import BYE, RECEIVER_REPORT, SENDER_REPORT, parse_compound

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
        asyncio.timeout(15),
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
