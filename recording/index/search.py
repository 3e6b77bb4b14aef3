"""Search in the index of recordings: the filters, and the SQL for `Catalogue.search`.

Each filter has a database index. Most of these indices have the sort order of the result. So SQLite
finds a page out of a million recordings in milliseconds.
`tests/recording/index/test_catalogue.py` checks that SQLite uses the indices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    exists,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from recording.index.tables import (
    flags,
    gap_reasons,
    later_advisors,
    later_callers,
    recordings,
    references,
    retentions,
)

RARE_BELOW: Final = 2000
"""If fewer recordings than this match the filter for the talk time, the talk time is *rare*.

SQLite finds and sorts this many recordings in a few milliseconds.
"""
LATER_PARTIES: Final[Mapping[str, Column[Any]]] = {
    "number": later_callers.c.number,
    "advisor": later_advisors.c.advisor,
    "extension": later_advisors.c.extension,
}
"""The filters that name a party, with the column that has the parties who joined a call later."""
_PLACE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,17})?)/([0-9a-z-]{1,24})")


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a search. A recording must match every filter that is not None.

    Times are in Unix seconds; `until` is excluded. `number` matches any caller of the call.
    `advisor` and `extension` match anyone who got the call; `extension` may be the name that a PBX
    gave to it. `reference` is the call id, or a text that a user gave when fetching the recording.
    `hold` is the number of a legal hold for which the recording is retained.
    """

    number: str | None = None
    advisor: str | None = None
    extension: str | None = None
    line: str | None = None
    since: float | None = None
    until: float | None = None
    min_us: int | None = None
    max_us: int | None = None
    gap_reason: str | None = None
    reference: str | None = None
    flag: str | None = None
    hold: int | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The end of a page of a list that is sorted by a time and the call id.

    `at` is the time of the final recording, in Unix seconds, such as its start. A cursor stays
    correct if recordings are added or removed before the next page is read.
    """

    at: float
    call_id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `str(cursor)` returned. Raises `ValueError`."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise ValueError("this is not a place in the list")
        return cls(float(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.at}/{self.call_id}"


def search_statement(
    filters: Filters,
    after: Cursor | None = None,
    *,
    rare: bool = False,
    later: Collection[str] = (),
) -> Select[Any]:
    """Return the SQL statement for the matching recordings, the latest first.

    With `after`, only the recordings that follow this place are found. `rare` is True if fewer than
    `RARE_BELOW` recordings match the talk time: then SQLite sorts all of them. `later` has the
    filters of `LATER_PARTIES` whose value also belongs to a later party of any call. Only for these
    filters, the statement searches the later parties.
    """
    narrow = rare or any((filters.number, filters.advisor, filters.extension, filters.reference))
    statement = select(recordings)
    place = at = recordings.c
    if filters.hold is not None and narrow:
        statement = statement.where(_has_hold(filters.hold))
    elif filters.hold is not None:
        place = retentions.c
        statement = statement.join(retentions, place.call_id == recordings.c.call_id)
        statement = statement.where(place.hold_id == filters.hold, place.released.is_(None))
        narrow = True
    if filters.flag is not None and narrow:
        statement = statement.where(_has_flag(filters.flag))
    elif filters.flag is not None:
        place = flags.c
        statement = statement.join(flags, place.call_id == recordings.c.call_id)
        statement = statement.where(place.flag == filters.flag)
    if filters.gap_reason is not None and (narrow or filters.flag is not None):
        statement = statement.where(_has_gap(filters.gap_reason))
    elif filters.gap_reason is not None:
        place = at = gap_reasons.c
        statement = statement.join(gap_reasons, at.call_id == recordings.c.call_id)
        statement = statement.where(at.reason == filters.gap_reason)
    if after is not None:
        statement = statement.where(
            tuple_(place.started, place.call_id) < tuple_(literal(after.at), literal(after.call_id))
        )
    # SQLite does not use the database index of a column that is inside an expression, such as
    # `talk_us + 0`. Such expressions are used here where an index would be slow:
    # - for `line`, if `narrow` is True or a flag is sought. The other filter then matches fewer
    #   recordings.
    # - for `talk_us`, always. Only the subquery below uses the index of `talk_us`.
    line = at.line.concat("") if narrow or filters.flag is not None else at.line
    if rare:
        others = recordings.alias("others")
        statement = statement.where(
            recordings.c.call_id.in_(
                select(others.c.call_id).where(*_lengths(others.c.talk_us, filters))
            )
        )
    conditions: tuple[tuple[Callable[[Any], ColumnElement[bool]], Any], ...] = (
        *((_party(name, is_later=name in later), getattr(filters, name)) for name in LATER_PARTIES),
        (_has_reference, filters.reference),
        (line.__eq__, filters.line),
        (place.started.__ge__, filters.since),
        (place.started.__lt__, filters.until),
    )
    return statement.where(
        *(condition(value) for condition, value in conditions if value is not None),
        *_lengths(at.talk_us + 0, filters),
    ).order_by(place.started.desc(), place.call_id.desc())


def _lengths(talk_us: ColumnElement[int], filters: Filters) -> list[ColumnElement[bool]]:
    found = []
    if filters.min_us is not None:
        found.append(talk_us >= filters.min_us)
    if filters.max_us is not None:
        found.append(talk_us <= filters.max_us)
    return found


def length_count_statement(filters: Filters) -> Select[Any]:
    """Return the SQL statement that counts the matches of the talk time, up to `RARE_BELOW`."""
    few = select(literal(1)).where(*_lengths(recordings.c.talk_us, filters)).limit(RARE_BELOW)
    return select(func.count()).select_from(few.subquery())


def _has_gap(reason: str) -> ColumnElement[bool]:
    return exists().where(
        gap_reasons.c.reason == reason,
        gap_reasons.c.started == recordings.c.started,
        gap_reasons.c.call_id == recordings.c.call_id,
    )


def _party(name: str, *, is_later: bool) -> Callable[[Any], ColumnElement[bool]]:
    """Return the condition of the filter `name`.

    Without `is_later`, it compares only the first caller or advisor of each call.
    """
    first, later = recordings.c[name], LATER_PARTIES[name]

    def has_party(value: str) -> ColumnElement[bool]:
        own = select(recordings.c.call_id).where(first == value).correlate(None)
        others = select(later.table.c.call_id).where(later == value)
        return recordings.c.call_id.in_(union_all(own, others))

    return has_party if is_later else first.__eq__


def _has_reference(reference: str) -> ColumnElement[bool]:
    fetched = select(references.c.call_id).where(references.c.reference == reference)
    return recordings.c.call_id.in_(union_all(select(literal(reference)), fetched))


def _has_hold(hold_id: int) -> ColumnElement[bool]:
    held = select(retentions.c.call_id).where(
        retentions.c.hold_id == hold_id, retentions.c.released.is_(None)
    )
    return recordings.c.call_id.in_(held)


def _has_flag(flag: str) -> ColumnElement[bool]:
    return exists().where(flags.c.flag == flag, flags.c.call_id == recordings.c.call_id)
