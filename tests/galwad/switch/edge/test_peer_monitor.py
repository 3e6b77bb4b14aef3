"""OPTIONS to trunks and targets: which are asked, the alarms, and the order of targets."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from galwad.messages import PeerStatus
from galwad.settings.switch import Destination, Route, Trunk
from galwad.switch.edge.locations import HELD_DOWN_S, Locations
from galwad.switch.edge.peers import PeerMonitor
from helpers.sip_messages import request_of
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address
from telephony.sip.message.messages import respond
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Srv, TransportFamily

HERE = Address("198.51.100.1", 5060)
TRUNK = Address("192.0.2.1", 5060)
ONE, TWO = Address("192.0.2.21", 5060), Address("192.0.2.22", 5060)
PBX = "sip:600@pbx.example.com"


class Zone:
    """The DNS records of a PBX with two machines."""

    def __init__(self):
        self.records: dict[Question, list] = {
            Question("_sip._udp.pbx.example.com", "SRV"): [
                Srv(0, 1, 5060, "one.example.com"),
                Srv(1, 1, 5060, "two.example.com"),
            ],
            Question("one.example.com", "A"): [ONE.host],
            Question("two.example.com", "A"): [TWO.host],
        }

    async def ask_all(self, questions):
        return [self.records.get(question, []) for question in questions]


class Site:
    """The peers of a switch; each answers 200 unless it has its own `status`."""

    def __init__(self, settings, **parts):
        self.now = 1000.0
        self.zone = Zone()
        speaks = [TransportFamily("UDP", ipv6=False)]
        self.locations = Locations([Uri.parse(PBX)], speaks, self.zone, clock=lambda: self.now)
        self.endpoint = Endpoint(rng=random.Random(1))
        self.endpoint.listen(HERE)
        self.alarms: list[tuple] = []
        self.neighbours = PeerMonitor(
            settings.model_copy(update={"trunks": (), "routes": (), "destinations": ()} | parts),
            self.endpoint,
            self.locations,
            lambda *alarm: self.alarms.append(alarm),
        )
        self.status = {}
        self.asked = []

    def tick(self, seconds=0.0):
        self.now += seconds
        self.neighbours.tick(self.now)
        for message in self.endpoint.outgoing():
            there = message.destination
            self.asked.append(there)
            answer = respond(request_of(message.data), self.status.get(there, 200))
            self.endpoint.receive(bytes(answer), there, HERE, self.now)
        while (event := self.endpoint.next_event()) is not None:
            self.neighbours.on_event(event, self.now)


def trunk(*peers, **more):
    return Trunk(name="pstn", peers=peers or ("192.0.2.1",), **{"options_every": 60} | more)


def route(**more):
    return Route.model_validate({"called": "*", "target": PBX, "options_every": 60} | more)


def test_no_options_is_sent_when_options_every_is_0(settings):
    site = Site(settings, trunks=(trunk(options_every=0),), routes=(route(options_every=0),))
    site.tick()
    assert site.asked == []


def test_a_trunk_gets_options_at_each_single_address_but_not_at_its_networks(settings):
    peers = ("192.0.2.1", "198.51.100.0/28", "192.0.2.9:5080")
    site = Site(settings, trunks=(trunk(*peers),))
    site.tick()
    assert site.asked == [TRUNK, Address("192.0.2.9", 5080)]
    site.tick(59)
    assert len(site.asked) == 2
    site.tick(1)
    assert len(site.asked) == 4


def test_each_change_of_a_peers_state_raises_one_alarm_without_a_number(settings):
    site = Site(settings, trunks=(trunk(),))
    site.tick()
    assert site.alarms == []
    site.status[TRUNK] = 503
    for _ in range(3):
        site.tick(60)
    assert site.alarms == [("peer.down", None, "pstn udp:192.0.2.1:5060: SIP status 503")]
    del site.status[TRUNK]
    for _ in range(3):
        site.tick(60)
    assert site.alarms[1:] == [("peer.up", None, "pstn udp:192.0.2.1:5060")]


async def test_a_target_that_is_down_is_tried_last_but_never_omitted(settings):
    site = Site(settings, routes=(route(),))
    await site.locations.refresh()
    site.tick()
    assert set(site.asked) == {ONE, TWO}
    site.status[ONE] = 408
    site.tick(60)
    assert site.locations(Uri.parse(PBX)) == (TWO, ONE)
    site.now += 10 * HELD_DOWN_S
    assert site.locations(Uri.parse(PBX)) == (TWO, ONE)
    site.status[TWO] = 408
    site.tick()
    assert set(site.locations(Uri.parse(PBX))) == {ONE, TWO}
    site.status.clear()
    site.tick(60)
    assert site.locations(Uri.parse(PBX)) == (ONE, TWO)


async def test_a_shorter_failure_mark_does_not_replace_a_longer_one(settings):
    site = Site(settings, routes=(route(),))
    await site.locations.refresh()
    site.status[ONE] = 503
    site.tick()
    site.locations.mark_failed(ONE, 1.0)
    site.now += 30
    assert site.locations(Uri.parse(PBX)) == (TWO, ONE)


async def test_an_address_of_several_rules_gets_one_options_at_the_shortest_interval(settings):
    line = Destination.model_validate(
        {"match": "299", "target": PBX, "options_every": 10, "class": "payment"}
    )
    site = Site(settings, routes=(route(),), destinations=(line,))
    await site.locations.refresh()
    site.tick()
    assert sorted(site.asked) == [ONE, TWO]
    site.tick(10)
    assert len(site.asked) == 4


async def test_an_address_that_left_dns_gets_no_more_options(settings):
    site = Site(settings, routes=(route(),))
    await site.locations.refresh()
    site.status[ONE] = 503
    site.tick()
    assert len(list(site.neighbours.peer_statuses())) == 2
    site.zone.records[Question("_sip._udp.pbx.example.com", "SRV")].pop(0)
    await site.locations.refresh()
    site.tick(60)
    assert list(site.neighbours.peer_statuses()) == [
        PeerStatus("udp:192.0.2.22:5060", "options", up=True)
    ]


def test_a_peer_has_no_status_before_its_first_answer(settings):
    site = Site(settings, trunks=(trunk(),))
    site.neighbours.tick(site.now)
    assert list(site.neighbours.peer_statuses()) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: trunk("198.51.100.0/28"),
        lambda: trunk(options_every=-1),
        lambda: Route.model_validate({"called": "*", "ring": ("201",), "options_every": 60}),
        lambda: Destination.model_validate({"match": "3*", "options_every": 60, "class": "centre"}),
    ],
)
def test_an_options_interval_that_cannot_apply_is_refused_in_the_settings(make):
    with pytest.raises(ValidationError):
        make()
