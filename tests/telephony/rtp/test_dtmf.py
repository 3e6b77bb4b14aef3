"""Key presses as RTP telephone events (RFC 4733): each press is reported once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import RtpParseError
from telephony.rtp.dtmf import KeyPresses, TelephoneEvent
from telephony.rtp.packet import RtpPacket


def event(code, timestamp, *, end=False, ssrc=1):
    payload = bytes(TelephoneEvent(code, end, 10, 400))
    return bytes(RtpPacket(101, 0, timestamp, ssrc, payload))


@given(st.integers(0, 255), st.booleans(), st.integers(0, 63), st.integers(0, 0xFFFF))
def test_a_telephone_event_round_trips(code, end, volume, duration):
    made = TelephoneEvent(code, end, volume, duration)
    assert TelephoneEvent.parse(bytes(made)) == made


@pytest.mark.parametrize(("code", "key"), [(0, "0"), (9, "9"), (10, "*"), (11, "#"), (16, None)])
def test_event_codes_0_to_11_are_digits_star_and_hash_and_16_is_not_a_key(code, key):
    assert TelephoneEvent(code, True, 0, 0).key == key


def test_a_key_press_is_reported_once_although_its_packets_are_repeated():
    presses = KeyPresses()
    packets = [event(5, 800), event(5, 800), *[event(5, 800, end=True)] * 3]
    assert [presses.receive(data) for data in packets] == ["5", None, None, None, None]


def test_the_same_key_with_a_later_timestamp_is_another_press():
    presses = KeyPresses()
    assert [presses.receive(event(5, 800)), presses.receive(event(5, 4000))] == ["5", "5"]


def test_a_press_with_its_first_packets_lost_is_reported_by_its_end_packet():
    assert KeyPresses().receive(event(11, 800, end=True)) == "#"


def test_a_late_packet_of_an_earlier_press_is_not_reported():
    presses = KeyPresses()
    presses.receive(event(1, 800))
    presses.receive(event(2, 4000))
    assert presses.receive(event(1, 800, end=True)) is None


def test_a_new_ssrc_with_a_lower_timestamp_is_a_new_press():
    presses = KeyPresses()
    presses.receive(event(1, 4000))
    assert presses.receive(event(2, 800, ssrc=2)) == "2"


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_parsed_or_raise_rtp_parse_error(data):
    try:
        KeyPresses().receive(data)
        TelephoneEvent.parse(data)
    except RtpParseError:
        return


def test_a_key_held_across_several_event_segments_is_one_press():
    presses = KeyPresses()
    heard = [
        presses.receive(bytes(RtpPacket(101, n, 1000 + 0xFFFF * segment, 7, event, marker=n == 0)))
        for segment in range(3)
        for n, event in enumerate(
            [bytes(TelephoneEvent(5, end=False, volume=10, duration=d)) for d in (160, 0xFFFF)],
            start=2 * segment,
        )
    ]
    assert heard == ["5", None, None, None, None, None]


def test_the_same_key_with_a_new_marker_after_a_long_press_is_another_press():
    presses = KeyPresses()
    event = bytes(TelephoneEvent(5, end=False, volume=10, duration=160))
    assert presses.receive(bytes(RtpPacket(101, 0, 1000, 7, event, marker=True))) == "5"
    later = RtpPacket(101, 1, 1000 + 0xFFFF, 7, event, marker=True)
    assert presses.receive(bytes(later)) == "5"


def test_a_repeated_end_packet_during_the_next_key_is_not_a_press():
    presses = KeyPresses()

    def told(number, timestamp, code, *, end):
        event = bytes(TelephoneEvent(code, end, 10, 960))
        return presses.receive(bytes(RtpPacket(101, number, timestamp, 7, event)))

    assert told(1, 1000, 1, end=False) == "1"
    assert told(2, 1000, 1, end=True) is None
    assert told(3, 2000, 2, end=False) == "2"
    assert told(4, 1000, 1, end=True) is None
    assert told(5, 2000, 2, end=True) is None
