"""Dialled codes and record keys that pause and resume a recording."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.switch.call.pauses import CodeListener, PauseAction, PaymentCodes, record_key
from telephony.rtp.dtmf import TelephoneEvent
from telephony.rtp.packet import RtpPacket
from telephony.sip.message.messages import Request, parse_message


@pytest.fixture
def listener():
    return CodeListener(PaymentCodes(pause="*71", resume="*72"))


def dial(listener, keys, first=0, *, proven=True, ssrc=7):
    """Dial these keys, one each second, and return the codes that the listener recognises."""
    heard = []
    for number, key in enumerate(keys, first):
        event = bytes(TelephoneEvent("0123456789*#".index(key), end=False, volume=10, duration=160))
        for sequence in range(3):
            packet = RtpPacket(
                payload_type=101,
                sequence=number * 3 + sequence,
                timestamp=number * 1600,
                ssrc=ssrc,
                payload=event,
                marker=sequence == 0,
            )
            code = listener.packet(bytes(packet), float(number), proven=proven)
            heard += [code] if code is not None else []
    return heard


def info(body, content_type="application/dtmf-relay"):
    message = parse_message(
        b"INFO sip:201@galwad SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n"
        b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 2 INFO\r\n"
        + f"Content-Type: {content_type}\r\n\r\n".encode()
        + body
    )
    assert isinstance(message, Request)
    return message


def test_each_payment_code_pauses_or_resumes_among_other_digits(listener):
    heard = dial(listener, "12*71") + dial(listener, "*72", first=5)
    assert [code.action for code in heard] == [PauseAction.PAUSE, PauseAction.RESUME]


def test_a_code_takes_effect_at_the_start_of_its_last_key_and_begins_with_its_first_key(listener):
    heard = dial(listener, "12*71*72")
    assert heard == [(PauseAction.PAUSE, 4.0, 2.0), (PauseAction.RESUME, 7.0, 5.0)]


def test_a_code_begins_with_its_own_first_key_if_the_other_code_is_longer():
    book = PaymentCodes(pause="*7", resume="*8888")
    heard = dial(CodeListener(book), "888*7*8888")
    assert heard == [(PauseAction.PAUSE, 4.0, 3.0), (PauseAction.RESUME, 9.0, 5.0)]


@pytest.mark.parametrize("keys", ["*7", "71", "*17", "7*1"])
def test_other_digits_are_not_a_code(listener, keys):
    assert dial(listener, keys) == []


def test_keys_sent_by_info_make_a_code(listener):
    heard = [
        listener.info(info(b"Signal= %b\r\nDuration=160\r\n" % key.encode()), 1.0) for key in "*71"
    ]
    assert heard == [None, None, (PauseAction.PAUSE, 1.0, 1.0)]
    assert listener.info(info(b"*", "application/dtmf"), 2.0) is None
    assert listener.info(info(b"72", "text/plain"), 2.0) is None


def test_a_code_in_an_unproven_stream_pauses_and_never_resumes(listener):
    assert dial(listener, "*72", proven=False) == []
    assert dial(listener, "*71", first=5, proven=False) == [(PauseAction.PAUSE, 7.0, 5.0)]


def test_digits_of_an_unproven_stream_neither_complete_nor_disturb_a_code(listener):
    assert dial(listener, "*7") == []
    assert dial(listener, "2", first=2, proven=False, ssrc=8) == []
    assert dial(listener, "2", first=3) == [(PauseAction.RESUME, 3.0, 0.0)]


@given(st.binary(max_size=64))
def test_no_packet_makes_the_code_listener_fail(data):
    CodeListener(PaymentCodes("*71", "*72")).packet(data, 0.0, proven=True)


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ("off", PauseAction.PAUSE),
        ("OFF", PauseAction.PAUSE),
        (" Off ", PauseAction.PAUSE),
        ("on", PauseAction.RESUME),
        ("ON", PauseAction.RESUME),
        ("", None),
        ("pause", None),
        ("off, on", None),
        ("on;now", None),
        ("offf", None),
    ],
)
def test_only_the_record_values_off_and_on_in_any_case_pause_and_resume(value, action):
    assert record_key(value) is action


@given(st.text())
def test_only_the_record_value_on_resumes_a_recording(value):
    assert record_key(value) is not PauseAction.RESUME or value.strip().lower() == "on"
