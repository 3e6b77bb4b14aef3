"""The Replaces header (RFC 3891)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.errors import SipParseError
from telephony.sip.message.replaces import Replaces

TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1)


@given(TOKENS, TOKENS, TOKENS, st.booleans())
def test_a_replaces_header_round_trips(call_id, to_tag, from_tag, early_only):
    replaces = Replaces(f"{call_id}@host", to_tag, from_tag, early_only)
    assert Replaces.parse(str(replaces)) == replaces


def test_the_examples_of_rfc_3891_are_parsed():
    text = "98732@sip.example.com\r\n ;from-tag=r33th4x0r\r\n ;to-tag=ff87ff"
    assert Replaces.parse(text) == Replaces("98732@sip.example.com", "ff87ff", "r33th4x0r")
    text = "12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only"
    assert Replaces.parse(text).early_only
    text = "87134@171.161.34.23;To-Tag=24796; FROM-TAG = 0"
    assert Replaces.parse(text) == Replaces("87134@171.161.34.23", "24796", "0")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";to-tag=1;from-tag=2",
        "a;to-tag=1",
        "a;from-tag=1",
        "a;to-tag=;from-tag=1",
        "a b;to-tag=1;from-tag=2",
        "a;to-tag=1;to-tag=1;from-tag=2",
        'a;to-tag="1";from-tag=2',
    ],
)
def test_a_replaces_header_that_identifies_no_dialog_is_refused(text):
    with pytest.raises(SipParseError):
        Replaces.parse(text)


@given(st.text())
def test_any_text_is_parsed_as_replaces_or_raises_sip_parse_error(text):
    try:
        Replaces.parse(text)
    except SipParseError:
        return
