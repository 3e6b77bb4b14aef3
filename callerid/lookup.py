"""Who is calling: all directories asked side by side, within one budget of time.

A directory that is dead, slow or broken makes the answer "unavailable", which is not "not
found"; one that answers is enough to find somebody. Nothing is ever created here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from callerid.number import Caller, Number
from callerid.person import Person

BUDGET_S = 1.0


class Status(StrEnum):
    """How a lookup ended; `LOOKING_UP` until it has."""

    LOOKING_UP = "looking_up"
    FOUND = "found"
    SEVERAL = "several"
    NOT_FOUND = "not_found"
    WITHHELD = "withheld"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """People found; `failed` names the sources that gave no answer."""

    status: Status
    people: tuple[Person, ...] = ()
    failed: tuple[str, ...] = ()


class Source(Protocol):
    """A directory that can be asked for a number."""

    @property
    def name(self) -> str:
        """Short name, for metrics and logs."""

    async def find(self, number: Number) -> list[Person]:
        """Everyone at this number; any exception means "unavailable"."""


class Lookup:
    """Asks every source at once and waits `budget_s` seconds for the slowest."""

    def __init__(self, sources: Sequence[Source], budget_s: float = BUDGET_S) -> None:
        self._sources = tuple(sources)
        self._budget_s = budget_s

    async def look_up(self, caller: Caller) -> Outcome:
        """The outcome for this caller; never raises for a source's failure."""
        if caller.withheld:
            return Outcome(Status.WITHHELD)
        if caller.number is None or not caller.number.e164:
            return Outcome(Status.NOT_FOUND)
        tasks = {
            asyncio.create_task(source.find(caller.number)): source for source in self._sources
        }
        if not tasks:
            return Outcome(Status.NOT_FOUND)
        try:
            await asyncio.wait(tasks, timeout=self._budget_s)
        finally:
            for task in tasks:
                task.cancel()
        found: list[Person] = []
        failed: list[str] = []
        for task, source in tasks.items():
            if not task.done() or task.cancelled() or task.exception() is not None:
                failed.append(source.name)
            else:
                found.extend(task.result())
        return _outcome(found, failed)


def _outcome(found: list[Person], failed: list[str]) -> Outcome:
    people = tuple(person for person in found if not person.do_not_pop)
    if people:
        status = Status.FOUND if len(people) == 1 else Status.SEVERAL
    else:
        status = Status.UNAVAILABLE if failed else Status.NOT_FOUND
    return Outcome(status, people, tuple(failed))
