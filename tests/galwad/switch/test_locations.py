"""Names in the settings: resolved, kept, and held down for a time after a failure."""

from __future__ import annotations

import asyncio

import pytest

from galwad.switch.locations import HELD_DOWN_S, Locations
from telephony.sip.events import Address
from telephony.sip.message.uri import Uri
from telephony.sip.transport.location import Question, Srv, TransportFamily

PBX = Uri.parse("sip:600@pbx.example.com")
ONE, TWO = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)


class NameSystem:
    """Answers from a dict; None when it is told to be silent."""

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


async def test_a_name_leads_nowhere_until_it_was_asked_for(locations):
    assert locations(PBX) == ()
    await locations.refresh()
    assert locations(PBX) == (ONE, TWO)


async def test_while_nobody_says_the_last_answer_stands(locations, names):
    await locations.refresh()
    names.silent = True
    await locations.refresh()
    assert locations(PBX) == (ONE, TWO)


async def test_a_name_that_is_gone_leads_nowhere(locations, names):
    await locations.refresh()
    names.zone.clear()
    await locations.refresh()
    assert locations(PBX) == ()


async def test_who_did_not_answer_comes_last_for_a_while(locations, clock):
    await locations.refresh()
    locations.mark_failed(ONE)
    assert locations(PBX) == (TWO, ONE)
    clock[0] += HELD_DOWN_S + 1
    assert locations(PBX) == (ONE, TWO)


async def test_an_address_is_asked_of_nobody(names):
    uri = Uri.parse("sip:600@192.0.2.1")
    locations = Locations([uri], [TransportFamily("UDP", ipv6=False)], names)
    await locations.refresh()
    await locations.run()
    assert locations(uri) == (ONE,)
    assert names.asked == 0


async def test_the_start_waits_a_moment_for_names_and_no_longer(locations, names, monkeypatch):
    async def deaf(questions):
        await asyncio.Event().wait()

    monkeypatch.setattr("galwad.switch.locations._PATIENCE_S", 0.01)
    answering, names.ask_all = names.ask_all, deaf
    await locations.begin()
    assert locations(PBX) == ()
    names.ask_all = answering
    await locations.begin()
    assert locations(PBX) == (ONE, TWO)
