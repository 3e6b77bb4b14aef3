"""Endpoints that prove what was recorded: audit chain, coverage check, and the notice's promises.

The coverage check shows whether each second of each answered call is either recorded or in a gap
with a known reason. The check of the index shows whether a row was changed or deleted.
"""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from galwad.archive.coverage import MAX_FINDINGS, CoverageResult, ids_between, ids_of
from galwad.archive.files import checked_id
from galwad.archive.promises import PromiseFinding, PromiseResult, PromiseVerdict
from galwad.archive.rules import fix_of
from galwad.archive.subject import TheDesk
from galwad.host.bodies import RequestBody, ResponseBody, ShortText, fields_of
from galwad.host.errors import ApiError, NotPermittedError
from galwad.host.host import span_of
from galwad.people.access import SignedIn, Supervisor, person, require_step_up
from galwad.people.sessions import Session
from galwad.periods import Period
from recording.archive.accounting import SilentTrack
from recording.audit.index_comparison import IndexFinding
from recording.audit.log import AuditFilter, Facts
from recording.index.coverage import CallCoverage
from recording.index.orphans import Orphan

router = APIRouter(tags=["coverage"])
_LATEST_S: Final = 32_503_680_000.0
"""The start of the year 3000 in Unix seconds: no call id has a later time."""
MAX_ENTRY_NUMBER: Final = 2**31 - 1
"""The highest number that an audit entry can have in the database."""


class CallSpan(ResponseBody):
    """A part of a call, with its start and end in microseconds since the start of the recording.

    If the part is a gap, `reason` is the reason of the gap, otherwise "".
    """

    from_us: int
    to_us: int
    reason: str = ""


@fields_of(CallCoverage, "call_id", "started", "talk_us", "problems")
class FaultyCall(ResponseBody):
    """A call that did not pass the coverage check.

    The call has talk time that neither segments nor gaps explain, or that both cover. Or its ledger
    entry, index row, manifest, packet counts and audit entries contradict each other. Or packets
    were stored in a gap of a payment or transfer, or a trigger did not have its whole effect.
    Such packets and triggers are also found in a call that is still in progress.
    """

    gaps: list[CallSpan]
    unexplained: list[CallSpan]


@fields_of(SilentTrack, "from_us", "to_us", "channel", "text")
class SilentParty(ResponseBody):
    """A party of a call of which nothing is heard in a segment, although it sent packets.

    `from_us` and `to_us` are the start and end of the segment, in microseconds since the start of
    the recording. `text` says how many packets were received, refused or lost.
    """

    call_id: str
    started: float


@fields_of(Orphan, "kind", "name", "call_id", "text")
class OrphanFile(ResponseBody):
    """A file, index row or spool that lacks its counterpart: for example, a row without files.

    `fix` says what the operator can do.
    """

    fix: str


@fields_of(
    CoverageResult,
    "calls",
    "in_progress",
    "talk_us",
    "recorded_us",
    "gap_us",
    "unexplained_us",
    "not_committed",
    "spools_unread",
)
class Coverage(ResponseBody):
    """The result of the coverage check for the calls that were answered in a period of time.

    `calls` is the number of calls that could be checked. The durations are sums over these calls,
    in microseconds. `in_progress` is the number of calls that could not be checked, because they
    continue, or ended so recently that their recording is perhaps not indexed yet. `amiss` lists
    the calls that did not pass the check. `orphans` lists files, index rows and spools that lack a
    counterpart. `more_orphans` is the number of orphans that are not in the list. `not_committed`
    is the number of recordings whose manifest has no commitments to the number, line and advisor.
    `silent` lists the parties of which nothing is heard in a segment, although packets were sent;
    `more_silent` is the number of calls with such parties that are not in the list. `spools_unread`
    says why the spools of calls in progress could not be checked; it is "" if they were checked,
    or if no call is in progress.
    """

    amiss: list[FaultyCall]
    orphans: list[OrphanFile]
    more_orphans: int = 0
    silent: list[SilentParty]
    more_silent: int = 0


class IndexCheck(BaseModel):
    """The result of the check of the index.

    `recordings` is the number of rows that were compared with their manifests. `not_committed` is
    the number of recordings whose manifest has no commitments to the number, line and advisor,
    because older software sealed them. `more_findings` is the number of findings that are not in
    the list.
    """

    recordings: int
    not_committed: int
    findings: list[IndexFinding]
    more_findings: int = 0


