"""Endpoints to read and search the audit chain, and to get its head as an anchor."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from galwad.archive.proof.audit_bodies import MAX_ENTRY_NUMBER, AuditHead, AuditPage, AuditQuery
from galwad.archive.routes import span_of
from galwad.host.errors import ApiError, NotPermittedError
from galwad.people.access import SignedIn, TheDesk, person, require_step_up
from galwad.people.sessions import Session
from recording.audit.log import AuditFilter, Facts

router = APIRouter(tags=["audit"])


def _audit_reader(desk: TheDesk, session: Annotated[Session, Depends(person)]) -> Session:
    """Return the session of the signed-in user, who must be an administrator.

    Only administrators may read the audit chain, because it contains names and phone numbers.

    Raises:
        ApiError: 403, the user is not an administrator, or a stronger sign-in is needed first.
    """
    if session.user.role != "admin":
        raise NotPermittedError(
            "only the recording administrator may read the audit", "ask them to do it"
        )
    require_step_up(desk, session)
    return session


def _anchor_keeper(session: SignedIn) -> Session:
    """Return the session of the signed-in user, who must be permitted to fetch anchors.

    Supervisors, administrators and machines with the right `anchors` are permitted. An anchor (the
    head of the audit chain) contains no personal data.

    Raises:
        ApiError: 403, the user has neither one of these roles nor the right `anchors`.
    """
    if not session.user.supervises and "anchors" not in session.user.rights:
        raise NotPermittedError(
            "this needs the right `anchors`", "use a token with it, or sign in as a supervisor"
        )
    return session


@router.get("/audit")
async def entries(
    desk: TheDesk,
    session: Annotated[Session, Depends(_audit_reader)],
    after: Annotated[int, Query(ge=0, le=MAX_ENTRY_NUMBER)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> AuditPage:
    """Return the audit entries with numbers above `after`, sorted by number.

    The entries include personal values, such as names and phone numbers. This request itself is
    also entered in the audit chain.
    """
    links = await desk.audit.chain_entries(after, limit)
    facts = {"after": after, "entries": len(links)}
    await desk.audit.append("audit.read", facts, {"actor": session.actor})
    return AuditPage(
        lines=[str(link) for link in links],
        last=links[-1].seq if links else after,
        contradicting=[link.seq for link in links if link.contradicts_itself],
    )


@router.post("/audit/search")
async def search(
    body: AuditQuery, desk: TheDesk, session: Annotated[Session, Depends(_audit_reader)]
) -> AuditPage:
    """Return the newest audit entries that match the filters.

    The search itself is also entered in the audit chain. That entry has the names of the filters,
    but not the name of the person who was searched for.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    span = span_of(body.when, desk)
    actor = body.actor or ""
    sought = AuditFilter(
        kind=body.kind or "",
        call_id=body.call_id or "",
        actor=actor if ":" in actor or not actor else f"user:{actor.lower()}",
        since=None if span is None else span.since,
        until=None if span is None else span.until,
    )
    links = await desk.audit.search(sought, body.before, body.limit)
    given = sorted(body.model_dump(exclude_none=True, exclude={"limit", "before"}))
    # The call id in the query is stored as `of`, not as `call_id`. Otherwise a later search for
    # this call would also find this entry, although the entry does not concern the call's
    # recording.
    facts: Facts = {"by": ",".join(given), "of": sought.call_id, "entries": len(links)}
    await desk.audit.append("audit.searched", facts, {"actor": session.actor})
    return AuditPage(lines=[str(link) for link in links], last=links[-1].seq if links else 0)


@router.get("/audit/head")
async def head(
    desk: TheDesk,
    _session: Annotated[Session, Depends(_anchor_keeper)],
    seq: Annotated[int, Query(ge=0, le=MAX_ENTRY_NUMBER)] = 0,
) -> AuditHead:
    """Return the audit chain's present head as an anchor, and the hash of entry number `seq`.

    The hash is None if there is no entry with this number. The number 0 means that no hash is
    requested.

    Raises:
        ApiError: 404, the audit has no entry yet.
    """
    anchor = await desk.anchors.head()
    if anchor is None:
        raise ApiError(404, "the audit has no entry yet", "sign in with a password first")
    earlier = await desk.audit.chain_entries(seq - 1, 1) if seq else []
    found = earlier[0].hash if earlier and earlier[0].seq == seq else None
    return AuditHead(anchor=str(anchor), earlier=found)
