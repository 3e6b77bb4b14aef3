"""The lookup of a caller in several directories: found, several, not found or unavailable."""

from __future__ import annotations

import asyncio

from callerid.errors import SourceError
from callerid.lookup import Lookup, LookupStatus
from callerid.number import NO_NUMBER, WITHHELD, CallerId, PhoneNumber
from callerid.person import Person

CALLER = CallerId(PhoneNumber("+441632960001"), withheld=False)
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


async def test_one_match_gives_found_and_two_give_several():
    assert (await look_up(Directory(people=[ELIN]))).status is LookupStatus.FOUND
    both = await look_up(Directory(people=[ELIN]), Directory(people=[HUW]))
    assert both.status is LookupStatus.SEVERAL
    assert both.people == (ELIN, HUW)


async def test_no_match_gives_not_found_and_a_failing_directory_unavailable():
    assert (await look_up(Directory())).status is LookupStatus.NOT_FOUND
    for broken in (
        Directory(hangs=True),
        Directory(error=SourceError("down")),
        Directory(error=ValueError("not JSON")),
        Directory(error=ConnectionRefusedError()),
    ):
        outcome = await look_up(Directory("other"), broken)
        assert outcome.status is LookupStatus.UNAVAILABLE
        assert outcome.failed == ("crm",)


async def test_a_match_is_found_while_another_directory_fails():
    outcome = await look_up(Directory(hangs=True), Directory(people=[ELIN]))
    assert outcome.status is LookupStatus.FOUND
    assert outcome.failed == ("crm",)


async def test_no_directory_is_queried_for_a_withheld_or_missing_number():
    source = Directory(people=[ELIN])
    assert (await look_up(source, caller=WITHHELD)).status is LookupStatus.WITHHELD
    assert (await look_up(source, caller=NO_NUMBER)).status is LookupStatus.NOT_FOUND
    inside = CallerId(PhoneNumber("", "201"), withheld=False)
    assert (await look_up(source, caller=inside)).status is LookupStatus.NOT_FOUND
    assert source.asked == []


async def test_a_person_marked_do_not_pop_is_treated_as_not_found():
    hidden = Person("a:2", "Hidden", do_not_pop=True)
    assert (await look_up(Directory(people=[hidden]))).status is LookupStatus.NOT_FOUND
    assert (await look_up(Directory(people=[hidden, ELIN]))).people == (ELIN,)
