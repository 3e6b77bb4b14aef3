"""The HTTP API's request and answer bodies for coverage and audit, as pydantic models."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from galwad.desk.models import Asked, Short

MOST_ENTRIES: Final = 2**31 - 1
"""The highest number that an audit entry can have in the database."""


class Stretch(BaseModel):
    """A part of a call, in microseconds since its recording's start; `reason` is set for a gap."""

    from_us: int
    to_us: int
    reason: str = ""


class CallAmiss(BaseModel):
    """A call with unexplained seconds, or whose records contradict each other."""

    call_id: str
    started: float
    talk_us: int
    gaps: list[Stretch]
    unexplained: list[Stretch]
    problems: list[str]


class OrphanFile(BaseModel):
    """A file, row or spool whose counterpart is missing, and what to do about it."""

    kind: str
    name: str
    call_id: str
    text: str
    fix: str


class Coverage(BaseModel):
    """The sums over the answered calls of a time, the calls not fully explained, and the orphans.

    `more_orphans` counts further orphans that are not listed. `in_progress` counts calls that are
    in progress, or ended so recently that their recording may still be indexed.
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
    """The filters for audit entries, the newest first; an entry must match all that are given.

    `actor` is a user's name, or an actor as in an entry, such as `os:root`. `before` is the number
    of an entry.
    """

    kind: Short | None = None
    call_id: Short | None = None
    actor: Short | None = None
    when: Short | None = None
    before: int | None = Field(default=None, ge=1, le=MOST_ENTRIES)
    limit: int = Field(default=50, ge=1, le=1000)


ASKED: tuple[type[Asked], ...] = (AuditQuery,)


class AuditPage(BaseModel):
    """Entries as lines of an export (`recording.audit.chain.ChainEntry`), up to number `last`.

    `contradicting` lists the entries that the database holds under another number, time or kind
    than they state themselves. A search does not find them.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """A line for a file of anchors; `earlier` is the hash of the entry that was asked for."""

    anchor: str
    earlier: str | None
