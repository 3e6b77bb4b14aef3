"""Locating the addresses of a SIP URI (RFC 3263), with made-up DNS records."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.sip.events import Address
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import (
    MAX_CANDIDATES,
    Naptr,
    Question,
    Srv,
    TransportFamily,
    arrange,
    locate,
)

ALL = [
    TransportFamily(transport, ipv6)
    for transport in ("UDP", "TCP", "TLS")
    for ipv6 in (False, True)
]
V4 = [way for way in ALL if not way.ipv6]
ZONE = {
    Question("example.com", "NAPTR"): [
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 50, "S", "sip+d2t", "_sip._tcp.example.com"),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
        Naptr(10, 50, "u", "E2U+sip", ""),
    ],
    Question("_sips._tcp.example.com", "SRV"): [Srv(0, 1, 5061, "s1.example.com")],
    Question("_sip._tcp.example.com", "SRV"): [
        Srv(1, 0, 5060, "s2.example.com"),
        Srv(0, 0, 5066, "s1.example.com"),
    ],
    Question("_sip._udp.example.com", "SRV"): [Srv(0, 0, 5060, "s1.example.com")],
    Question("s1.example.com", "A"): ["192.0.2.1"],
    Question("s1.example.com", "AAAA"): ["2001:db8::1"],
    Question("s2.example.com", "A"): ["192.0.2.2"],
    Question("plain.example.com", "A"): ["192.0.2.9", "192.0.2.8"],
    Question("_sip._udp.srv.example.com", "SRV"): [Srv(0, 0, 5070, "s2.example.com")],
    Question("_sip._udp.none.example.com", "SRV"): [Srv(0, 0, 0, ".")],
    Question("none.example.com", "A"): ["192.0.2.7"],
}


def drive(text, speaks=V4, zone=ZONE, seed=1):
    """Return the candidates for the URI `text`, and the DNS questions in order."""
    asking, asked = locate(Uri.parse(text), speaks, random.Random(seed)), []
    try:
        batch = next(asking)
        while True:
            asked += batch
            batch = asking.send([zone.get(question, []) for question in batch])
    except StopIteration as stop:
        return stop.value, asked


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sip:192.0.2.5", [Address("192.0.2.5", 5060)]),
        ("sip:192.0.2.5:5080;transport=tcp", [Address("192.0.2.5", 5080, "TCP")]),
        ("sip:192.0.2.5;transport=tls", [Address("192.0.2.5", 5061, "TLS")]),
        ("sips:192.0.2.5", [Address("192.0.2.5", 5061, "TLS")]),
        ("sips:192.0.2.5;transport=tcp", [Address("192.0.2.5", 5061, "TLS")]),
        ("sip:example.com;maddr=192.0.2.5", [Address("192.0.2.5", 5060)]),
        ("sip:[2001:db8::5]", []),
        ("sip:192.0.2.5;transport=sctp", []),
        ("sips:192.0.2.5;transport=udp", []),
    ],
)
def test_a_numeric_host_is_located_without_a_dns_query(text, found):
    assert drive(text) == (found, [])


def test_a_uri_with_a_port_needs_only_address_records():
    found, asked = drive("sip:plain.example.com:5080")
    assert found == [Address("192.0.2.9", 5080), Address("192.0.2.8", 5080)]
    assert asked == [Question("plain.example.com", "A")]


def test_naptr_records_order_the_transports_and_srv_records_the_hosts():
    found, _ = drive("sip:example.com")
    assert found == [
        Address("192.0.2.1", 5061, "TLS", "example.com"),
        Address("192.0.2.1", 5066, "TCP"),
        Address("192.0.2.2", 5060, "TCP"),
        Address("192.0.2.1", 5060),
    ]


def test_transports_and_families_that_we_do_not_speak_are_not_queried():
    found, asked = drive("sip:example.com", [TransportFamily("UDP", False)])
    assert found == [Address("192.0.2.1", 5060)]
    assert Question("_sips._tcp.example.com", "SRV") not in asked
    assert all(question.kind != "AAAA" for question in asked)


def test_addresses_of_both_families_come_in_our_order():
    found, _ = drive(
        "sip:srv.example.com", [TransportFamily("UDP", True), TransportFamily("UDP", False)]
    )
    assert found == [Address("192.0.2.2", 5070)]
    found, _ = drive(
        "sip:s1.example.com:9", [TransportFamily("UDP", True), TransportFamily("UDP", False)]
    )
    assert found == [Address("2001:db8::1", 9), Address("192.0.2.1", 9)]


def test_a_sips_uri_leads_only_to_tls():
    found, asked = drive("sips:example.com")
    assert found == [Address("192.0.2.1", 5061, "TLS", "example.com")]
    assert {q.name for q in asked if q.kind == "SRV"} == {"_sips._tcp.example.com"}
    assert (
        drive("sips:example.com", [TransportFamily("UDP", False), TransportFamily("TCP", False)])[0]
        == []
    )


def test_a_named_transport_skips_naptr():
    found, asked = drive("sip:example.com;transport=tcp")
    assert [address.transport for address in found] == ["TCP", "TCP"]
    assert asked[0] == Question("_sip._tcp.example.com", "SRV")
    (secure,) = drive("sip:example.com;transport=tls")[0]
    assert secure == Address("192.0.2.1", 5061, "TLS", "example.com")


def test_without_naptr_the_srv_records_of_each_of_our_transports_are_queried():
    found, asked = drive("sip:srv.example.com")
    assert found == [Address("192.0.2.2", 5070)]
    assert [q.name for q in asked if q.kind == "SRV"] == [
        f"{service}.srv.example.com" for service in ("_sip._udp", "_sip._tcp", "_sips._tcp")
    ]


def test_without_srv_the_address_records_of_the_name_are_used():
    assert drive("sip:plain.example.com")[0] == [
        Address("192.0.2.9", 5060),
        Address("192.0.2.8", 5060),
    ]
    assert drive("sips:plain.example.com")[0][0] == Address(
        "192.0.2.9", 5061, "TLS", "plain.example.com"
    )


def test_an_srv_record_for_an_unavailable_service_falls_back_to_the_address():
    assert drive("sip:none.example.com")[0] == [Address("192.0.2.7", 5060)]


def test_an_unknown_name_has_no_candidates():
    assert drive("sip:nobody.example.com")[0] == []


def test_srv_records_are_sorted_by_priority_and_then_randomly_by_weight():
    records = [Srv(1, 90, 1, "later."), Srv(0, 90, 2, "heavy."), Srv(0, 10, 3, "light.")]
    rng = random.Random(3)
    orders = Counter(tuple(srv.target for srv in arrange(records, rng)) for _ in range(2000))
    assert {order[2] for order in orders} == {"later."}
    heavy = sum(count for order, count in orders.items() if order[0] == "heavy.")
    assert 1700 < heavy < 1900


def test_an_srv_record_of_weight_zero_is_seldom_first():
    records = [Srv(0, 0, 1, "zero."), Srv(0, 100, 2, "all.")]
    rng = random.Random(3)
    first = Counter(arrange(records, rng)[0].target for _ in range(1000))
    assert 0 < first["zero."] < 50


def test_thousands_of_srv_records_give_a_bounded_list():
    zone = {
        Question("_sip._udp.big.example.com", "SRV"): [
            Srv(0, 1, port, "s1.example.com") for port in range(1, 3000)
        ],
        Question("s1.example.com", "A"): ["192.0.2.1"],
    }
    assert len(drive("sip:big.example.com", zone=zone)[0]) == MAX_CANDIDATES


records = st.one_of(
    st.builds(Srv, *[st.integers(0, 65535)] * 3, st.sampled_from(["s.", ".", "", "a.b"])),
    st.builds(
        Naptr,
        st.integers(0, 9),
        st.integers(0, 9),
        st.sampled_from(["s", "u", ""]),
        st.sampled_from(["SIP+D2U", "SIPS+D2T", "x"]),
        st.sampled_from(["r.", ""]),
    ),
    st.sampled_from(["192.0.2.1", "2001:db8::1", "junk", ""]),
)


@given(st.lists(st.lists(records, max_size=4), max_size=12), st.sampled_from(["sip", "sips"]))
def test_arbitrary_dns_answers_give_only_transports_that_we_speak(said, scheme):
    asking = locate(Uri.parse(f"{scheme}:example.com"), ALL, random.Random(1))
    said = iter(said)
    try:
        batch = next(asking)
        while True:
            batch = asking.send([next(said, []) for _ in batch])
    except StopIteration as stop:
        for address in stop.value:
            assert TransportFamily(address.transport, ":" in address.host) in ALL
            assert scheme == "sip" or address.transport == "TLS"
            assert address.port
