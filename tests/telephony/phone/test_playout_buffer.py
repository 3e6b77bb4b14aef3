"""The media of a phone: packets at their timestamps, keys, and G.711.

Covers `telephony/phone/outbox.py` and `telephony/phone/g711.py`.
"""

import struct

import pytest

from telephony.errors import ProtocolError
from telephony.phone import g711
from telephony.phone.playout_buffer import Inbox
from telephony.phone.rtp_sender import Outbox
from telephony.rtp.dtmf import TelephoneEvent
from telephony.rtp.packet import RtpPacket
from telephony.rtp.tone import to_pcma, to_pcmu

FRAME = bytes([1, 0]) * 160


def put(inbox, timestamp, ssrc=7, now=0.0, pcm=FRAME):
    inbox.put(RtpPacket(8, 0, timestamp & 0xFFFFFFFF, ssrc), pcm, now)


def test_packets_stand_where_their_timestamps_say():
    inbox = Inbox()
    for number in (0, 2, 1):
        put(inbox, 1000 + 160 * number, pcm=bytes([number + 1, 0]) * 160)
    assert inbox.take(480) == b"".join(bytes([n, 0]) * 160 for n in (1, 2, 3))


def test_a_lost_packet_is_silence_of_its_length():
    inbox = Inbox()
    put(inbox, 0)
    put(inbox, 320)
    assert inbox.take(480) == FRAME + bytes(320) + FRAME


def test_a_timestamp_wraps_round():
    inbox = Inbox()
    put(inbox, 2**32 - 160)
    put(inbox, 0)
    assert inbox.unread == 320


def test_a_packet_after_its_audio_was_read_is_dropped():
    inbox = Inbox()
    put(inbox, 0)
    put(inbox, 320)
    inbox.take(480)
    put(inbox, 160)
    assert inbox.unread == 0


def test_a_new_source_goes_on_when_it_arrives():
    inbox = Inbox()
    put(inbox, 0)
    put(inbox, 5_000_000, ssrc=8, now=1.0)
    assert inbox.end == 8160


def test_a_new_source_never_overwrites_the_old_one():
    inbox = Inbox()
    for number in range(5):
        put(inbox, 160 * number)
    put(inbox, 77, ssrc=8, now=0.01)
    assert inbox.end == 960


@pytest.mark.parametrize(("law", "encoder"), [("pcma", to_pcma), ("pcmu", to_pcmu)])
def test_g711_agrees_with_the_formula_and_round_trips(law, encoder):
    samples = range(-32_768, 32_768)
    encoded = g711.encode(struct.pack("<65536h", *samples), law)
    assert encoded == bytes(map(encoder, samples))
    assert (
        g711.encode(g711.decode(encoded, law), law) == encoded.replace(b"\x7f", b"\xff")
        if (law == "pcmu")
        else encoded
    )


def test_a_key_is_one_event_whose_end_comes_three_times():
    outbox = Outbox()
    outbox.event_type = 101
    outbox.press("5")
    packets = [RtpPacket.parse(outbox.next()) for _ in range(12)]
    events = [packet for packet in packets if packet.payload_type == 101]
    told = [TelephoneEvent.parse(packet.payload) for packet in events]
    assert {packet.timestamp for packet in events} == {packets[0].timestamp}
    assert [packet.marker for packet in events] == [True] + [False] * (len(events) - 1)
    assert [event.duration for event in told] == [160, 320, 480, 640, 800, 960, 960, 960]
    assert [event.end for event in told] == [False] * 5 + [True] * 3
    assert not outbox.pressing


def test_time_goes_on_while_nothing_is_sent():
    outbox = Outbox()
    first = RtpPacket.parse(outbox.next())
    outbox.skip()
    after = RtpPacket.parse(outbox.next())
    assert after.timestamp - first.timestamp == 320
    assert after.sequence - first.sequence == 1
    assert after.marker


def test_half_a_sample_is_refused():
    with pytest.raises(ProtocolError):
        Outbox().write(b"\0")