class Promise(BaseModel):
    """One promise of the privacy notice, with its evidence.

    `evidence` has numbers by name: lengths in microseconds if the name ends with `_us`, otherwise
    counts. A number for one trigger, such as `pauses_page`, is only there if it is not 0.
    `more_findings` is the number of findings that are not in the list.
    """

    name: Literal["recorded", "payments", "transfers", "disclosures", "intact"]
    verdict: Literal["kept", "broken", "no-evidence"]
    evidence: dict[str, int]
    findings: list[PromiseFinding]
    more_findings: int = 0


class PromiseReport(BaseModel):
    """The promises of the privacy notice, checked for the calls that were answered in a period.

    `first_day` and `last_day` are dates such as 2026-11-25, in the centre's time zone. `checked` is
    the time of the check, in Unix seconds. `kept` is false if any promise is broken. The report has
    no personal data.
    """

    first_day: str
    last_day: str
    checked: float
    kept: bool
    promises: list[Promise]


class AuditQuery(RequestBody):
    """A search for audit entries. Each entry in the result matches all given filters.

    The newest entries are returned first. `actor` is a user's name, such as `anna`, or an actor
    exactly as it is written in entries, such as `os:root`. If `before` is given, only entries with
    a number below `before` are returned.
    """

    kind: ShortText | None = None
    call_id: ShortText | None = None
    actor: ShortText | None = None
    when: ShortText | None = None
    before: int | None = Field(default=None, ge=1, le=MAX_ENTRY_NUMBER)
    limit: int = Field(default=50, ge=1, le=1000)


class AuditPage(BaseModel):
    """A page of audit entries: the response to a search, or to a request for the chain.

    Each item of `lines` is one entry in the form of an audit export (see
    `recording.audit.chain.ChainEntry`). `last` is the number of the last entry in `lines`. If
    `lines` is empty, the response to a search has 0 as `last`, and the response to a request for
    the chain has the request's `after`.

    The database also has columns with the number, time and kind of each entry. `contradicting` has
    the numbers of the entries whose columns differ from the entry's text. In the response to a
    search, it is always empty.
    """

    lines: list[str]
    last: int
    contradicting: list[int] = []


class AuditHead(BaseModel):
    """The present head of the audit chain, in the form of one line of an anchor file.

    An anchor is a head that is stored outside the server. `earlier` is the hash of the entry whose
    number the request gave as `seq`; None if there is no such entry.
    """

    anchor: str
    earlier: str | None


