"""Limits the number and the duration of the requests to a directory.

For each directory, only a few requests are made at a time. Lookups of the same number share a
request. A request has a time limit. Recent answers about numbers are kept in memory. After repeated
failures, or if the directory asks for it, no request is made for a while (`net.breaker`). People
without the searched number are removed from an answer (`callerid.written_numbers`).
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from callerid.errors import reason_of
from callerid.number import REGION, PhoneNumber
from callerid.person import Person
from callerid.source import (
    AnswerState,
    ContactsAnswer,
    ContactsSource,
    DirectorySource,
    SearchableSource,
    SourceAnswer,
)
from callerid.written_numbers import matching
from net.breaker import BreakerLimits, BreakerState, CircuitBreaker
from net.errors import ServerBusyError, ServerError

T = TypeVar("T")

_MOST_PEOPLE: Final = 500
"""The most people in an answer about a number. With more, the search fails."""
_MOST_ANSWERS: Final = 10_000
"""The most answers that are kept. If there are more, the least recently used one is dropped."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """The seconds for which answers of each state are kept. With 0, they are not kept."""

    found_s: float = 300.0
    not_found_s: float = 60.0


class AnswerCache:
    """The recent answers of one directory. Times are in monotonic seconds."""

    def __init__(self, limits: CacheLimits) -> None:
        self._seconds = {
            AnswerState.FOUND: limits.found_s,
            AnswerState.NOT_FOUND: limits.not_found_s,
        }
        self._kept: OrderedDict[PhoneNumber, tuple[float, SourceAnswer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: PhoneNumber, now: float) -> SourceAnswer | None:
        """Return the answer to a search for this number; None if no answer is kept."""
        until, answer = self._kept.get(number, (0.0, None))
        if answer is None:
            return None
        if now >= until:
            del self._kept[number]
            return None
        self._kept.move_to_end(number)
        return answer

    def put(self, number: PhoneNumber, answer: SourceAnswer, now: float) -> None:
        """Keep an answer of the state FOUND or NOT_FOUND. Ignore any other answer."""
        seconds = self._seconds.get(answer.state, 0.0)
        if seconds <= 0:
            return
        self._kept[number] = now + seconds, answer
        self._kept.move_to_end(number)
        if len(self._kept) > _MOST_ANSWERS:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all answers, because people were changed or erased."""
        self._kept.clear()


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """The limits for the requests to one directory."""

    concurrency: int = 4
    """The most requests at a time."""
    timeout_s: float = 8.0
    """The longest time of a request, in seconds."""
    cache: CacheLimits = field(default_factory=CacheLimits)
    breaker: BreakerLimits = field(default_factory=BreakerLimits)


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of one answer of a directory, for metrics and logs, without personal data."""

    source: str
    state: AnswerState
    seconds: float
    """The duration of the request; 0 if no request was made."""
    cached: bool = False
    """True if the answer came from memory."""
    reason: str = ""
    """Why the request failed; "" if it did not fail, or if no request was made."""


def ignore(_observation: Observation) -> None:
    """Ignore an observation."""


class _Request:
    """A search that is waiting or running, and the number of lookups that wait for it."""

    def __init__(self, task: asyncio.Task[SourceAnswer]) -> None:
        self.task = task
        self.waiting = 0
        self.begun = False


class LimitedSource:
    """A directory with limits for its requests. A failure is an `AnswerState`, never an exception.

    `region` ("GB") and `area_code` ("01970") complete the directory's numbers. `observe` receives
    each `Observation`. `clock` returns monotonic seconds.
    """

    def __init__(
        self,
        source: DirectorySource,
        limits: SourceLimits,
        *,
        region: str = REGION,
        area_code: str = "",
        observe: Callable[[Observation], None] = ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._limits = limits
        self._region = region
        self._area_code = area_code
        self._observe = observe
        self._clock = clock
        self._cache = AnswerCache(limits.cache)
        self._breaker = CircuitBreaker(limits.breaker)
        self._slots = asyncio.Semaphore(limits.concurrency)
        # Searches by a text and requests for contacts have half of the slots, but at least one, so
        # that a ringing call need not wait.
        self._text_slots = asyncio.Semaphore(max(1, limits.concurrency // 2))
        self._requests: dict[PhoneNumber, _Request] = {}
        self._tasks: set[asyncio.Task[SourceAnswer]] = set()

    @property
    def name(self) -> str:
        """The name of the directory."""
        return self._source.name

    @property
    def has_extensions(self) -> bool:
        """True if the directory can also be searched by an internal extension."""
        return self._source.has_extensions

    @property
    def can_search(self) -> bool:
        """True if the directory can also be searched by a text."""
        return isinstance(self._source, SearchableSource)

    @property
    def has_contacts(self) -> bool:
        """True if the directory can be asked for the earlier contacts of a person."""
        return isinstance(self._source, ContactsSource) and self._source.has_contacts

    @property
    def breaker_state(self) -> BreakerState:
        """The present state of the directory's circuit breaker."""
        return self._breaker.state(self._clock())

    def forget_answers(self) -> None:
        """Forget all answers, and do not keep the answers of running requests."""
        self._cache.clear()
        self._requests.clear()

    async def close(self) -> None:
        """End the running searches for numbers, and close the directory."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def ask(self, number: PhoneNumber) -> SourceAnswer:
        """Search the directory for a number, and return its answer."""
        kept = self._cache.get(number, self._clock())
        if kept is not None:
            self._observe(Observation(self.name, kept.state, 0.0, cached=True))
            return kept
        resting = self._resting()
        if resting is not None:
            return SourceAnswer(resting)
        request = self._requests.get(number)
        if request is None:
            request = self._requests[number] = self._begin(number)
        request.waiting += 1
        try:
            return await asyncio.shield(request.task)
        finally:
            request.waiting -= 1
            if not request.waiting and not request.begun:
                self._forget(number, request)  # at once, so that no other lookup waits for it
                request.task.cancel()

    async def search(self, text: str) -> SourceAnswer:
        """Search the directory by a text, and return its answer. The answer is not kept."""
        source = self._source
        if not isinstance(source, SearchableSource):
            return SourceAnswer(AnswerState.NOT_FOUND)
        async with self._text_slots, self._slots:
            return SourceAnswer(*await self._request(partial(source.search, text)))

    async def contacts_of(self, record_id: str) -> ContactsAnswer:
        """Ask the directory for a person's earlier contacts. The answer is not kept."""
        source = self._source
        if not isinstance(source, ContactsSource) or not source.has_contacts:
            return ContactsAnswer(AnswerState.NOT_FOUND)
        async with self._text_slots, self._slots:
            return ContactsAnswer(*await self._request(partial(source.contacts_of, record_id)))

    def _forget(self, number: PhoneNumber, request: _Request) -> None:
        if self._requests.get(number) is request:
            del self._requests[number]

    def _begin(self, number: PhoneNumber) -> _Request:
        async def run() -> SourceAnswer:
            try:
                async with self._slots:
                    request.begun = True
                    find = partial(self._find, number)
                    answer = SourceAnswer(*await self._request(find))
                if self._requests.get(number) is request:
                    self._cache.put(number, answer, self._clock())
                return answer
            finally:
                self._forget(number, request)

        request = _Request(asyncio.create_task(run()))
        self._tasks.add(request.task)
        request.task.add_done_callback(self._tasks.discard)
        return request

    def _resting(self) -> AnswerState | None:
        """Return the state of a directory that gets no request now; None if it may be asked."""
        breaker = self.breaker_state
        if breaker is BreakerState.BUSY:
            state = AnswerState.BUSY
        elif breaker is BreakerState.OPEN:
            state = AnswerState.UNAVAILABLE
        else:
            return None
        self._observe(Observation(self.name, state, 0.0))
        return state

    async def _request(
        self, ask: Callable[[], Awaitable[list[T]]]
    ) -> tuple[AnswerState, tuple[T, ...]]:
        resting = self._resting()
        return (resting, ()) if resting is not None else await self._attempt(ask)

    async def _attempt(
        self, ask: Callable[[], Awaitable[list[T]]]
    ) -> tuple[AnswerState, tuple[T, ...]]:
        started = self._clock()
        if not self._breaker.begin(started):  # another request is testing the directory
            self._observe(Observation(self.name, AnswerState.UNAVAILABLE, 0.0))
            return AnswerState.UNAVAILABLE, ()
        reason, found = "", list[T]()
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                found = await ask()
        except ServerBusyError as error:
            self._breaker.asked_for_rest(self._clock(), error.seconds)
            state, reason = AnswerState.BUSY, str(error)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as error:  # noqa: BLE001 - a fault of a directory must not end the lookup
            self._breaker.failed(self._clock())
            state, reason = AnswerState.UNAVAILABLE, reason_of(error)
        else:
            self._breaker.succeeded()
            state = AnswerState.FOUND if found else AnswerState.NOT_FOUND
        seconds = self._clock() - started
        self._observe(Observation(self.name, state, seconds, reason=reason))
        return state, tuple(found)

    async def _find(self, number: PhoneNumber) -> list[Person]:
        found = await self._source.find(number)
        if len(found) > _MOST_PEOPLE:
            raise ServerError(f"the answer has more than {_MOST_PEOPLE} people")
        # In a thread, because a hostile answer can take seconds, and a payment pause must not wait.
        return await asyncio.to_thread(
            matching, found, number, region=self._region, area_code=self._area_code
        )
