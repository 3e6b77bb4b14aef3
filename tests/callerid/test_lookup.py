"""The lookup of a caller in several directories, as a stream of results."""

from __future__ import annotations

import asyncio

import pytest

from callerid import lookup
from callerid.earlier_contacts import DirectoryContact
from callerid.limited_source import LimitedSource, SourceLimits
from callerid.lookup import Lookup, LookupStatus, SearchResult
from callerid.number import NO_NUMBER, WITHHELD, CallerId, PhoneNumber
from callerid.person import Person
from callerid.source import AnswerState
from helpers.fake_directory import Directory, DirectoryWithContacts, SearchableDirectory
from net.errors import ServerBusyError, ServerError

CALLER = CallerId(PhoneNumber("+441632960001"), withheld=False)
INSIDE = CallerId(PhoneNumber("", "201"), withheld=False)
NUMBERS = ("01632 960001",)
ELIN = Person("a:1", "Elin", numbers=NUMBERS)
HUW = Person("b:1", "Huw", numbers=NUMBERS)


def lookup_in(*sources, budget_s=20.0):
    return Lookup([LimitedSource(source, SourceLimits()) for source in sources], budget_s)


async def results(*sources, caller=CALLER, budget_s=20.0):
    """Return all results of a lookup."""
    return [result async for result in lookup_in(*sources, budget_s=budget_s).look_up(caller)]


async def last(*sources, **more):
    return (await results(*sources, **more))[-1]


@pytest.fixture
def short(monkeypatch):
    """Wait for late answers only for a short time."""
    monkeypatch.setattr(lookup, "LATEST_S", 0.1)


async def test_one_match_gives_found_and_two_matches_give_several():
    assert (await last(Directory(people=[ELIN]))).status is LookupStatus.FOUND
    both = await last(Directory("a", people=[ELIN]), Directory("b", people=[HUW]))
    assert both.status is LookupStatus.SEVERAL
    assert both.people == (ELIN, HUW)


async def test_one_person_in_two_directories_is_one_person():
    ours = Person("a:1", "Elin", details=(("reference", "C-7"),), numbers=NUMBERS)
    theirs = Person("b:9", "Elin Jones", details=(("reference", "C-7"),), numbers=NUMBERS)
    found = await last(Directory("a", people=[ours]), Directory("b", people=[theirs]))
    assert found.status is LookupStatus.FOUND
    assert found.people[0].entries == ("a:1", "b:9")


async def test_no_match_gives_not_found_and_a_failing_directory_unavailable(short):
    assert (await last(Directory())).status is LookupStatus.NOT_FOUND
    for broken in (
        Directory(hangs=True),
        Directory(error=ServerError("down")),
        Directory(error=ValueError("not JSON")),
        Directory(error=ConnectionRefusedError()),
    ):
        outcome = await last(Directory("other"), broken)
        assert outcome.status is LookupStatus.UNAVAILABLE
        assert outcome.failed == ("crm",)


async def test_a_busy_directory_gives_busy_unless_another_directory_is_down_or_finds_a_person():
    busy = ServerBusyError(17)
    (only,) = await results(Directory(error=busy), Directory("other"))
    assert (only.status, only.failed) == (LookupStatus.BUSY, ("crm",))
    down = await last(Directory("a", error=busy), Directory("b", error=ServerError("down")))
    assert down.status is LookupStatus.UNAVAILABLE
    found = await last(Directory("a", error=busy), Directory("b", people=[HUW]))
    assert found.status is LookupStatus.FOUND


async def test_the_first_match_is_shown_while_another_directory_has_not_answered():
    slow = Directory("slow", people=[HUW], waits=True)
    stream = lookup_in(slow, Directory("fast", people=[ELIN])).look_up(CALLER)
    first = await anext(stream)
    assert (first.status, first.people) == (LookupStatus.FOUND, (ELIN,))
    assert dict(first.answers) == {"slow": AnswerState.ASKING, "fast": AnswerState.FOUND}
    slow.go.set()
    (second,) = [result async for result in stream]
    assert (second.status, second.people) == (LookupStatus.SEVERAL, (HUW, ELIN))
    assert dict(second.answers) == {"slow": AnswerState.FOUND, "fast": AnswerState.FOUND}


async def test_not_found_is_shown_only_when_all_directories_have_answered():
    slow = Directory("slow", waits=True)
    stream = lookup_in(slow, Directory("fast")).look_up(CALLER)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.02)
    assert not first.done()
    slow.go.set()
    assert (await first).status is LookupStatus.NOT_FOUND


async def test_an_answer_after_the_time_budget_still_counts():
    slow = Directory("slow", people=[ELIN], waits=True)
    stream = lookup_in(slow, Directory("fast"), budget_s=0.02).look_up(CALLER)
    late = await anext(stream)
    assert (late.status, late.failed) == (LookupStatus.UNAVAILABLE, ())
    assert dict(late.answers)["slow"] is AnswerState.ASKING
    slow.go.set()
    # On a busy machine, the first result may be older than the answer of the fast directory.
    *_, found = [result async for result in stream]
    assert found.status is LookupStatus.FOUND


async def test_a_directory_that_never_answers_is_unavailable_in_the_last_result(short):
    seen = await results(Directory("slow", hangs=True), Directory("b", people=[HUW]), budget_s=0.5)
    assert [dict(result.answers)["slow"] for result in seen] == [
        AnswerState.ASKING,
        AnswerState.UNAVAILABLE,
    ]
    assert {result.status for result in seen} == {LookupStatus.FOUND}


