"""The register of disclosures: who asks for recordings, who agreed, and which files left.

A copy of a recording may leave the council because the law requires it, to prevent or detect a
crime, or in the vital interests of a person (privacy notice, lines 95 to 99). Each disclosure names
its recordings, and a second administrator approves it before they are used for it. If it is urgent,
they may be used at once, and the second administrator reviews it afterwards.

`compared` compares the register with the audit: each use and each file must be in both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.archive.rules import DISCLOSURE_PURPOSES, FETCHED, PACK_MADE, DisclosurePurpose
from recording.audit.chain import ChainEntry
from recording.audit.log import AuditFilter, AuditLog

FILE_SENT: Final = "disclosure.sent"
"""The kind of the audit entry about a file that an administrator has entered by hand."""
REVIEW_S: Final = 3 * 86_400.0
"""The seconds after which an urgent disclosure must have been reviewed.

A council has 72 hours to report a breach of personal data (UK GDPR, Article 33).
"""
_SLACK_S: Final = 5.0
"""The time of an audit entry may be so much later than that of the decision that allowed it."""
_US: Final = 1_000_000
_File: TypeAlias = tuple[int, str]
"""The number of a disclosure, and the SHA-256 of a file that left for it."""
Decision: TypeAlias = Literal["approved", "refused"]
DisclosureState: TypeAlias = Literal["requested", "urgent", "approved", "refused", "closed"]

metadata = MetaData()

disclosures = Table(
    "disclosures",
    metadata,
    Column("disclosure_id", Integer, primary_key=True),
    Column("purpose", String(20), nullable=False),
    Column("requester", String(200), nullable=False),
    Column("authority", String(200), nullable=False),
    Column("recipient", String(200), nullable=False),
    Column("reference", String(200), nullable=False),
    Column("details", Text, nullable=False),
    # Why it cannot wait for a second administrator; "" if it can.
    Column("urgent", String(200), nullable=False),
    Column("asked_by", String(100), nullable=False),
    Column("opened", Float, nullable=False),
    # "approved", "refused", or "" before a second administrator has decided.
    Column("decision", String(10), nullable=False),
    Column("decided_by", String(100), nullable=False),
    Column("decided", Float),
    Column("decision_note", String(200), nullable=False),
    Column("closed_by", String(100), nullable=False),
    Column("closed", Float),
    Column("closing_note", String(200), nullable=False),
    # Counts the changes, so that no decision is about what the person has not seen.
    Column("version", Integer, nullable=False),
)

disclosure_calls = Table(
    "disclosure_calls",
    metadata,
    Column("disclosure_id", Integer, ForeignKey("disclosures.disclosure_id"), primary_key=True),
    Column("call_id", String(24), primary_key=True),
    Index("disclosure_calls_by_call", "call_id"),
)

disclosed_files = Table(
    "disclosed_files",
    metadata,
    Column("disclosure_id", Integer, ForeignKey("disclosures.disclosure_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    # The recording of which the file is a pack; "" if a person has entered the file.
    Column("call_id", String(24), nullable=False),
    Column("what", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("at", Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """A request to disclose recordings, and what was decided about it. Times are in Unix seconds.

    `requester` asks, such as an officer of the police, by `authority`: an order, a law or a form.
    `recipient` is the person who gets the copies. `urgent` says why the disclosure cannot wait for
    a second administrator; it is "" if it can. `decision` is "" until the second administrator has
    approved or refused it. `closed` is the time after which nothing may be used for it any more.
    """

    disclosure_id: int
    purpose: DisclosurePurpose
    requester: str
    authority: str
    recipient: str
    reference: str
    details: str
    urgent: str
    asked_by: str
    opened: float
    decision: Decision | Literal[""] = ""
    decided_by: str = ""
    decided: float | None = None
    decision_note: str = ""
    closed_by: str = ""
    closed: float | None = None
    closing_note: str = ""
    version: int = 1

    @property
    def state(self) -> DisclosureState:
        """The present state. "urgent" may be used, but waits for its review."""
        if self.closed is not None:
            return "closed"
        return self.decision or ("urgent" if self.urgent else "requested")

    @property
    def may_be_used(self) -> bool:
        """True if its recordings may be used now."""
        return self.state in {"urgent", "approved"}

    def allowed_at(self, moment: float) -> bool:
        """Return whether its recordings could be used at a moment (Unix seconds)."""
        ends = [self.closed, self.decided if self.decision == "refused" else None]
        if any(end is not None and moment > end + _SLACK_S for end in ends):
            return False
        approved = self.decision == "approved" and self.decided is not None
        begin = self.opened if self.urgent else self.decided if approved else None
        return begin is not None and begin <= moment + _SLACK_S


@dataclass(frozen=True, slots=True)
class DisclosedFile:
    """A file that left the council, with its SHA-256 and its size in bytes.

    `call_id` is the recording of which it is an evidence pack; "" if an administrator has entered
    the file, and `what` describes it. `at` is in Unix seconds.
    """

    position: int
    call_id: str
    what: str
    sha256: str
    size: int
    actor: str
    at: float


MismatchKind: TypeAlias = Literal[
    "use_not_disclosed", "file_not_registered", "file_not_audited", "not_reviewed"
]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A use, a file or a disclosure that is not as the register says."""

    kind: MismatchKind
    call_id: str
    text: str


