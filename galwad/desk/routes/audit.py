"""The audit's chain: reading it whole, and its head for those who keep anchors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from galwad.desk.access import SignedIn, TheDesk, person
from galwad.desk.errors import ApiError
from galwad.desk.evidence import MOST_ENTRIES, AuditHead, AuditPage, AuditQuery
from galwad.desk.routes.recordings import span_of
from galwad.desk.sessions import Session
from recording.audit.log import Facts, Sought

router = APIRouter()


def _reader(session: Annotated[Session, Depends(person)]) -> Session:
    """Who may read names and numbers in the audit."""
    if session.user.role != "admin":
        raise ApiError(403, "the audit is the recording administrator's to read", "ask them")
    return session


def _keeper(session: SignedIn) -> Session:
    """Who may keep anchors: a head says nothing of anybody."""
    if not session.user.supervises and "anchors" not in session.user.rights:
        raise ApiError(403, "this needs the right `anchors`", "or a supervisor's account")
    return session


@router.get("/audit")
async def entries(
    desk: TheDesk,
    session: Annotated[Session, Depends(_reader)],
    after: Annotated[int, Query(ge=0, le=MOST_ENTRIES)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> AuditPage:
    """Entries in order, with their personal values; that they were read is one, too."""
    links = await desk.audit.links(after, limit)
    facts = {"after": after, "entries": len(links)}
    await desk.audit.append("audit.read", facts, {"actor": session.actor})
    return AuditPage(
        lines=[str(link) for link in links],
        last=links[-1].seq if links else after,
        contradicting=[link.seq for link in links if link.contradicts_itself],
    )


@router.post("/audit/search")
async def search(
    body: AuditQuery, desk: TheDesk, session: Annotated[Session, Depends(_reader)]
) -> AuditPage:
    """The newest entries that fit; what was asked for is in the audit, but for whom."""
    span = span_of(body.when, desk)
    actor = body.actor or ""
    sought = Sought(
        kind=body.kind or "",
        call_id=body.call_id or "",
        actor=actor if ":" in actor or not actor else f"user:{actor.lower()}",
        since=None if span is None else span.since,
        until=None if span is None else span.until,
    )
    links = await desk.audit.search(sought, body.before, body.limit)
    given = sorted(body.model_dump(exclude_none=True, exclude={"limit", "before"}))
    # Not as `call_id`: whoever asks what was done with a recording does nothing with it.
    facts: Facts = {"by": ",".join(given), "of": sought.call_id, "entries": len(links)}
    await desk.audit.append("audit.searched", facts, {"actor": session.actor})
    return AuditPage(lines=[str(link) for link in links], last=links[-1].seq if links else 0)


@router.get("/audit/head")
async def head(
    desk: TheDesk,
    _session: Annotated[Session, Depends(_keeper)],
    seq: Annotated[int, Query(ge=0, le=MOST_ENTRIES)] = 0,
) -> AuditHead:
    """An anchor for now, and what the chain has at the place of an earlier one."""
    anchor = await desk.anchor()
    if anchor is None:
        raise ApiError(404, "the audit has no entry yet", "sign in by password once")
    earlier = await desk.audit.links(seq - 1, 1) if seq else []
    found = earlier[0].hash if earlier and earlier[0].seq == seq else None
    return AuditHead(anchor=str(anchor), earlier=found)