async def test_a_lookup_that_is_closed_leaves_no_task():
    slow = Directory("slow", hangs=True)
    looking = lookup_in(slow, Directory("fast", people=[ELIN]))
    stream = looking.look_up(CALLER)
    await anext(stream)
    await stream.aclose()
    await looking.close()
    assert slow.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_directory_is_queried_for_a_withheld_or_missing_number():
    source = Directory(people=[ELIN])
    assert (await last(source, caller=WITHHELD)).status is LookupStatus.WITHHELD
    assert (await last(source, caller=NO_NUMBER)).status is LookupStatus.NOT_FOUND
    assert source.asked == []


async def test_an_internal_extension_is_searched_for_only_in_directories_that_have_extensions():
    crm, staff = (
        Directory("crm"),
        Directory("ldap", [Person("ldap:1", "Siân", numbers=("ext 201",))]),
    )
    staff.has_extensions = True
    assert (await last(crm, caller=INSIDE)).status is LookupStatus.NOT_FOUND
    found = await last(crm, staff, caller=INSIDE)
    assert [person.name for person in found.people] == ["Siân"]
    assert crm.asked == []


async def test_a_person_marked_do_not_pop_is_treated_as_not_found():
    hidden = Person("a:2", "Hidden", do_not_pop=True, numbers=NUMBERS)
    assert (await last(Directory(people=[hidden]))).status is LookupStatus.NOT_FOUND
    assert (await last(Directory(people=[hidden, ELIN]))).people == (ELIN,)


async def test_people_on_the_main_line_are_shown_only_if_nobody_has_the_exact_number():
    caller = CallerId(PhoneNumber("+441632960001", "12"), withheld=False)
    exact = Person("b:12", "Huw", numbers=("01632 960001 x12",))
    main = Directory("a", people=[ELIN])
    assert [each.main_line for each in (await last(main, caller=caller)).people] == [True]
    assert (await last(main, Directory("b", [exact]), caller=caller)).people == (exact,)
    hidden = Person("b:12", "Hidden", numbers=("01632 960001 x12",), do_not_pop=True)
    seen = await last(main, Directory("b", [hidden]), caller=caller)
    assert seen.status is LookupStatus.NOT_FOUND


async def test_a_text_is_searched_for_only_in_directories_that_allow_it():
    plain, crm = Directory("a", people=[ELIN]), SearchableDirectory("b", people=[HUW, ELIN])
    both = lookup_in(plain, crm)
    assert both.searchable
    assert await both.search("huw") == SearchResult((HUW,), ())
    assert (plain.asked, crm.texts) == ([], ["huw"])
    assert not lookup_in(plain).searchable
    assert await lookup_in(plain).search("huw") == SearchResult((), ())


async def test_a_person_who_must_not_be_shown_is_not_found_by_a_text():
    hidden = Person("b:2", "Huw Hidden", do_not_pop=True)
    found = await lookup_in(SearchableDirectory("b", people=[hidden, HUW])).search("huw")
    assert found.people == (HUW,)


async def test_a_search_names_the_directories_that_fail_or_are_late(short):
    found = await lookup_in(
        SearchableDirectory("a", people=[HUW]),
        SearchableDirectory("b", error=ServerError("down")),
        SearchableDirectory("c", error=ServerBusyError(5)),
        SearchableDirectory("d", hangs=True),
    ).search("huw")
    assert found.people == (HUW,)
    assert sorted(found.failed) == ["b", "c", "d"]


async def test_a_directory_that_asked_for_a_rest_is_not_searched():
    crm = SearchableDirectory("b", error=ServerBusyError(5))
    one = lookup_in(crm)
    for _ in range(3):
        assert (await one.search("huw")).failed == ("b",)
    assert crm.texts == ["huw"]


BINS = DirectoryContact(1_794_744_000.0, "Bins")
LIGHT = DirectoryContact(1_794_744_001.0, "Street light")


async def test_earlier_contacts_are_requested_by_the_persons_record_in_each_directory():
    crm = DirectoryWithContacts("crm", contacts={"7": [BINS]})
    other = DirectoryWithContacts("other", contacts={"x:1": [LIGHT]})
    unasked = DirectoryWithContacts("unasked", contacts={"7": [LIGHT]})
    found = await lookup_in(crm, Directory("plain"), other, unasked).contacts_of(
        ["crm:7", "plain:7", "other:x:1"]
    )
    assert found.contacts == (("crm", BINS), ("other", LIGHT))
    assert found.failed == ()
    assert unasked.contacts_asked == []


async def test_directories_whose_contacts_cannot_be_read_are_named(short):
    found = await lookup_in(
        DirectoryWithContacts("a", contacts={"7": [BINS]}),
        DirectoryWithContacts("b", contacts={}, error=ServerError("down")),
        DirectoryWithContacts("c", contacts={}, error=ServerBusyError(5)),
        DirectoryWithContacts("d", contacts={}, hangs=True),
    ).contacts_of(["a:7", "b:7", "c:7", "d:7"])
    assert found.contacts == (("a", BINS),)
    assert sorted(found.failed) == ["b", "c", "d"]


async def test_a_directory_that_asked_for_a_rest_is_not_asked_for_contacts():
    crm = DirectoryWithContacts("b", contacts={}, error=ServerBusyError(5))
    one = lookup_in(crm)
    for _ in range(3):
        assert (await one.contacts_of(["b:7"])).failed == ("b",)
    assert crm.contacts_asked == ["7"]