class Disclosures:
    """The register of disclosures in the desk's database. Methods raise `SQLAlchemyError`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self, *, ended: bool = False) -> list[Disclosure]:
        """Return the disclosures, the newest first; with `ended`, refused and closed ones too."""
        own = disclosures.c
        statement = select(disclosures).order_by(own.disclosure_id.desc())
        if not ended:
            statement = statement.where(own.closed.is_(None), own.decision != "refused")
        async with self._engine.connect() as connection:
            return [_disclosure(row) for row in (await connection.execute(statement)).mappings()]

    async def unreviewed(self) -> list[Disclosure]:
        """Return the urgent disclosures that no second administrator has reviewed yet."""
        return [each for each in await self.all(ended=True) if each.urgent and not each.decision]

    async def one(self, disclosure_id: int) -> Disclosure | None:
        """Return a disclosure; None if there is none with this number."""
        async with self._engine.connect() as connection:
            return await read_one(connection, disclosure_id)

    async def calls(self, disclosure_id: int) -> list[str]:
        """Return the ids of its recordings, sorted."""
        own = disclosure_calls.c
        statement = select(own.call_id).where(own.disclosure_id == disclosure_id)
        async with self._engine.connect() as connection:
            return sorted(await connection.scalars(statement))

    async def files(self, disclosure_id: int) -> list[DisclosedFile]:
        """Return the files that left, in the order in which they were entered."""
        own = disclosed_files.c
        statement = select(disclosed_files).where(own.disclosure_id == disclosure_id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement.order_by(own.position))).mappings()
            return [_file(row) for row in rows]

    async def compared(
        self, audit: AuditLog, since: float, until: float, now: float
    ) -> tuple[dict[str, int], list[Mismatch]]:
        """Compare the register with the audit entries from `since` to `until` (Unix seconds).

        Return the numbers of what was compared, and what does not agree. An urgent disclosure of
        the period must be reviewed `REVIEW_S` after it was opened, if `now` is later. Raises
        `AuditError` if the audit cannot be read.
        """
        known = {each.disclosure_id: each for each in await self.all(ended=True)}
        calls = await self._all_calls()
        mismatches: list[Mismatch] = []
        uses, audited, due = 0, set[_File](), set[_File]()
        async for entry in _entries(audit, since - _SLACK_S, until + _SLACK_S):
            facts = entry.facts
            number = facts.get("disclosure")
            number = number if isinstance(number, int) else 0
            file = number, str(facts.get("pack_sha256") or facts.get("file_sha256"))
            if entry.kind != FETCHED:
                audited.add(file)
            if not since <= entry.at_us / _US < until:
                continue
            if entry.kind == FETCHED:
                uses += 1
            else:
                due.add(file)
            if why := _why_not(entry, known.get(number), calls.get(number, ())):
                call_id = str(facts.get("call_id", ""))
                mismatches.append(
                    Mismatch("use_not_disclosed", call_id, f"audit entry {entry.seq}: {why}")
                )
        # The row about a file and its audit entry may be on both sides of the period's end.
        near = await self._files_between(since - _SLACK_S, until + _SLACK_S)
        registered = await self._files_between(since, until)
        differing: dict[MismatchKind, set[_File]] = {
            "file_not_registered": due - near,
            "file_not_audited": registered - audited,
        }
        for kind, missing in differing.items():
            mismatches += [
                Mismatch(kind, "", f"disclosure {number}: SHA-256 {sha256}")
                for number, sha256 in sorted(missing)
            ]
        opened = [each for each in known.values() if since <= each.opened < until]
        urgent = [each for each in opened if each.urgent]
        waiting = [each for each in urgent if not each.decision]
        mismatches += [
            Mismatch("not_reviewed", "", f"disclosure {each.disclosure_id}")
            for each in waiting
            if now - each.opened > REVIEW_S
        ]
        numbers = {
            "disclosures": len(opened),
            "disclosures_urgent": len(urgent),
            "disclosures_unreviewed": len(waiting),
            "disclosure_uses": uses,
            "disclosed_files": len(registered),
        }
        return numbers, mismatches

    async def _all_calls(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        async with self._engine.connect() as connection:
            for number, call_id in await connection.execute(select(disclosure_calls)):
                found.setdefault(number, set()).add(call_id)
        return found

    async def _files_between(self, since: float, until: float) -> set[_File]:
        own = disclosed_files.c
        statement = select(own.disclosure_id, own.sha256).where(own.at >= since, own.at < until)
        async with self._engine.connect() as connection:
            return {(row[0], row[1]) for row in await connection.execute(statement)}


async def _entries(audit: AuditLog, since: float, until: float) -> AsyncIterator[ChainEntry]:
    """Yield the entries about uses of recordings, and about files, that need a disclosure."""
    for kind in (FETCHED, PACK_MADE, FILE_SENT):
        async for entry in audit.search_all(AuditFilter(kind, since=since, until=until)):
            # Copies for the person themself are in the register of cases.
            if entry.facts.get("purpose") in DISCLOSURE_PURPOSES and "case" not in entry.facts:
                yield entry


def _why_not(entry: ChainEntry, disclosure: Disclosure | None, calls: Collection[str]) -> str:
    """Return why the disclosure does not allow the use in an audit entry; "" if it does."""
    if disclosure is None:
        return "it names no disclosure in the register"
    if entry.facts.get("purpose") != disclosure.purpose:
        return f"disclosure {disclosure.disclosure_id} has another purpose"
    if entry.kind != FILE_SENT and entry.facts.get("call_id") not in calls:
        return f"disclosure {disclosure.disclosure_id} does not name this recording"
    if not disclosure.allowed_at(entry.at_us / _US):
        return f"disclosure {disclosure.disclosure_id} was not approved at that time, or closed"
    return ""


async def read_one(connection: AsyncConnection, disclosure_id: int) -> Disclosure | None:
    """Return a disclosure; None if there is none with this number."""
    statement = select(disclosures).where(disclosures.c.disclosure_id == disclosure_id)
    row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _disclosure(row)


async def add(connection: AsyncConnection, disclosure: Disclosure, calls: Sequence[str]) -> int:
    """Store a new disclosure of recordings, and return its number. The caller commits."""
    row = {name: getattr(disclosure, name) for name in Disclosure.__dataclass_fields__}
    del row["disclosure_id"]
    statement = insert(disclosures).values(**row).returning(disclosures.c.disclosure_id)
    number = int((await connection.execute(statement)).scalar_one())
    await add_calls(connection, number, calls)
    return number


async def add_calls(
    connection: AsyncConnection, disclosure_id: int, calls: Sequence[str]
) -> list[str]:
    """Add recordings to a disclosure, and return those that are new. The caller commits."""
    own = disclosure_calls.c
    known = set(
        await connection.scalars(select(own.call_id).where(own.disclosure_id == disclosure_id))
    )
    new = sorted(set(calls) - known)
    rows = [{"disclosure_id": disclosure_id, "call_id": each} for each in new]
    if rows:
        await connection.execute(insert(disclosure_calls), rows)
    return new


async def change(
    connection: AsyncConnection, disclosure_id: int, version: int, **values: object
) -> bool:
    """Change a disclosure and its version; return False if it has another one.

    The caller commits.
    """
    own = disclosures.c
    statement = (
        update(disclosures)
        .where(own.disclosure_id == disclosure_id, own.version == version)
        .values(version=own.version + 1, **values)
    )
    return (await connection.execute(statement)).rowcount > 0


async def add_file(connection: AsyncConnection, disclosure_id: int, file: DisclosedFile) -> None:
    """Enter a file that left, at the next position. The caller commits."""
    own = disclosed_files.c
    last = select(func.coalesce(func.max(own.position), 0)).where(
        own.disclosure_id == disclosure_id
    )
    row = {name: getattr(file, name) for name in DisclosedFile.__dataclass_fields__}
    row |= {"disclosure_id": disclosure_id, "position": (await connection.scalar(last) or 0) + 1}
    await connection.execute(insert(disclosed_files).values(**row))


def _disclosure(row: Any) -> Disclosure:
    return Disclosure(**{name: row[name] for name in Disclosure.__dataclass_fields__})


def _file(row: Any) -> DisclosedFile:
    return DisclosedFile(
        **{name: cast("Any", row[name]) for name in DisclosedFile.__dataclass_fields__}
    )
