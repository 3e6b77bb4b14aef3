"""The alarms in the desk's database, and `StoredAlarm`, the form that the API shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, computed_field
from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.calls.alarms.kinds import AlarmKind, Severity, kind_of
from recording.audit.index_comparison import IndexFinding
from recording.errors import AuditError, reason_of

metadata = MetaData()

alarms = Table(
    "alarms",
    metadata,
    Column("alarm_id", String(16), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("call_id", String(24)),
    Column("line", String(200), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("detail", String(300), nullable=False),
    Column("first", Float, nullable=False),
    Column("latest", Float, nullable=False),
    Column("count", Integer, nullable=False),
    Column("taken_by", String(64), nullable=False),
    Column("taken", Float, nullable=False),
    # 0 while the alarm is not closed. `closed_by` is "" if the alarm ended by itself.
    Column("closed", Float, nullable=False),
    Column("closed_by", String(64), nullable=False),
    Column("remark", String(200), nullable=False),
    Index("alarms_by_closed", "closed"),
)


RAISED: Final = "alarm.raised"
ENDED: Final = "alarm.ended"
"""The kind of the audit entry about an alarm that ended by itself."""
CLOSED: Final = "alarm.closed"
"""The kind of the audit entry about an alarm that a person has closed."""
_LEAST_KEPT_S: Final = 86_400.0
"""If an alarm ended longer ago than this many seconds, `AlarmStore.compared` expects no row."""
_US: Final = 1_000_000
# In SQLite, the other columns of a query with one max() come from the row with this maximum.
_CHANGED: Final = text(f"""
    SELECT e.alarm, a.alarm_id IS NULL AS deleted FROM (
        SELECT max(seq), at_us, kind,
            CASE WHEN json_valid(body) THEN json_extract(body, '$.facts.alarm') END AS alarm
        FROM audit_entries
        WHERE node = :node AND kind IN ('{RAISED}', '{ENDED}', '{CLOSED}') GROUP BY alarm
    ) AS e LEFT JOIN alarms AS a ON a.alarm_id = e.alarm
    WHERE (a.alarm_id IS NULL AND (e.kind = '{RAISED}' OR e.at_us > :since))
    OR (e.kind = '{RAISED}' AND a.closed > 0)
    ORDER BY e.alarm
""")  # noqa: S608 - the parts are constants of this module

_COLUMNS: Final = tuple(column.name for column in alarms.columns)
AlarmState: TypeAlias = Literal["open", "taken", "closed"]
MAX_CLOSED: Final = 10_000
"""The most closed alarms in the database. `AlarmStore.expire` removes the older ones."""


@dataclass(frozen=True, slots=True)
class StoredAlarm:
    """An alarm and its handling. Times are in Unix seconds; 0 if something has not happened.

    `first` and `latest` are the times of its first and its latest report, and `count` is the number
    of reports. `line` is the line of its call. If its state is "closed" and `closed_by` is empty,
    it has ended by itself. Only supervisors see `detail`, `remark` and who handled the alarm.
    """

    alarm_id: Annotated[str, Field(serialization_alias="id")]
    kind: str
    call_id: str | None
    line: str
    subject: Annotated[str, Field(exclude=True)]
    """The thing that the alarm is about, such as a peer; "" if its kind has none."""
    detail: str
    first: float
    latest: float
    count: int = 1
    taken_by: str = ""
    taken: float = 0.0
    closed: float = 0.0
    closed_by: str = ""
    remark: str = ""
    taken_by_another: Annotated[bool, Field(exclude=True)] = False
    """True if a user has taken the alarm, and the viewer may not see who. It is not stored."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def severity(self) -> Severity:
        """The severity of alarms of this kind."""
        return self.traits.severity

    @computed_field  # type: ignore[prop-decorator]
    @property
    def state(self) -> AlarmState:
        """The state of the alarm's handling."""
        if self.closed:
            return "closed"
        return "taken" if self.taken_by or self.taken_by_another else "open"

    @property
    def traits(self) -> AlarmKind:
        """The facts about alarms of this kind."""
        return kind_of(self.kind)

    def shown_to(self, *, supervises: bool) -> StoredAlarm:
        """Return the alarm with only the facts that a user may see."""
        if supervises:
            return self
        return replace(
            self,
            detail="",
            taken_by="",
            taken=0.0,
            closed_by="",
            remark="",
            taken_by_another=bool(self.taken_by),
        )


class AlarmStore:
    """The alarms in a database. Each method but `write` runs as one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def load(self, closed_after: float, most: int) -> list[StoredAlarm]:
        """Return the alarms that are open, or were closed after `closed_after` (Unix seconds).

        They are sorted by their latest report. If there are more than `most`, those that were
        closed earliest are left out.
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
        async with self._writer.begin() as connection:
            await self.write(connection, changed)

    @staticmethod
    async def write(connection: AsyncConnection, changed: Sequence[StoredAlarm]) -> None:
        """Write these alarms in the transaction of `connection`, without committing it."""
        if not changed:
            return
        insertion = insert(alarms)
        replaced = {
            column.name: insertion.excluded[column.name]
            for column in alarms.columns
            if not column.primary_key
        }
        upsert = insertion.on_conflict_do_update(index_elements=["alarm_id"], set_=replaced)
        await connection.execute(upsert, _rows(changed))

    async def compared(self, node: str, now: float, kept_s: float) -> list[IndexFinding]:
        """Return the alarms of the audit whose row was deleted, or closed without an entry.

        The rows of alarms that ended more than a day or `kept_s` seconds ago may be gone. Raises
        `AuditError` if the database cannot be read.
        """
        since = (now - min(kept_s, _LEAST_KEPT_S)) * _US
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(_CHANGED, {"node": node, "since": since})).all()
        except SQLAlchemyError as error:
            raise AuditError(f"the alarms cannot be compared: {reason_of(error)}") from None
        return [
            IndexFinding("alarms", f"the audit has the alarm {row.alarm}, but its row is gone")
            if row.deleted
            else IndexFinding("alarms", f"the alarm {row.alarm} was closed, and no entry says why")
            for row in rows
        ]

    async def expire(self, closed_before: float) -> None:
        """Remove alarms closed before this Unix time, or not among the `MAX_CLOSED` closed last."""
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
    return [{name: getattr(alarm, name) for name in _COLUMNS} for alarm in changed]
