"""The lookup of a caller in several directories: found, several, not found or unavailable."""

from __future__ import annotations

import asyncio

from callerid.errors import SourceError
from callerid.lookup import Lookup, Status
from callerid.number import NOBODY, WITHHELD, Caller, Number
from callerid.person import Person

CALLER = Caller(Number("+441632960001"), withheld=False)
ELIN = Person("a:1", "Elin")
HUW = Person("b:1", "Huw")


class Directory:
    def __init__(self, name="crm", people=(), error=None, *, hangs=False):
        self.name = name
        self.people = people
        self.error = error
        self.hangs = hangs
        self.asked = []

    async def find(self, number):
        self.asked.append(number)
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        return list(self.people)


async def look_up(*sources, caller=CALLER):
    return await Lookup(sources, budget_s=0.05).look_up(caller)


async def test_one_person_is_found_and_two_are_several():
    assert (await look_up(Directory(people=[ELIN]))).status is Status.FOUND
    both = await look_up(Directory(people=[ELIN]), Directory(people=[HUW]))
    assert both.status is Status.SEVERAL
    assert both.people == (ELIN, HUW)


async def test_nobody_is_not_found_but_a_failing_directory_is_unavailable():
    assert (await look_up(Directory())).status is Status.NOT_FOUND
    for broken in (
        Directory(hangs=True),
        Directory(error=SourceError("down")),
        Directory(error=ValueError("not JSON")),
        Directory(error=ConnectionRefusedError()),
    ):
        outcome = await look_up(Directory("other"), broken)
        assert outcome.status is Status.UNAVAILABLE
        assert outcome.failed == ("crm",)


async def test_one_directory_that_answers_is_enough_to_find_somebody():
    outcome = await look_up(Directory(hangs=True), Directory(people=[ELIN]))
    assert outcome.status is Status.FOUND
    assert outcome.failed == ("crm",)


async def test_a_withheld_or_missing_number_is_never_asked_for():
    source = Directory(people=[ELIN])
    assert (await look_up(source, caller=WITHHELD)).status is Status.WITHHELD
    assert (await look_up(source, caller=NOBODY)).status is Status.NOT_FOUND
    inside = Caller(Number("", "201"), withheld=False)
    assert (await look_up(source, caller=inside)).status is Status.NOT_FOUND
    assert source.asked == []


async def test_a_do_not_pop_person_looks_like_nobody():
    hidden = Person("a:2", "Hidden", do_not_pop=True)
    assert (await look_up(Directory(people=[hidden]))).status is Status.NOT_FOUND
    assert (await look_up(Directory(people=[hidden, ELIN]))).people == (ELIN,)
