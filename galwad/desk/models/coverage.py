"""Bodies for the check of coverage."""

from __future__ import annotations

from pydantic import BaseModel


class CallSpan(BaseModel):
    """A part of a call, in microseconds since its recording's start; `reason` is set for a gap."""

    from_us: int
    to_us: int
    reason: str = ""


class FaultyCall(BaseModel):
    """A call with unexplained seconds, or whose records contradict each other."""

    call_id: str
    started: float
    talk_us: int
    gaps: list[CallSpan]
    unexplained: list[CallSpan]
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
    amiss: list[FaultyCall]
    orphans: list[OrphanFile]
    more_orphans: int = 0