@router.get("/coverage")
async def coverage(
    desk: TheDesk,
    session: Supervisor,
    when: Annotated[str, Query(min_length=1, max_length=40)] = "today",
) -> Coverage:
    """Check the coverage of the calls that were answered in the period `when`.

    `when` is a period in words, such as "today". The result has no personal data.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    span = span_of(when, desk) or Period(0.0, 0.0)
    facts = {"since": int(span.since), "until": int(span.until)}
    await desk.host.audit.append("coverage.asked", facts, {"actor": session.actor})
    result = await desk.archive.coverage.check(span.since, span.until, desk.calls.in_progress())
    sums = {each.name: getattr(result, each.name) for each in fields(result)}
    orphans = [
        {**asdict(orphan), "fix": fix_of(orphan.kind, orphan.why)}
        for orphan in result.orphans[:MAX_FINDINGS]
    ]
    silent = [
        SilentParty(call_id=call.call_id, started=call.started, **asdict(party))
        for call in result.silent_calls[:MAX_FINDINGS]
        for party in call.silent
    ]
    return Coverage.model_validate(
        {
            **sums,
            "amiss": result.faulty_calls,
            "orphans": orphans,
            "more_orphans": max(0, len(result.orphans) - MAX_FINDINGS),
            "silent": silent,
            "more_silent": max(0, len(result.silent_calls) - MAX_FINDINGS),
        }
    )


@router.get("/index")
async def index(
    desk: TheDesk,
    session: Supervisor,
    since: Annotated[float, Query(ge=0, le=_LATEST_S, allow_inf_nan=False)] = 0.0,
    call_id: Annotated[str, Query(max_length=40)] = "",
) -> IndexCheck:
    """Compare the rows of the index and the ledger with the manifests and the audit chain.

    If `call_id` is not empty, only this call is compared. Otherwise all calls that began to ring at
    or after `since` (Unix seconds) are compared. The alarms are then compared with the audit chain
    too, and their findings have the `call_id` "alarms". The result has no personal data.

    Raises:
        ApiError: 404, `call_id` cannot be the id of a call.
    """
    wanted = checked_id(call_id) if call_id else ""
    facts: Facts = {"call_id": wanted} if wanted else {"since": int(since)}
    await desk.host.audit.append("index.checked", facts, {"actor": session.actor})
    ids = ids_of(wanted) if wanted else ids_between(since, _LATEST_S)
    result = await desk.archive.index_checker.check(ids)
    findings = [each for each in result.findings if not wanted or each.call_id == wanted]
    findings += [] if wanted else await desk.calls.alarms.compared(desk.host.settings.node.name)
    return IndexCheck(
        recordings=result.recordings,
        not_committed=result.not_committed,
        findings=findings[:MAX_FINDINGS],
        more_findings=max(0, len(findings) - MAX_FINDINGS),
    )


@router.get("/promises", tags=["promises"])
async def promises(
    desk: TheDesk,
    session: Supervisor,
    when: Annotated[str, Query(min_length=1, max_length=40)] = "today",
) -> PromiseReport:
    """Check the promises for the calls that were answered in the period `when`.

    Disclosures are checked for the audit entries of the period. `when` is a period in words, such
    as "yesterday". The request is entered in the audit chain. The result has no personal data.

    Raises:
        ApiError: 422, the words of `when` cannot be read as a period.
    """
    span = span_of(when, desk) or Period(0.0, 0.0)
    facts = {"since": int(span.since), "until": int(span.until)}
    await desk.host.audit.append("promises.checked", facts, {"actor": session.actor})
    results = await desk.archive.promises.check(span.since, span.until, desk.calls.in_progress())
    zone = desk.host.settings.desk.time_zone
    days = [
        datetime.fromtimestamp(at, zone).date().isoformat()
        for at in (span.since, max(span.since, span.until - 1))
    ]
    return PromiseReport(
        first_day=days[0],
        last_day=days[1],
        checked=time.time(),
        kept=all(each.verdict != PromiseVerdict.BROKEN for each in results),
        promises=[_promise(each) for each in results],
    )


def _promise(result: PromiseResult) -> Promise:
    return Promise.model_validate(
        {
            "name": result.name,
            "verdict": result.verdict.value,
            "evidence": result.evidence,
            "findings": result.findings[:MAX_FINDINGS],
            "more_findings": max(0, len(result.findings) - MAX_FINDINGS),
        }
    )


def _audit_reader(desk: TheDesk, session: Annotated[Session, Depends(person)]) -> Session:
    """Return the session of the signed-in user, who must be an administrator.

    Only administrators may read the audit chain, because it contains names and phone numbers.

    Raises:
        ApiError: 403, the user is not an administrator, or a stronger sign-in is needed first.
    """
    if session.user.role != "admin":
        raise NotPermittedError(
            "only the recording administrator may read the audit", "ask an administrator to do it"
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
            "this needs the right `anchors`",
            "use a token with this right, or sign in as a supervisor",
        )
    return session


@router.get("/audit", tags=["audit"])
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
    links = await desk.host.audit.chain_entries(after, limit)
    facts = {"after": after, "entries": len(links)}
    await desk.host.audit.append("audit.read", facts, {"actor": session.actor})
    return AuditPage(
        lines=[str(link) for link in links],
        last=links[-1].seq if links else after,
        contradicting=[link.seq for link in links if link.contradicts_itself],
    )


@router.post("/audit/search", tags=["audit"])
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
    links = await desk.host.audit.search(sought, body.before, body.limit)
    given = sorted(body.model_dump(exclude_none=True, exclude={"limit", "before"}))
    # The call id in the query is stored as `of`, not as `call_id`, so that a later search for this
    # call does not find this entry.
    facts: Facts = {"by": ",".join(given), "of": sought.call_id, "entries": len(links)}
    await desk.host.audit.append("audit.searched", facts, {"actor": session.actor})
    return AuditPage(lines=[str(link) for link in links], last=links[-1].seq if links else 0)


@router.get("/audit/head", tags=["audit"])
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
    anchor = await desk.archive.anchors.head()
    if anchor is None:
        raise ApiError(404, "the audit has no entry yet", "sign in with a password first")
    earlier = await desk.host.audit.chain_entries(seq - 1, 1) if seq else []
    found = earlier[0].hash if earlier and earlier[0].seq == seq else None
    return AuditHead(anchor=str(anchor), earlier=found)
