"""The limits for the requests to one directory, and what a failing directory answers.

Covers `callerid/source.py`.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from callerid import limited_source
from callerid.limited_source import CacheLimits, LimitedSource, Observation, SourceLimits
from callerid.number import PhoneNumber
from callerid.person import Person
from callerid.source import AnswerState
from callerid.written_numbers import matching
from helpers.desk import until
from helpers.fake_directory import Directory, SearchableDirectory
from net.breaker import BreakerLimits, BreakerState
from net.errors import ServerBusyError, ServerError

NUMBER = PhoneNumber("+441632960001")
ELIN = Person("crm:1", "Elin", numbers=("01632 960001",))
LIMITS = SourceLimits(breaker=BreakerLimits(failures=2, rest_s=5))
NO_CACHE = replace(LIMITS, cache=CacheLimits(0, 0))


class Limited:
    """A limited directory with a clock that the test sets, and the observations of it."""

    def __init__(self, directory, limits=LIMITS):
        self.now = 1000.0
        self.seen: list[Observation] = []
        self.source = LimitedSource(
            directory, limits, observe=self.seen.append, clock=lambda: self.now
        )

    def state(self):
        return self.source.breaker_state

    async def ask(self, number=NUMBER):
        return (await self.source.ask(number)).state


async def begun(directory, count=1):
    await until(lambda: len(directory.asked) == count)


async def test_an_answer_has_only_the_people_with_exactly_the_number():
    everybody = [ELIN, *(Person(f"crm:{n}", "X", numbers=("01970 960001",)) for n in range(2, 99))]
    answer = await Limited(Directory(people=everybody)).source.ask(NUMBER)
    assert (answer.state, answer.people) == (AnswerState.FOUND, (ELIN,))
    assert await Limited(Directory(people=everybody[1:])).ask() is AnswerState.NOT_FOUND


async def test_an_answer_is_compared_outside_the_event_loops_thread(monkeypatch):
    threads = []

    def recorded(*arguments, **named):
        threads.append(threading.get_ident())
        return matching(*arguments, **named)

    monkeypatch.setattr(limited_source, "matching", recorded)
    assert await Limited(Directory(people=[ELIN])).ask() is AnswerState.FOUND
    assert threads
    assert threading.get_ident() not in threads


async def test_an_answer_with_too_many_people_is_unavailable_and_not_a_wrong_not_found():
    everybody = [Person(f"crm:{n}", "X", numbers=("01970 960001",)) for n in range(501)]
    limited = Limited(Directory(people=everybody))
    assert await limited.ask() is AnswerState.UNAVAILABLE
    assert limited.seen[0].reason == "the answer has more than 500 people"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ServerError("is down"), "is down"),
        (ValueError("Elin Jones is not JSON"), "ValueError"),
        (ConnectionRefusedError("[Errno 111] to 01632960001"), "ConnectionRefusedError"),
        (RecursionError(), "RecursionError"),
    ],
)
async def test_a_failing_directory_is_unavailable_and_the_reason_has_no_personal_data(
    error, reason
):
    limited = Limited(Directory(error=error))
    assert await limited.ask() is AnswerState.UNAVAILABLE
    (seen,) = limited.seen
    assert (seen.source, seen.state, seen.reason) == ("crm", AnswerState.UNAVAILABLE, reason)


async def test_a_request_ends_after_its_time_limit():
    limited = Limited(Directory(hangs=True), replace(LIMITS, timeout_s=0.02))
    assert await limited.ask() is AnswerState.UNAVAILABLE
    assert limited.seen[0].reason == "no answer in time"


async def test_a_found_answer_is_kept_in_memory_for_300_s():
    directory = Directory(people=[ELIN])
    limited = Limited(directory)
    assert [await limited.ask() for _ in range(3)] == [AnswerState.FOUND] * 3
    assert [seen.cached for seen in limited.seen] == [False, True, True]
    limited.now += 300
    await limited.ask()
    assert len(directory.asked) == 2


async def test_a_lookup_after_an_erasure_uses_no_earlier_answer():
    directory = Directory(people=[ELIN], waits=True)
    limited = Limited(directory)
    running = asyncio.create_task(limited.ask())
    await begun(directory)
    limited.source.forget_answers()
    directory.go.set()
    assert await running is AnswerState.FOUND  # the lookup that runs still gets its answer
    directory.people = []
    assert await limited.ask() is AnswerState.NOT_FOUND


async def test_lookups_of_one_number_share_one_request():
    directory = Directory(people=[ELIN], waits=True)
    limited = Limited(directory, NO_CACHE)
    asking = [asyncio.create_task(limited.ask()) for _ in range(20)]
    await begun(directory)
    asking[0].cancel()  # the others still wait for the request
    directory.go.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[1:] == [AnswerState.FOUND] * 19
    assert directory.asked == [NUMBER]


async def test_at_most_the_limit_of_requests_run_at_the_same_time():
    directory = Directory(waits=True)
    limited = Limited(directory, replace(NO_CACHE, concurrency=3))
    numbers = [PhoneNumber(f"+44163296{n:04}") for n in range(30)]
    asking = [asyncio.create_task(limited.ask(number)) for number in numbers]
    await begun(directory, 3)
    await asyncio.sleep(0.01)
    assert directory.running == 3
    directory.go.set()
    assert await asyncio.gather(*asking) == [AnswerState.NOT_FOUND] * 30
    assert (len(directory.asked), directory.most) == (30, 3)


async def test_a_request_that_waits_for_others_is_dropped_if_its_lookup_is_cancelled():
    directory = Directory(waits=True)
    limited = Limited(directory, replace(NO_CACHE, concurrency=1))
    first = asyncio.create_task(limited.ask())
    await begun(directory)
    second = asyncio.create_task(limited.ask(PhoneNumber("+441632960002")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    directory.go.set()
    await first
    await asyncio.sleep(0.01)
    assert directory.asked == [NUMBER]


async def test_after_a_waiting_lookup_is_cancelled_a_new_lookup_of_the_number_gets_an_answer():
    directory = Directory(waits=True)
    limited = Limited(directory, replace(NO_CACHE, concurrency=1))
    first = asyncio.create_task(limited.ask())
    await begun(directory)
    other = PhoneNumber("+441632960002")
    second = asyncio.create_task(limited.ask(other))
    await asyncio.sleep(0)
    second.cancel()
    third = asyncio.create_task(limited.ask(other))
    await asyncio.sleep(0)
    directory.go.set()
    assert set(await asyncio.gather(first, third)) == {AnswerState.NOT_FOUND}
    assert directory.asked == [NUMBER, other]


async def test_a_directory_that_fails_repeatedly_gets_a_rest_and_then_one_attempt():
    directory = Directory(error=ServerError("is down"))
    limited = Limited(directory, NO_CACHE)
    for _ in range(10):
        assert await limited.ask() is AnswerState.UNAVAILABLE
    assert len(directory.asked) == 2
    assert limited.state() is BreakerState.OPEN
    limited.now += 5
    directory.error, directory.waits = None, True
    attempt = asyncio.create_task(limited.ask())
    await begun(directory, 3)
    assert await limited.ask(PhoneNumber("+441632960002")) is AnswerState.UNAVAILABLE
    directory.go.set()
    assert await attempt is AnswerState.NOT_FOUND
    assert limited.state() is BreakerState.CLOSED
    assert await limited.ask(PhoneNumber("+441632960002")) is AnswerState.NOT_FOUND


async def test_a_busy_directory_gets_no_request_for_as_long_as_it_asked():
    directory = Directory(error=ServerBusyError(17))
    limited = Limited(directory, replace(NO_CACHE, concurrency=1))
    numbers = [PhoneNumber(f"+44163296{n:04}") for n in range(20)]
    answers = await asyncio.gather(*(limited.ask(number) for number in numbers))
    assert answers == [AnswerState.BUSY] * 20
    for _ in range(16):
        limited.now += 1
        assert await limited.ask() is AnswerState.BUSY
    assert len(directory.asked) == 1  # those that waited for a free place did not ask either
    directory.error = None
    limited.now += 1
    assert await limited.ask() is AnswerState.NOT_FOUND


async def test_a_closed_directory_has_no_running_requests():
    directory = Directory(waits=True)
    limited = Limited(directory)
    asking = asyncio.create_task(limited.ask())
    await begun(directory)
    await limited.source.close()
    assert directory.running == 0
    assert directory.closed
    await asyncio.gather(asking, return_exceptions=True)


async def test_text_searches_leave_a_request_free_for_the_lookup_of_a_ringing_call():
    crm = SearchableDirectory(waits=True)
    source = LimitedSource(crm, SourceLimits(concurrency=4))
    searches = [asyncio.create_task(source.search("elin")) for _ in range(10)]
    await until(lambda: crm.running == 2)
    lookup = asyncio.create_task(source.ask(PhoneNumber("+441632960001")))
    await until(lambda: crm.running == 3)
    assert len(crm.texts) == 2
    crm.go.set()
    assert (await lookup).state is AnswerState.NOT_FOUND
    assert {(await each).state for each in searches} == {AnswerState.NOT_FOUND}
