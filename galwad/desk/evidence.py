"""What the HTTP API is asked and answers of coverage and audit, as pydantic models."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from galwad.desk.models import Asked, Short

MOST_ENTRIES: Final = 2**31 - 1
"""The database knows no larger number of an entry."""


class Stretch(BaseModel):
    """A part of a call, in microseconds since its recording's start; `reason` of a gap."""

    from_us: int
    to_us: int
    reason: str = ""


class CallAmiss(BaseModel):
    """A call of which not every second is explained, or whose witnesses contradict each other."""

    call_id: str
    started: float
    talk_us: int
    gaps: list[Stretch]
    unexplained: list[Stretch]
    problems: list[str]


class OrphanFile(BaseModel):
    """A file, row or spool that misses what belongs to it, and what to do."""

    kind: str
    name: str
    call_id: str
    text: str
    fix: str


class Coverage(BaseModel):
    """The answered calls of a time, added up; those amiss, and orphans, one by one.

    `more_orphans`: so many others there are. `in_progress`: calls that go on, or ended so lately
    that their recording may be on its way.
    """

    calls: int
    in_progress: int
    talk_us: int
    recorded_us: int
    gap_us: int
    unexplained_us: int
    amiss: list[CallAmiss]
    orphans: list[OrphanFile]
    more_orphans: int = 0


class AuditQuery(Asked):
    """Which entries of the audit to find, the newest first; all that stand must fit.

    `actor` is a user's name, or as an entry has it, such as `os:root`; `before` an entry's number.
    """

    kind: Short | None = None
    call_id: Short | None = None
    actor: Short | None = None
    when: Short | None = None
    before: int | None = Field(default=None, ge=1, le=MOST_ENTRIES)
    limit: int = Field(default=50, ge=1, le=1000)


ASKED: tuple[type[Asked], ...] = (AuditQuery,)


class AuditPage(BaseModel):
    """Entries as lines of an export (`recording.audit.chain.Link`); `last` is the last number.

    `contradicting`: numbers of those that the database finds under another number, time or kind
    than they have: a search passes over them.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """A line for a file of anchors; `earlier` is the hash of the entry that was asked for."""

    anchor: str
    earlier: str | None
