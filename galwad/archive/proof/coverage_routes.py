"""The endpoints for the coverage check and for the check of the index.

The coverage check shows whether each second of each answered call is either recorded or in a gap
with a known reason. The check of the index shows whether a row was rewritten.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query

from galwad.archive.files import checked_id
from galwad.archive.proof.checker import MAX_FINDINGS
from galwad.archive.proof.coverage_bodies import (
    CallSpan,
    ChangedRow,
    Coverage,
    FaultyCall,
    IndexCheck,
    OrphanFile,
    SilentParty,
)
from galwad.archive.proof.index_checker import ids_between, ids_of
from galwad.archive.proof.orphan_fixes import fix_of
from galwad.archive.routes import span_of
from galwad.people.access import Supervisor, TheDesk
from galwad.periods import Period
from recording.audit.log import Facts
from recording.index.coverage import CallCoverage

router = APIRouter(tags=["coverage"])
_LATEST_S: Final = 32_503_680_000.0
"""The start of the year 3000 in Unix seconds: no call id has a later time."""


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
    await desk.audit.append("coverage.asked", facts, {"actor": session.actor})
    result = await desk.coverage.check(span.since, span.until, desk.calls_in_progress())
    return Coverage(
        calls=result.calls,
        in_progress=result.in_progress,
        talk_us=result.talk_us,
        recorded_us=result.recorded_us,
        gap_us=result.gap_us,
        unexplained_us=result.unexplained_us,
        amiss=[_faulty_call(call) for call in result.faulty_calls],
        orphans=[
            OrphanFile(
                kind=orphan.kind,
                name=orphan.name,
                call_id=orphan.call_id,
                text=orphan.text,
                fix=fix_of(orphan.kind, orphan.why),
            )
            for orphan in result.orphans[:MAX_FINDINGS]
        ],
        more_orphans=max(0, len(result.orphans) - MAX_FINDINGS),
        not_committed=result.not_committed,
        silent=[
            SilentParty(
                call_id=call.call_id,
                started=call.started,
                channel=party.channel,
                from_us=party.from_us,
                to_us=party.to_us,
                text=party.text,
            )
            for call in result.silent_calls[:MAX_FINDINGS]
            for party in call.silent
        ],
        spools_unread=result.spools_unread,
        more_silent=max(0, len(result.silent_calls) - MAX_FINDINGS),
    )


@router.get("/index")
async def index(
    desk: TheDesk,
    session: Supervisor,
    since: Annotated[float, Query(ge=0, le=_LATEST_S, allow_inf_nan=False)] = 0.0,
    call_id: Annotated[str, Query(max_length=40)] = "",
) -> IndexCheck:
    """Compare the rows of the index and the ledger with the manifests and the audit chain.

    Only the calls that began to ring at or after `since` (Unix seconds) are compared. If `call_id`
    is not empty, only this call is compared. Otherwise the alarms are compared with the audit chain
    too; their findings have the `call_id` "alarms". The result has no personal data.

    Raises:
        ApiError: 404, `call_id` cannot be the id of a call.
    """
    wanted = checked_id(call_id) if call_id else ""
    facts: Facts = {"call_id": wanted} if wanted else {"since": int(since)}
    await desk.audit.append("index.checked", facts, {"actor": session.actor})
    ids = ids_of(wanted) if wanted else ids_between(since, _LATEST_S)
    result = await desk.index_checker.check(ids)
    findings = [each for each in result.findings if not wanted or each.call_id == wanted]
    findings += [] if wanted else await desk.alarms.compared(desk.settings.node.name)
    return IndexCheck(
        recordings=result.recordings,
        not_committed=result.not_committed,
        findings=[
            ChangedRow(call_id=each.call_id, problem=each.problem)
            for each in findings[:MAX_FINDINGS]
        ],
        more_findings=max(0, len(findings) - MAX_FINDINGS),
    )


def _faulty_call(call: CallCoverage) -> FaultyCall:
    return FaultyCall(
        call_id=call.call_id,
        started=call.started,
        talk_us=call.talk_us,
        gaps=[CallSpan(from_us=g.from_us, to_us=g.to_us, reason=g.reason) for g in call.gaps],
        unexplained=[CallSpan(from_us=s.from_us, to_us=s.to_us) for s in call.unexplained],
        problems=list(call.problems),
    )
