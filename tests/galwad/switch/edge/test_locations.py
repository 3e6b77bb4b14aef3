"""Names in the settings: resolved, kept, and held down for a time after a failure."""

from __future__ import annotations

import asyncio

import pytest

from galwad.switch.edge.locations import HELD_DOWN_S, Locations
from telephony.sip.events import Address
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Srv, TransportFamily

PBX = Uri.parse("sip:600@pbx.example.com")
ONE, TWO = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)


class NameSystem:
    """Answers from a dict; None while it is silent."""

    def __init__(self):
        self.silent = False
        self.asked = 0
        self.zone = {
            Question("_sip._udp.pbx.example.com", "SRV"): [
                Srv(0, 1, 5060, "one.example.com"),
                Srv(1, 1, 5060, "two.example.com"),
            ],
            Question("one.example.com", "A"): ["192.0.2.1"],
            Question("two.example.com", "A"): ["192.0.2.2"],
        }

    async def ask_all(self, questions):
        questions = list(questions)
        self.asked += len(questions)
        return [None if self.silent else self.zone.get(q, []) for q in questions]


@pytest.fixture
def names():
    return NameSystem()


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def locations(names, clock):
    return Locations([PBX], [TransportFamily("UDP", ipv6=False)], names, clock=lambda: clock[0])


async def test_a_host_name_has_no_addresses_until_its_first_query(locations):
    assert locations(PBX) == ()
    await locations.refresh()
    assert locations(PBX) == (ONE, TWO)


async def test_the_last_answer_is_kept_while_the_name_server_is_silent(locations, names):
    await locations.refresh()
    names.silent = True
    await locations.refresh()
    assert locations(PBX) == (ONE, TWO)


async def test_a_name_that_was_deleted_from_the_zone_has_no_addresses(locations, names):
    await locations.refresh()
    names.zone.clear()
    await locations.refresh()
    assert locations(PBX) == ()


async def test_a_failed_address_is_tried_last_until_its_hold_down_ends(locations, clock):
    await locations.refresh()
    locations.mark_failed(ONE)
    assert locations(PBX) == (TWO, ONE)
    clock[0] += HELD_DOWN_S + 1
    assert locations(PBX) == (ONE, TWO)


async def test_an_overloaded_address_is_tried_last_but_is_not_silent(locations, clock):
    await locations.refresh()
    locations.mark_busy(ONE, 5.0)
    assert locations(PBX) == (TWO, ONE)
    assert (locations.is_down(ONE), locations.is_silent(ONE)) == (True, False)
    locations.mark_failed(ONE)
    assert locations.is_silent(ONE)
    clock[0] += HELD_DOWN_S + 1
    assert not locations.is_silent(ONE)


async def test_an_ip_address_needs_no_query(names):
    uri = Uri.parse("sip:600@192.0.2.1")
    locations = Locations([uri], [TransportFamily("UDP", ipv6=False)], names)
    await locations.refresh()
    await locations.run()
    assert locations(uri) == (ONE,)
    assert names.asked == 0


async def test_the_start_waits_only_a_limited_time_for_the_name_server(
    locations, names, monkeypatch
):
    async def deaf(questions):
        await asyncio.Event().wait()

    monkeypatch.setattr("galwad.switch.edge.locations._PATIENCE_S", 0.01)
    answering, names.ask_all = names.ask_all, deaf
    await locations.begin()
    assert locations(PBX) == ()
    names.ask_all = answering
    await locations.begin()
    assert locations(PBX) == (ONE, TWO)
