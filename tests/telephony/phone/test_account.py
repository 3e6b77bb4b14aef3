"""The server of a phone, found by address, by name, or by SRV records in their order."""

from __future__ import annotations

import socket

import pytest

from telephony.phone import RegistrationError
from telephony.phone.account import find_servers
from telephony.sip.events import Address
from telephony.sip.transport.location import Question, Srv

DOMAIN = "council.example"


class NameSystem:
    """A resolver that answers from a dict, and None for names that begin with "deaf"."""

    def __init__(self, **zone):
        self.zone = {
            Question(f"_sip._udp.{DOMAIN}", "SRV"): [
                Srv(2, 1, 5080, "second.example"),
                Srv(1, 1, 5070, "first.example"),
            ],
            Question(f"_sips._tcp.{DOMAIN}", "SRV"): [Srv(1, 1, 5071, "first.example")],
            Question("first.example", "A"): ["192.0.2.1"],
            Question("first.example", "AAAA"): ["2001:db8::1"],
            Question("second.example", "A"): ["192.0.2.2"],
            Question("plain.example", "A"): ["192.0.2.3"],
        } | zone

    async def ask_all(self, questions):
        return [None if q.name.startswith("deaf") else self.zone.get(q, []) for q in questions]


def at(host, port, transport="UDP", name=""):
    return Address(host, port, transport, name)


@pytest.mark.parametrize(
    ("server", "here", "found"),
    [
        (at("192.0.2.9", 5070), "", [at("192.0.2.9", 5070)]),
        (at("192.0.2.9", 0), "", [at("192.0.2.9", 5060)]),
        (at("192.0.2.9", 0, "TLS"), "", [at("192.0.2.9", 5061, "TLS")]),
        (
            at("192.0.2.9", 5071, "TLS", "sip.example"),
            "",
            [at("192.0.2.9", 5071, "TLS", "sip.example")],
        ),
        (at(DOMAIN, 0), "192.0.2.50", [at("192.0.2.1", 5070), at("192.0.2.2", 5080)]),
        (at(DOMAIN, 0), "2001:db8::50", [at("2001:db8::1", 5070)]),
        (
            at(DOMAIN, 0),
            "",
            [at("192.0.2.1", 5070), at("2001:db8::1", 5070), at("192.0.2.2", 5080)],
        ),
        (at(DOMAIN, 0, "TLS"), "192.0.2.50", [at("192.0.2.1", 5071, "TLS", DOMAIN)]),
        (at("plain.example", 0), "192.0.2.50", [at("192.0.2.3", 5060)]),
        (at("plain.example", 0, "TCP"), "192.0.2.50", [at("192.0.2.3", 5060, "TCP")]),
    ],
)
async def test_a_server_is_found_by_address_srv_or_host_name(server, here, found):
    assert await find_servers(server, NameSystem(), here) == found


@pytest.mark.parametrize(
    ("here", "host"),
    [("192.0.2.50", "192.0.2.1"), ("2001:db8::50", "2001:db8::1"), ("", "2001:db8::1")],
)
async def test_a_name_with_a_port_resolves_to_an_address_of_our_ip_family(monkeypatch, here, host):
    def getaddrinfo(_host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002 - its name
        found = [(socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "192.0.2.1")]
        return [(each, type, 0, "", (place, port)) for each, place in found if family in {0, each}]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = await find_servers(at("both.example", 5070), NameSystem(), here)
    assert found == [at(host, 5070)]


@pytest.mark.parametrize("name", ["nowhere.example", "deaf.example"])
async def test_a_domain_without_a_server_raises_an_error_with_its_name(make_phone, name):
    phone = make_phone((name, 0), resolver=NameSystem())
    with pytest.raises(OSError, match=name):
        await phone.start()


@pytest.fixture
def zone_of():
    """Make a domain whose servers on 127.0.0.1 have these ports, in order of priority."""

    def zone_of(transport, *ports):
        places = [Srv(at, 1, port, f"pbx{at}.example") for at, port in enumerate(ports)]
        names = NameSystem()
        names.zone[Question(f"_sip._{transport}.{DOMAIN}", "SRV")] = places
        for place in places:
            names.zone[Question(place.target, "A")] = ["127.0.0.1"]
        return names

    return zone_of


async def test_the_next_server_of_a_domain_is_tried_if_one_is_unreachable(
    make_phone, make_exchange, zone_of
):
    there = await make_exchange(Address("127.0.0.1", 0, "TCP"))
    names = zone_of("tcp", 9, there.address.port)
    async with make_phone((DOMAIN, 0), transport="tcp", register=True, resolver=names):
        assert [request.uri.host for request in there.of("REGISTER")] == [DOMAIN] * 2
        assert {request.uri.port for request in there.requests} == {None}


async def test_no_other_server_is_tried_after_one_refuses(make_phone, make_exchange, zone_of):
    one, other = await make_exchange(), await make_exchange()
    names = zone_of("udp", one.address.port, other.address.port)
    phone = make_phone((DOMAIN, 0), user="999", register=True, resolver=names)
    with pytest.raises(RegistrationError) as refused:
        await phone.start()
    assert refused.value.status == 401
    assert one.requests
    assert other.requests == []
