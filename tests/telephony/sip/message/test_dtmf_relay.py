"""DTMF keys in INFO requests: the body is parsed and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.message.dtmf_relay import CONTENT_TYPE, body_of, key_of
from telephony.sip.message.messages import Headers, Request
from telephony.sip.message.uri import Uri


def info(body, content_type=CONTENT_TYPE):
    headers = Headers()
    headers.add("Content-Type", content_type)
    return Request("INFO", Uri(host="a.example"), headers, body)


@given(st.sampled_from("0123456789*#ABCD"), st.integers(0, 5000))
def test_a_dtmf_key_round_trips_through_an_info_body(key, milliseconds):
    assert key_of(info(body_of(key, milliseconds))) == key


@pytest.mark.parametrize(
    ("body", "content_type", "key"),
    [
        (b"Signal= 5\r\nDuration= 160\r\n", "application/dtmf-relay", "5"),
        (b"signal=#", "Application/DTMF-Relay", "#"),
        (b"*", "application/dtmf", "*"),
        (b"Signal=10", "application/dtmf-relay", None),
        (b"Signal=5", "text/plain", None),
        (b"", "application/dtmf", None),
    ],
)
def test_key_of_returns_the_key_in_the_formats_that_phones_send(body, content_type, key):
    assert key_of(info(body, content_type)) == key


@given(st.binary(max_size=40))
def test_key_of_returns_a_key_or_none_for_any_body(body):
    key = key_of(info(body))
    assert key is None or key in "0123456789*#ABCD"
