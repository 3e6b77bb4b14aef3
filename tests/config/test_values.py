"""Addresses, ranges and patterns in the settings: parsed, printed and refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.values import HostPort, Listener, Pattern, Peer, PortRange


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (HostPort, "127.0.0.1:8443"),
        (HostPort, "[::1]:8443"),
        (HostPort, "desk.example:443"),
        (Listener, "udp:192.0.2.10:5060"),
        (Listener, "udp:[2001:db8::10]:5060"),
        (Listener, "tcp:192.0.2.10:5060"),
        (Listener, "tls:[::]:5061"),
        (PortRange, "20000-21999"),
        (Pattern, "/2[0-9]{2}/"),
        (Pattern, "0197*"),
        (Pattern, "*97"),
    ],
)
def test_a_value_prints_as_it_was_written(kind, text):
    assert str(kind.parse(text)) == text


@pytest.mark.parametrize("kind", [HostPort, Listener, Peer, PortRange, Pattern])
@given(text=st.text(max_size=40))
def test_any_text_parses_or_raises_value_error(kind, text):
    with contextlib.suppress(ValueError):
        assert isinstance(kind.parse(text), kind)


@pytest.mark.parametrize(
    ("text", "host", "port", "fits"),
    [
        ("192.0.2.1", "192.0.2.1", 5060, True),
        ("192.0.2.1", "192.0.2.2", 5060, False),
        ("192.0.2.0/24", "192.0.2.77", 1, True),
        ("192.0.2.1:5060", "192.0.2.1", 5061, False),
        ("192.0.2.1:5060", "192.0.2.1", None, True),
        ("[2001:db8::1]:5060", "2001:db8::1", 5060, True),
        ("2001:db8::/32", "2001:db8::9", 5060, True),
        ("192.0.2.1", "2001:db8::1", 5060, False),
        ("192.0.2.1", "not an address", 5060, False),
    ],
)
def test_a_peer_matches_by_network_and_port(text, host, port, fits):
    assert Peer.parse(text).matches(host, port) is fits


@pytest.mark.parametrize(
    ("text", "value", "fits"),
    [
        ("01970000000", "01970000000", True),
        ("01970000000", "019700000001", False),
        ("0197*", "0197", True),
        ("0197*", "0196", False),
        ("*", "", True),
        ("+44*", "+441970000000", True),
        ("*97", "*97", True),
        ("*97", "197", False),
        ("*6*", "*68", True),
        ("*6*", "*78", False),
        ("**", "*97", True),
        ("**", "97", False),
        ("/2[0-9]{2}/", "201", True),
        ("/2[0-9]{2}/", "2011", False),
    ],
)
def test_a_pattern_matches_only_the_whole_text(text, value, fits):
    assert Pattern.parse(text).matches(value) is fits


@pytest.mark.parametrize("text", ["", "0*1", "*0*1", "/(/", "a b"])
def test_a_faulty_pattern_is_refused(text):
    with pytest.raises(ValueError, match=r"must be|must have"):
        Pattern.parse(text)
