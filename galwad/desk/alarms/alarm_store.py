"""The stored alarms, in the desk's database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from galwad.desk.alarms.kinds import AlarmKind, kind_of
from galwad.desk.alarms.tables import alarms

AlarmState: TypeAlias = Literal["open", "taken", "closed"]
MAX_CLOSED: Final = 10_000
"""The most closed alarms that are kept. If there are more, the oldest are removed."""


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm and its handling. Times are in Unix seconds; 0 if something has not happened.

    `first` and `latest` are the times of its first and its latest report, and `count` is the number
    of reports. `line` is the line of its call. `subject` is the name of what it is about, if its
    kind has one. `closed_by` is "" if the alarm has ended by itself.
    """

    alarm_id: str
    kind: str
    call_id: str | None
    line: str
    subject: str
    detail: str
    first: float
    latest: float
    count: int = 1
    taken_by: str = ""
    taken: float = 0.0
    closed: float = 0.0
    closed_by: str = ""
    remark: str = ""

    @property
    def state(self) -> AlarmState:
        """The state of the alarm's handling."""
        if self.closed:
            return "closed"
        return "taken" if self.taken_by else "open"

    @property
    def traits(self) -> AlarmKind:
        """The facts about alarms of this kind."""
        return kind_of(self.kind)


class AlarmStore:
    """The alarms in a database. Each method runs as one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def load(self, closed_after: float, most: int) -> list[StoredAlarm]:
        """Return the alarms that are open, taken or were closed after this time.

        They are sorted by their latest report. If there are more than `most`, the oldest closed
        ones are left out.
        """
        query = (
            select(alarms)
            .where(or_(alarms.c.closed == 0, alarms.c.closed > closed_after))
            .order_by(alarms.c.closed != 0, alarms.c.closed.desc())
            .limit(most)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return sorted((StoredAlarm(**row) for row in rows), key=lambda alarm: alarm.latest)

    async def save(self, changed: Sequence[StoredAlarm]) -> None:
        """Write these alarms, and replace earlier versions of them."""
        if not changed:
            return
        insertion = insert(alarms)
        replaced = {
            column.name: insertion.excluded[column.name]
            for column in alarms.columns
            if not column.primary_key
        }
        upsert = insertion.on_conflict_do_update(index_elements=["alarm_id"], set_=replaced)
        async with self._writer.begin() as connection:
            await connection.execute(upsert, _rows(changed))

    async def expire(self, closed_before: float) -> None:
        """Remove the alarms that were closed before this time, and those that are too many."""
        newest_of_too_many = (
            select(alarms.c.closed)
            .order_by(alarms.c.closed.desc())
            .offset(MAX_CLOSED)
            .limit(1)
            .scalar_subquery()
        )
        old = or_(alarms.c.closed < closed_before, alarms.c.closed <= newest_of_too_many)
        async with self._writer.begin() as connection:
            await connection.execute(delete(alarms).where(alarms.c.closed > 0, old))


def _rows(changed: Iterable[StoredAlarm]) -> list[dict[str, object]]:
    return [asdict(alarm) for alarm in changed]
