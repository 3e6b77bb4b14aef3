"""The recent answers of a directory that are kept in memory."""

from __future__ import annotations

import pytest

from callerid import limited_source
from callerid.limited_source import AnswerCache, CacheLimits
from callerid.number import PhoneNumber
from callerid.person import Person
from callerid.source import AnswerState, SourceAnswer

NUMBER = PhoneNumber("+441632960001")
FOUND = SourceAnswer(AnswerState.FOUND, (Person("crm:1", "Elin"),))
NOT_FOUND = SourceAnswer(AnswerState.NOT_FOUND)


@pytest.fixture
def cache():
    return AnswerCache(CacheLimits(found_s=300, not_found_s=60))


@pytest.mark.parametrize(("answer", "seconds"), [(FOUND, 300), (NOT_FOUND, 60)])
def test_a_found_answer_is_cached_for_300_s_and_not_found_for_60_s(cache, answer, seconds):
    cache.put(NUMBER, answer, 1000)
    assert cache.get(NUMBER, 999 + seconds) == answer
    assert cache.get(NUMBER, 1000 + seconds) is None
    assert len(cache) == 0


@pytest.mark.parametrize("state", [AnswerState.UNAVAILABLE, AnswerState.BUSY])
def test_a_failure_is_not_kept(cache, state):
    cache.put(NUMBER, SourceAnswer(state), 0)
    assert cache.get(NUMBER, 0) is None


def test_an_answer_for_a_number_is_not_used_for_that_number_with_an_extension(cache):
    cache.put(NUMBER, FOUND, 0)
    assert cache.get(PhoneNumber("+441632960001", "12"), 0) is None


def test_no_answer_is_kept_after_a_clear_or_with_a_lifetime_of_zero(cache):
    cache.put(NUMBER, FOUND, 0)
    cache.clear()
    assert cache.get(NUMBER, 0) is None
    none = AnswerCache(CacheLimits(0, 0))
    none.put(NUMBER, FOUND, 0)
    assert len(none) == 0


def test_a_full_cache_drops_the_least_recently_used_answer(cache, monkeypatch):
    monkeypatch.setattr(limited_source, "_MOST_ANSWERS", 2)
    first, second, third = (PhoneNumber(f"+44163296000{last}") for last in "123")
    cache.put(first, FOUND, 0)
    cache.put(second, FOUND, 0)
    assert cache.get(first, 0)
    cache.put(third, FOUND, 0)
    assert [cache.get(each, 0) is not None for each in (first, second, third)] == [
        True,
        False,
        True,
    ]
